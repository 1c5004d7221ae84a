"""Whether a matrix's gradients are kept or their factors are. Affects time and memory; never the guarantee.

Kept gradients ("dense") cost one product a unit, then memory traffic: each is written, and read for the norm and for
the sum. Factors cost that product too, when the sum is made, and before it two Gram matrices for the norm; they live
until the backward pass is over. Gradients that take little more memory than their factors belong to records of so many
tokens that the Gram matrices cost about as much as the product: these are kept.

The two ways round differently, so the choice must not depend on the records: it is one for each public shape.
"""

from __future__ import annotations

from dpsynth_assets.privacy.clipping.outer import Outer

# What is kept may take this many times the memory of the factors alone.
_MEMORY = 1.3
# Up to so many numbers a unit, keeping the gradient has always been faster: low-rank matrices, prompts.
_SMALL = 1 << 15


class Budget:
    """What one micro-batch keeps, against the memory that its factors alone would take.

    Matrices are decided on in the order of the backward pass. Each may take what those before it left over: one limit
    over all of them lets more gradients be kept, for the same peak, than a limit for each.

    Rows of tables count nothing. Which micro-batch looks into which table may depend on who is in it, as with canaries
    (`audit.canaries`), and what is kept of a record's other gradients must not.
    """

    def __init__(self) -> None:
        self._kept = 0  # numbers, whether of gradients or of factors
        self._factors = 0

    def keep_dense(self, outer: Outer) -> bool:
        """Whether to keep the gradients of `outer` rather than its factors. Counts what is kept."""
        gradients, factors = len(outer.second) * outer.width * outer.second.shape[2], outer.second.numel()
        if outer.one_hot:
            return bool(outer.width <= 4096 and gradients <= 2 * factors)
        factors += outer.first.numel()
        within = self._kept + gradients <= _MEMORY * (self._factors + factors)
        dense = within or outer.width * outer.second.shape[2] <= _SMALL
        self._kept += gradients if dense else factors
        self._factors += factors
        return dense
