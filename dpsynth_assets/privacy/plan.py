"""Plans: one frozen object from which sampler, clip, noise and the charged event are all made, so they cannot disagree.

A plan holds public constants only, all of them from the contract. It never sees a row, and nothing here imports torch.

`DpSgd` is the mechanism. Formal guarantee, under add/remove of one *privacy unit* (with everything that unit
contributed, at most `max_records` records):

    Each of `steps` steps includes every unit independently with probability `sampling_probability`, sums the included
    units' gradients after scaling each unit's whole contribution to an l2 norm of at most the clipping method's
    `sensitivity`, and adds Gaussian noise of standard deviation `noise_multiplier * sensitivity` to that sum, once. The
    output of all steps is as private as `steps` compositions of the Poisson-subsampled Gaussian mechanism (Abadi et al.
    2016, Algorithm 1; Mironov, Talwar and Zhang 2019, section 3), which is the event that is charged.

    With `num_bands` b > 1 the noise of a step is correlated with that of the b - 1 before. A unit can then enter one
    step in b only, with b times the probability, and the event is that of ceil(steps / b) such steps. The mechanism and
    the proof are in `dpsynth_assets.privacy.correlation`.

Misuse that breaks it: sampling batches by shuffling; sampling micro-batches one by one; averaging over the realised
batch size; a loss that couples examples; noise added per micro-batch or from a known seed; choosing any constant by
looking at the data; releasing anything else of a step, such as its loss.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from dpsynth_assets.privacy.clipping_methods import CLIPPING_METHODS, Clipping
from dpsynth_assets.privacy.correlation import noise_growth
from dpsynth_assets.privacy.stated import Stated, digest_of
from dpsynth_assets.releases.adapter import ADAPTER
from ledger import PoissonSampledGaussian
from ledger.accounting import calibrate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.checkpoint import CheckpointFolder
    from dpsynth_assets.releases.release import Release
    from ledger import Event


@dataclass(frozen=True)
class DpSgd:
    """One DP-SGD run. With `noise_multiplier` 0 or an infinite clip it is plain training and has no event.

    Attributes:
        sampling_probability: probability with which each unit enters a step's logical batch, in (0, 1].
        noise_multiplier: standard deviation of the noise over the clipping method's sensitivity.
        l2_clip_norm: bound on the l2 norm of one unit's gradient.
        expected_batch_size: public divisor of the noisy sum, in units.
        steps: how many steps run; never fewer by early stopping, never more.
        clipping_method: how a unit's gradient is bounded, a key of `CLIPPING_METHODS`.
        num_bands: over how many steps the noise is correlated; 1 is independent noise. At most `steps`, and at most
            1 / `sampling_probability`.
    """

    sampling_probability: float
    noise_multiplier: float
    l2_clip_norm: float
    expected_batch_size: int
    steps: int
    clipping_method: str = "flat"
    num_bands: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.sampling_probability <= 1:
            raise ValueError(f"sampling_probability must lie in (0, 1], not {self.sampling_probability!r}")
        if not (self.noise_multiplier >= 0 and math.isfinite(self.noise_multiplier)):
            raise ValueError(f"noise_multiplier must be finite and at least 0, not {self.noise_multiplier!r}")
        if not self.l2_clip_norm > 0:
            raise ValueError(f"l2_clip_norm must be positive, not {self.l2_clip_norm!r}")
        if self.noise_multiplier > 0 and math.isinf(self.l2_clip_norm):
            raise ValueError("an infinite l2_clip_norm has no noise to match it")
        if self.expected_batch_size < 1 or self.steps < 1:
            raise ValueError("expected_batch_size and steps must be at least 1")
        if self.clipping_method not in CLIPPING_METHODS:
            raise ValueError(f"clipping_method is one of {', '.join(CLIPPING_METHODS)}, not {self.clipping_method!r}")
        if not 1 <= self.num_bands <= self.steps:
            raise ValueError(f"num_bands must lie between 1 and the {self.steps} steps, not {self.num_bands!r}")
        if self.num_bands * self.sampling_probability > 1 + 1e-9:
            raise ValueError(
                f"with num_bands {self.num_bands} the sampling_probability can be at most 1 / {self.num_bands}, "
                f"not {self.sampling_probability!r}: a step samples one group of units in {self.num_bands}"
            )

    @property
    def is_private(self) -> bool:
        return self.noise_multiplier > 0

    @property
    def noise_standard_deviation(self) -> float:
        """Of the noise that is released with the clipped sum, before the division by `expected_batch_size`."""
        return self.noise_multiplier * self.clipping.sensitivity if self.is_private else 0.0

    @property
    def noise_in_mean(self) -> float:
        """Standard deviation of the noise in a step's mean gradient, as the optimiser gets it, once bands are full."""
        return self.noise_standard_deviation * noise_growth(self.num_bands) / self.expected_batch_size

    @property
    def group_sampling_probability(self) -> float:
        """Probability with which a unit enters a step that samples its group, one step in `num_bands`."""
        return min(1.0, self.num_bands * self.sampling_probability)

    def sampled_steps(self, steps: int) -> int:
        """Of so many consecutive steps, the most that sample a group; what one unit's loss is composed of."""
        return -(-steps // self.num_bands)

    @property
    def clipping(self) -> Clipping:
        """The clipping method, with its sensitivity."""
        return CLIPPING_METHODS[self.clipping_method](self.l2_clip_norm)

    def event(self, steps: int | None = None) -> PoissonSampledGaussian:
        """What is charged, for `steps` steps (all of them unless said).

        Raises:
            ValueError: the mechanism has no noise, hence no guarantee; or more steps than planned.
        """
        if not self.is_private:
            raise ValueError("training without noise has no privacy guarantee and cannot be charged")
        if steps is not None and not 1 <= steps <= self.steps:
            raise ValueError(f"{steps} steps were run where {self.steps} were planned")
        return PoissonSampledGaussian(
            self.group_sampling_probability, self.noise_multiplier, self.sampled_steps(steps or self.steps)
        )

    def event_of_replay(self, attempts: Sequence[int]) -> PoissonSampledGaussian | None:
        """What is charged on top of `event()` where kills gave the run several attempts; None where nothing is.

        Args:
            attempts: how many steps began in each, those included that a kill lost.

        Both together are the composition of all steps that ever began. Each attempt draws groups, batches and noise of
        its own, so each counts by itself: with several bands, two can cost more than one that has as many steps.
        """
        event = self.event()
        if sum(attempts) < self.steps:
            raise ValueError(f"{sum(attempts)} steps cannot have completed a run of {self.steps}")
        again = sum(map(self.sampled_steps, attempts)) - event.steps
        return replace(event, steps=again) if again > 0 else None

    def steps_again(self, checkpoints: CheckpointFolder, charged: Sequence[Event]) -> PoissonSampledGaussian | None:
        """What has to be charged before a killed run goes on from its checkpoints, if it then runs to its end: that of
        all its attempts, less the planned event and what was `charged` before; None if that is nothing."""
        still = self.steps - checkpoints.steps_saved()
        again = self.event_of_replay([*checkpoints.steps_of_attempts(), still])
        owed = again.steps if again is not None else 0
        owed -= sum(event.steps for event in charged if isinstance(event, PoissonSampledGaussian))
        return replace(self.event(), steps=owed) if owed > 0 else None


@dataclass(frozen=True)
class Learning:
    """What is done with the noisy sums: post-processing with public constants.

    Attributes:
        learning_rate: peak of the schedule.
        schedule: after a linear warm-up over a twentieth of the steps.
        optimiser: Adam (without weight decay), Adam with its second moment corrected for the noise, or plain SGD.
        averaging: decay of the exponential average of the iterates that is released in place of the last; None: none.
    """

    learning_rate: float
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    optimiser: Literal["adam", "adam_noise_corrected", "sgd"] = "adam"
    averaging: float | None = None

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate!r}")
        if self.averaging is not None and not 0 < self.averaging < 1:
            raise ValueError(f"averaging must lie in (0, 1), not {self.averaging!r}")


@dataclass(frozen=True)
class DpSgdPlan(Stated):
    """What every release by DP-SGD has: the mechanism, the learning set-up around it, and what is promised of it.

    `epsilon` at `delta` is the guarantee of this release alone, in the currency that the ledger enforces (Renyi DP).
    """

    mechanism: DpSgd
    learning: Learning
    epsilon: float
    delta: float
    unit: str
    neighbouring_relation: str
    max_records: int

    def event(self) -> PoissonSampledGaussian:
        """The event that is reserved in the ledger before training may read a row."""
        return self.mechanism.event()

    def replay(self, checkpoints: Path, charged: Sequence[Event]) -> PoissonSampledGaussian | None:
        """What runs again when the run that left this checkpoint folder goes on: `DpSgd.steps_again`."""
        from dpsynth_assets.privacy.checkpoint import CheckpointFolder

        folder = CheckpointFolder(checkpoints, self.digest(), self.former_digests())
        return self.mechanism.steps_again(folder, charged)

    def describe(self) -> dict[str, Any]:
        """The plan as plain values, all public, by the names that journals and receipts have them under."""
        stated = asdict(self)
        mechanism = {_STORED.get(name, name): value for name, value in stated["mechanism"].items()}
        return {**stated, "mechanism": mechanism}

    def figures(self) -> dict[str, float]:
        """The mechanism in numbers, for people."""
        mechanism = self.mechanism
        return {
            "noise_multiplier": mechanism.noise_multiplier,
            "sampling_rate": mechanism.group_sampling_probability,
            "steps": mechanism.steps,
        }


_STORED = {
    "sampling_probability": "sampling_rate",
    "l2_clip_norm": "clipping_norm",
    "clipping_method": "strategy",
    "num_bands": "noise_bands",
}


# How fast the passes are, how much memory they take and how roundly they compute: no part of what is charged, so that
# a run may go on with others.
PERFORMANCE = ("micro_batch_tokens", "precision", "gradient_checkpointing", "engine")


@dataclass(frozen=True)
class TrainingPlan(DpSgdPlan):
    """Everything that decides what an adapter release computes. `rank` and `alpha` belong to method `lora`,
    `prompt_tokens` to method `prompt`; None elsewhere. `prompt` is what the contract says of asking, None for labels
    alone. `canaries` is how many audit it; 0 for none."""

    base_model: str
    method: str
    rank: int | None
    alpha: float | None
    prompt_tokens: int | None
    max_tokens: int
    micro_batch_tokens: int
    precision: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    prompt: dict[str, Any] | None = None
    canaries: int = 0
    engine: Literal["own", "opacus"] = "own"

    def describe(self) -> dict[str, Any]:
        """As for every plan. One without a prompt, canaries or another engine is what it was before there were any."""
        unset = {"prompt": None, "canaries": 0, "engine": "own"}
        return {name: value for name, value in super().describe().items() if name not in unset or value != unset[name]}

    def digest(self) -> str:
        """As for every plan, without the performance settings (version 2)."""
        charged = {name: value for name, value in self.describe().items() if name not in PERFORMANCE}
        return digest_of({**charged, "version": 2})

    def former_digests(self) -> tuple[str, ...]:
        return (digest_of(self.describe()),)  # version 1: with the performance settings

    @classmethod
    def from_contract(cls, contract: Contract, size: float = 1.0) -> TrainingPlan:
        """The plan of the contract's adapter release, its noise calibrated to the release's epsilon.

        `size` in (0, 1] is a quick pass over that fraction of the units: the same expected batch size and passes over
        the data with fewer steps, hence a higher sampling rate and more noise at the same epsilon.
        """
        if not 0 < size <= 1:
            raise ValueError(f"size must lie in (0, 1], not {size!r}")
        terms = contract.privacy
        adapter = terms.releases[ADAPTER]
        units = max(2, round(terms.unit.public_count * size))
        steps = max(1, round(adapter.steps * size))
        bands = min(adapter.noise_bands, steps, units)
        batch = min(adapter.expected_batch_size, units // bands)
        shape = DpSgd(
            sampling_probability=batch / units,
            noise_multiplier=0.0,
            l2_clip_norm=adapter.clipping_norm,
            expected_batch_size=batch,
            steps=steps,
            clipping_method=adapter.clipping,
            num_bands=bands,
        )
        epsilon = adapter.epsilon_of(terms.budget)
        is_lora = adapter.method == "lora"
        return cls(
            mechanism=calibrated(shape, epsilon, terms.budget.delta),
            learning=Learning(
                learning_rate=adapter.learning_rate,
                schedule=adapter.schedule,
                optimiser=adapter.optimiser,
                averaging=adapter.averaging,
            ),
            epsilon=epsilon,
            delta=terms.budget.delta,
            unit=terms.unit.name,
            neighbouring_relation=terms.unit.neighbouring_relation,
            max_records=terms.unit.max_records,
            base_model=terms.base_model.name,
            method=adapter.method,
            rank=adapter.rank if is_lora else None,
            alpha=adapter.alpha if is_lora else None,
            prompt_tokens=adapter.prompt_tokens if adapter.method == "prompt" else None,
            max_tokens=terms.text.max_tokens,
            micro_batch_tokens=adapter.micro_batch_tokens,
            precision=adapter.precision,
            gradient_checkpointing=adapter.gradient_checkpointing,
            prompt=None if terms.prompt is None else terms.prompt.model_dump(mode="json"),
            canaries=adapter.canaries,
            engine=adapter.engine,
        )


def adapter_plan(contract: Contract, release: Release[Any], size: float) -> TrainingPlan:
    return TrainingPlan.from_contract(contract, size)


def calibrated(shape: DpSgd, epsilon: float, delta: float) -> DpSgd:
    """`shape` with the smallest noise multiplier that keeps its event within (epsilon, delta).

    An infinite epsilon is plain training: no noise, no clip, and no event that could be charged.
    """
    if math.isinf(epsilon):
        return replace(shape, noise_multiplier=0.0, l2_clip_norm=math.inf)

    noise_multiplier = calibrate(lambda sigma: replace(shape, noise_multiplier=sigma).event(), epsilon, delta)
    return replace(shape, noise_multiplier=noise_multiplier)
