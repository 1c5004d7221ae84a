"""Before a sensitive record is read, on made-up ones: a model whose records touch one another is refused.

A loss that divides by the batch's tokens, attention that folds the batch into its heads, a layer whose rule does not
fit what the layer computes: none of these can be seen in shapes, and each would break the sensitivity silently. So the
clipped sum of a few *made-up* records, computed as in training, is compared with the definition: the gradient of each
record's loss on its own, by autograd alone, summed by unit, scaled, added up.

Rounding is a way to touch one another, too: a batched product may round a row by its place, by its neighbours, or by
the precision and the threads in use. So the clipped sum of a micro-batch, at each of the very shapes that training
uses, is compared to the last bit with the sum of its records' own, each computed among padding in the first row
(`verify_own_bits`). On a grid both are exact, so they are equal if and only if every contribution was the same.

What neither can find: coupling that shows only on other records than those made up, such as experts with a capacity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.grid import fine_grid_of
from dpsynth_assets.privacy.clipping_methods import ROUNDING_MARGIN, FlatClipping
from dpsynth_assets.privacy.shapes import Shape

_TOLERANCE = 1e-3  # in norm, relative: float32 through some dozen layers errs by less, a wrong rule by far more


def verify_exactness(
    model: nn.Module,
    losses: Callable[[Sequence[int]], Tensor],
    records_of: Sequence[int],
    *,
    by_opacus: bool = False,
) -> None:
    """Compares the clipped sum of made-up units with the definition. Leaves the model as it was.

    Args:
        losses: gives the losses of the made-up records of these numbers. Of uneven length, so that padding shows.
        records_of: for each made-up unit how many records it has; the records are numbered in order.

    Raises:
        UnclippedGradientError: they differ, or a trainable parameter has no influence on the loss.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    with _moved([p for _, p in named]):
        units: list[list[Tensor]] = []
        start = 0
        for count in records_of:
            parts = [_gradients(losses([record])[0], named) for record in range(start, start + count)]
            units.append([torch.stack(same).sum(0) for same in zip(*parts, strict=True)])
            start += count
        norms = [float(torch.stack([g.norm().double() for g in unit]).norm()) for unit in units]
        l2_clip_norm = sorted(norms)[len(norms) // 2]  # some units are clipped, others are not
        if not l2_clip_norm > 0:
            raise UnclippedGradientError("the made-up records have no gradient: the model cannot be verified")
        scales = [min(1.0, l2_clip_norm / norm) if norm else 0.0 for norm in norms]
        expected = [
            torch.stack([g * scale for g, scale in zip(same, scales, strict=True)]).sum(0)
            for same in zip(*units, strict=True)
        ]
        with ClippedSum(model, FlatClipping(l2_clip_norm / ROUNDING_MARGIN), by_opacus=by_opacus) as clipped:
            clipped.grid = fine_grid_of(l2_clip_norm)
            clipped.add(losses(range(sum(records_of))), records_of)
            actual = clipped.take()
    for (name, _), a, e in zip(named, actual, expected, strict=True):
        if not float((a - e).norm()) <= _TOLERANCE * max(float(e.norm()), _TOLERANCE * l2_clip_norm):
            raise UnclippedGradientError(
                f"the clipped sum of made-up records is not that of the records one by one ({name} differs): the loss "
                "or a layer makes one record depend on the others, and no privacy guarantee would hold"
            )


def verify_own_bits(
    model: nn.Module,
    losses: Callable[[Sequence[int], Shape], Tensor],
    shape: Shape,
    records: Sequence[int],
    *,
    by_opacus: bool = False,
) -> None:
    """Checks that made-up records contribute the same bits in every row of a shape, whatever the other rows hold.

    Every row holds every record once, beside others and, for the first record, beside itself alone.

    Args:
        losses: gives the losses of the made-up records of these numbers, in that shape.
        records: at least two of these, of different lengths; the first fills the shape's width, since some models
            compute batches without padding in another way.

    Raises:
        UnclippedGradientError: they do not; with another precision, number of threads or device they may.
    """
    count = len(records)
    arrangements = [[records[0]] * shape.rows] + [
        [records[(row + turn) % count] for row in range(shape.rows)] for turn in range(count)
    ]
    # One sum for all arrangements, each with a weight of its own, from which every record's own is taken away: zero.
    weights = [1.0 + 2 * turn for turn in range(len(arrangements))]
    with (
        _moved([p for p in model.parameters() if p.requires_grad]),
        ClippedSum(model, FlatClipping(1.0), by_opacus=by_opacus) as clipped,
    ):
        clipped.grid = fine_grid_of(1.0)
        difference = [torch.zeros_like(p, dtype=torch.float64) for p in clipped.parameters]

        def count_in(chosen: Sequence[int], weight: float) -> None:
            clipped.add(losses(chosen, shape), [1] * len(chosen))
            for left, total in zip(difference, clipped.take(), strict=True):
                left.add_(total, alpha=weight)

        for arrangement, weight in zip(arrangements, weights, strict=True):
            count_in(arrangement, weight)
        for record in records:
            pairs = zip(arrangements, weights, strict=True)
            count_in([record], -sum(weight * arrangement.count(record) for arrangement, weight in pairs))
    if any(bool(left.any()) for left in difference):
        raise UnclippedGradientError(
            f"on this machine a record's gradient has other bits with other records beside it ({shape.rows} records of "
            f"{shape.width} tokens at once), so one person would move the others' contributions"
        )


def _gradients(loss: Tensor, named: Sequence[tuple[str, nn.Parameter]]) -> list[Tensor]:
    gradients = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
    unused = [name for (name, _), gradient in zip(named, gradients, strict=True) if gradient is None]
    if unused:
        raise UnclippedGradientError(
            f"{', '.join(unused)} have no influence on the loss: was the adapter attached to the model that is trained?"
        )
    return [gradient.float() for gradient in gradients]


@contextmanager
def _moved(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Parameters a little off where they start: a low-rank adapter starts at zero, where half its gradients vanish."""
    before = [p.detach().clone() for p in parameters]
    generator = torch.Generator().manual_seed(0)  # of a check on made-up records: nothing secret
    try:
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter), alpha=0.02)
        yield
    finally:
        with torch.no_grad():
            for parameter, kept in zip(parameters, before, strict=True):
                parameter.copy_(kept)
