"""The DP-SGD loop: draws, clips, sums, adds noise once, steps. It knows no language, no contract and no ledger.

The loop reports which step it is at and nothing else. A loss, a gradient norm or a batch size would be an output of the
sensitive data that nobody accounted for, so none is kept, returned or shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.correlation import strategy_coefficients
from dpsynth_assets.privacy.noise import BandedNoise, GaussianNoise
from dpsynth_assets.privacy.optimisers import IterateAverage, NoiseCorrectedAdam, schedule
from dpsynth_assets.privacy.sampling import PoissonSampler
from dpsynth_assets.privacy.shapes import Group, Shape, groups, public_shapes
from dpsynth_assets.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dpsynth_assets.privacy.plan import DpSgd, Learning
    from dpsynth_assets.privacy.ranks import Ranks


class UnitData(Protocol):
    """Records grouped by privacy unit, as the loop needs them. Units and records are numbered from 0."""

    @property
    def records_of(self) -> Sequence[Sequence[int]]:
        """For each unit, the indices of its records; at most the contract's `max_records`."""

    @property
    def lengths(self) -> Sequence[int]:
        """For each record, its length in tokens."""

    @property
    def longest(self) -> int:
        """A public bound on the lengths."""

    def losses(self, model: nn.Module, records: Sequence[int], shape: Shape) -> Tensor:
        """One number per row, shape (shape.rows,), computed at that shape. The first are the records', each depending
        on its own record only; those of the rows that are left over are not looked at."""


class Observer(Protocol):
    """Looks at what a step releases anyway."""

    def __call__(self, noisy_sums: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
        """The noisy sums, one per trainable parameter, and the parameters before they are moved by them. To read."""


class AdapterUnmovedError(RuntimeError):
    """Training ended with parameters where they began: budget was spent and nothing was learned."""


@dataclass(frozen=True)
class TrainingRun:
    """What a run says of itself: public numbers only.

    Attributes:
        steps: steps in the trained parameters: always all that were planned.
        attempts: how many steps began in each attempt at the run, in order, those included that a kill lost and a later
            one ran again. All of them read the data, so all of them must be charged.
    """

    steps: int
    attempts: tuple[int, ...]

    @property
    def steps_run_in_all(self) -> int:
        return sum(self.attempts)


def train(
    model: nn.Module,
    data: UnitData,
    mechanism: DpSgd,
    learning: Learning,
    *,
    micro_batch_tokens: int,
    shapes: Sequence[Shape] | None = None,
    progress: Progress | None = None,
    checkpoints: CheckpointFolder | None = None,
    observer: Observer | None = None,
    by_opacus: bool = False,
    ranks: Ranks | None = None,
) -> TrainingRun:
    """Trains the model's trainable parameters in place with the given mechanism.

    Formal guarantee: that of the mechanism's `event()` and `event_of_replay(attempts)` together (see
    `dpsynth_assets.privacy.plan`) for the final parameters and every intermediate one, under add/remove of one unit, if
    `data.losses` couples no two records, to the bit (`clipping.verification` checks both).

    Args:
        model: put into training mode; dropout must be off or per record.
        micro_batch_tokens: tokens per forward pass, padding and made-up rows included. Decides with other public
            numbers in which shapes units are computed, hence memory, time and rounding; not the guarantee.
        shapes: public ones, narrowest first, to compute in; None takes those that `micro_batch_tokens` gives.
        progress: told (steps done, steps in all) after every step.
        checkpoints: where the run is kept, and continued from if it was killed there.
        observer: handed every step's noisy sums, which the guarantee covers, and never anything else of the data.
        by_opacus: layers without a rule of ours are computed by Opacus.
        ranks: other processes that compute shares of each batch by `contribute`; `data` is this one's share.

    Raises:
        UnclippedGradientError: some trainable parameter has no exact per-record gradient.
        LostRankError: one of the other processes is gone.
        AdapterUnmovedError: no trainable parameter has moved.
        CheckpointError: the checkpoints belong to another plan or process, or cannot be read.
    """
    with (
        ClippedSum(model, mechanism.clipping, by_opacus=by_opacus) as clipped,
        nullcontext() if checkpoints is None else checkpoints.open() as folder,
    ):
        was_training = model.training
        model.train()
        try:
            run = _Run(clipped.parameters, mechanism, learning)
            if folder is not None and (state := folder.load()) is not None:
                run.load(state)
            # Made anew in each attempt: a killed run's groups, sums and noise are gone, and must be.
            batches = _Batches(data, mechanism, micro_batch_tokens, shapes, ranks)
            noise = _noise(mechanism)
            while run.step < mechanism.steps:
                if folder is not None:
                    folder.begin_step()
                if ranks is not None:
                    ranks.hand_out(clipped.parameters)
                sums = batches.next_sum(clipped, model)
                if ranks is not None:
                    ranks.add_up(sums)
                noise.add_(sums)
                if observer is not None:
                    observer(sums, clipped.parameters)
                run.update(sums)
                if folder is not None and folder.is_due(run.step, mechanism.steps):
                    folder.save(run.state())
                if progress is not None:
                    progress(run.step, mechanism.steps)
            if ranks is not None:
                ranks.dismiss(clipped.parameters)
            run.finish()
            return TrainingRun(run.step, (run.step,) if checkpoints is None else checkpoints.steps_of_attempts())
        finally:
            model.train(was_training)


def contribute(
    model: nn.Module,
    data: UnitData,
    mechanism: DpSgd,
    *,
    micro_batch_tokens: int,
    ranks: Ranks,
    by_opacus: bool = False,
) -> None:
    """What the other ranks do while the first one is in `train`: clip and add up what they draw from their own units.

    Nothing of it is released here. Arguments and errors as `train`'s.
    """
    with ClippedSum(model, mechanism.clipping, by_opacus=by_opacus) as clipped:
        was_training = model.training
        model.train()
        try:
            batches = _Batches(data, mechanism, micro_batch_tokens, None, ranks)
            while ranks.receive(clipped.parameters):
                ranks.add_up(batches.next_sum(clipped, model))
        finally:
            model.train(was_training)


class _Batches:
    """The batches of one process, drawn from the units that it holds."""

    def __init__(
        self,
        data: UnitData,
        mechanism: DpSgd,
        micro_batch_tokens: int,
        shapes: Sequence[Shape] | None,
        ranks: Ranks | None,
    ) -> None:
        if ranks is not None:
            ranks.require_exact(len(data.records_of))
        self._data, self._ranks = data, ranks
        self._sampler = PoissonSampler(len(data.records_of), mechanism.group_sampling_probability, mechanism.num_bands)
        self._shapes = shapes or public_shapes(data.longest, micro_batch_tokens, mechanism.expected_batch_size)

    def next_sum(self, clipped: ClippedSum, model: nn.Module) -> list[Tensor]:
        """The clipped sum of the next batch. Without noise: as sensitive as the rows."""
        drawn = self._sampler.draw().tolist()
        batch = list(groups(drawn, self._data.records_of, self._data.lengths, self._shapes))
        lacking = 0 if self._ranks is None else self._ranks.lacking_passes(sum(group.passes for group in batch))
        for group in batch:
            add(clipped, model, self._data, group)
        for _ in range(lacking):
            clipped.add_nothing(self._data.losses(model, [], self._shapes[-1]))
        return clipped.take()


def add(clipped: ClippedSum, model: nn.Module, data: UnitData, group: Group) -> None:
    """Adds the contributions of a group of units, computed in the group's shape."""
    counts = [len(data.records_of[unit]) for unit in group.units]
    records = [record for unit in group.units for record in data.records_of[unit]]
    shape = group.shape
    if group.passes == 1:
        clipped.add(data.losses(model, records, shape), counts)
        return
    parts = (records[start : start + shape.rows] for start in range(0, len(records), shape.rows))
    clipped.add_unit((data.losses(model, part, shape), len(part)) for part in parts)


class _Run:
    """The state that steps change: parameters, optimiser, average."""

    def __init__(self, parameters: Sequence[nn.Parameter], mechanism: DpSgd, learning: Learning) -> None:
        self.step = 0
        self._parameters = parameters
        self._mechanism = mechanism
        self._learning = learning
        self._initial = _fingerprint(parameters)
        self._optimiser = _optimiser(parameters, mechanism, learning)
        self._average = None if learning.averaging is None else IterateAverage(parameters, learning.averaging)

    def update(self, sums: Sequence[Tensor]) -> None:
        """One optimiser step on the noisy sums, which are used up."""
        factor = schedule(self._learning.schedule, self.step, self._mechanism.steps)
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning.learning_rate * factor
        for parameter, total in zip(self._parameters, sums, strict=True):
            parameter.grad = total.div_(self._mechanism.expected_batch_size).to(parameter.dtype)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.step += 1
        if self._average is not None:
            self._average.update()

    def finish(self) -> None:
        """The average in place of the last iterate, if there is one; and the guard."""
        if self._average is not None:
            self._average.apply()
        if _fingerprint(self._parameters) == self._initial:
            raise AdapterUnmovedError(
                "no trainable parameter moved: was the adapter attached to the model that was trained?"
            )

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "initial": self._initial,
            "parameters": [p.detach() for p in self._parameters],
            "optimiser": self._optimiser.state_dict(),
            "average": None if self._average is None else self._average.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.step = int(state["step"])
        self._initial = state["initial"]
        for parameter, stored in zip(self._parameters, state["parameters"], strict=True):
            parameter.detach().copy_(stored)
        self._optimiser.load_state_dict(state["optimiser"])
        if self._average is not None:
            self._average.load(state["average"])


def _noise(mechanism: DpSgd) -> GaussianNoise | BandedNoise:
    if mechanism.num_bands == 1:
        return GaussianNoise(mechanism.noise_standard_deviation)
    return BandedNoise(mechanism.noise_standard_deviation, strategy_coefficients(mechanism.num_bands))


def _optimiser(parameters: Sequence[nn.Parameter], mechanism: DpSgd, learning: Learning) -> torch.optim.Optimizer:
    if learning.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=learning.learning_rate)
    if learning.optimiser == "adam_noise_corrected":
        return NoiseCorrectedAdam(parameters, learning.learning_rate, mechanism.noise_in_mean)
    return torch.optim.AdamW(parameters, lr=learning.learning_rate, weight_decay=0.0)


def _fingerprint(parameters: Sequence[nn.Parameter]) -> str:
    """SHA-256 over the parameters' bytes: whether they moved is told without keeping a copy of them."""
    digest = hashlib.sha256()
    for parameter in parameters:
        digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
