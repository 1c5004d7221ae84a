"""The DP-SGD loop: draws, clips, sums, adds noise once, steps. It knows no language, no contract and no ledger.

The loop reports which step it is at and nothing else. A loss, a gradient norm or a batch size would be an output of the
sensitive data that nobody accounted for, so none is kept, returned or shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from dpsynth_assets.privacy.clipping import ClippedSum
from dpsynth_assets.privacy.noise import GaussianNoise
from dpsynth_assets.privacy.sampling import PoissonSampler, micro_batches

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dpsynth_assets.privacy.plan import DpSgd

Progress = Callable[[int, int], None]  # (steps done, steps in all)


class UnitData(Protocol):
    """Records grouped by privacy unit, as the loop needs them. Units and records are numbered from 0."""

    @property
    def records_of(self) -> Sequence[Sequence[int]]:
        """For each unit, the indices of its records; at most the contract's `max_records`."""

    @property
    def lengths(self) -> Sequence[int]:
        """For each record, its length in tokens."""

    def losses(self, model: nn.Module, records: Sequence[int]) -> Tensor:
        """One number per record, shape (len(records),), each depending on its own record only."""


class AdapterUnmovedError(RuntimeError):
    """Training ended with parameters where they began: budget was spent and nothing was learned."""


def train(
    model: nn.Module,
    data: UnitData,
    mechanism: DpSgd,
    *,
    learning_rate: float,
    micro_batch_tokens: int,
    progress: Progress | None = None,
    optimizer: Callable[[Sequence[nn.Parameter], float], object] | None = None,
) -> int:
    """Trains the model's trainable parameters in place with the given mechanism.

    Formal guarantee: that of `mechanism.event()` (see `dpsynth_assets.privacy.plan`) for the final parameters and every
    intermediate one, under add/remove of one unit, if `data.losses` couples no two records.

    Args:
        model: put into training mode; dropout must be off or per record.
        learning_rate: peak of the schedule: linear warm-up over a twentieth of the steps, then linear decay to zero.
            Fixed in advance, so that nothing about the schedule depends on the data.
        micro_batch_tokens: padded tokens per forward pass; bounds memory, no effect on the result.
        progress: told (steps done, steps in all) after every step.
        optimizer: from (parameters, learning rate); AdamW without weight decay unless given.

    Returns:
        The number of steps run: always all of them.

    Raises:
        UnclippedGradientError: some trainable parameter has no exact per-record gradient.
        AdapterUnmovedError: no trainable parameter has moved.
    """
    import torch

    clipped = ClippedSum(model, mechanism.clipping_norm)
    sampler = PoissonSampler(len(data.records_of), mechanism.sampling_rate)
    noise = GaussianNoise(mechanism.noise_standard_deviation)
    initial = [p.detach().clone() for p in clipped.parameters]
    make = optimizer or (lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0))
    optimiser = make(clipped.parameters, learning_rate)
    assert isinstance(optimiser, torch.optim.Optimizer)
    model.train()
    try:
        for step in range(mechanism.steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * schedule(step, mechanism.steps)
            for units in micro_batches(sampler.draw().tolist(), data.records_of, data.lengths, micro_batch_tokens):
                records = [record for unit in units for record in data.records_of[unit]]
                unit_of = [position for position, unit in enumerate(units) for _ in data.records_of[unit]]
                clipped.add(data.losses(model, records), torch.tensor(unit_of), len(units))
            sums = clipped.take()
            noise.add_(sums)
            for parameter, total in zip(clipped.parameters, sums, strict=True):
                parameter.grad = (total / mechanism.expected_batch_size).to(parameter.dtype)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            if progress is not None:
                progress(step + 1, mechanism.steps)
    finally:
        clipped.close()
        model.eval()
    if all(torch.equal(p.detach(), before) for p, before in zip(clipped.parameters, initial, strict=True)):
        raise AdapterUnmovedError(
            "no trainable parameter moved: was the adapter attached to the model that was trained?"
        )
    return mechanism.steps


def schedule(step: int, steps: int) -> float:
    """Factor on the learning rate at `step` of `steps`: linear warm-up over a twentieth, then linear to zero."""
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return (steps - step) / max(1, steps - warm_up)
