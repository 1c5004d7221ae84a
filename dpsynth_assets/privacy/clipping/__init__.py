"""Exact clipping per privacy unit in one forward and one backward pass: the bounded sum that noise is added to.

    engine         ClippedSum, the public face: add micro-batches, take the clipped sum
    rules          which layers have an exact rule; everything else is refused by name
    functions      the layers' autograd functions, which hand over factors in place of weight gradients
    contributions  what one micro-batch's units contribute: norms, then the scaled sum
    outer          arithmetic of gradients kept as two factors
    grid           contributions as whole numbers, so that their sum is exact; the proof of the bound
    cost           whether to keep a gradient or its factors: time, memory and rounding, not the bound
    cross_entropy  token losses whose logits are never kept
    verification   batched against one by one, and own bits, on made-up records, before a sensitive one is read

Guarantee: adding or removing one unit, with all its records, moves the sum as computed by at most the clipping
method's `sensitivity` in l2 norm (see `dpsynth_assets.privacy.clipping_methods`). It needs a loss of one number per
record that depends on that record alone, to the bit (public shapes, see `dpsynth_assets.privacy.shapes`); a unit's
records all in one call of `add` or `add_unit`; and no unit in two calls of the same step.

The idea: for every layer here the gradient of one record's loss is a sum, over the record's tokens, of outer products
of two vectors that a backward pass has anyway: what entered the layer, and the gradient of what left it. Their norms
need no gradient (Goodfellow 2015), and the scaled sum is one product more (Bu et al. 2023, "book-keeping"). The
batch-summed gradient, which training with hooks computes and throws away, is never made.
"""
