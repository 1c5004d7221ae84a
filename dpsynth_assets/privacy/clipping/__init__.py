"""Exact clipping per privacy unit in one forward and one backward pass: the bounded sum that noise is added to.

    engine         ClippedSum, the public face: add micro-batches, take the clipped sum
    rules          which layers have an exact rule; everything else is refused by name
    functions      the layers' autograd functions, which hand over factors in place of weight gradients
    contributions  what one micro-batch's units contribute: norms, then the scaled sum
    outer          arithmetic of gradients kept as two factors, exact in the sense of its docstring
    cost           whether to keep a gradient or its factors: time and memory only
    cross_entropy  token losses whose logits are never kept
    verification   batched against one by one, on made-up records, before a sensitive one is read

Guarantee: adding or removing one unit, with all its records, moves the sum by at most the strategy's `sensitivity` in
l2 norm (see `dpsynth_assets.privacy.strategies`). It needs a loss of one number per record that depends on that record
alone; a unit's records all in one call of `add`; and no unit in two calls of the same step.

The idea: for every layer here the gradient of one record's loss is a sum, over the record's tokens, of outer products
of two vectors that a backward pass has anyway: what entered the layer, and the gradient of what left it. Their norms
need no gradient (Goodfellow 2015), and the scaled sum is one product more (Bu et al. 2023, "book-keeping"). The
batch-summed gradient, which training with hooks computes and throws away, is never made.
"""
