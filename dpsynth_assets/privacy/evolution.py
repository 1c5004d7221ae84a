"""Rounds of noisy votes: the one thing that Private Evolution releases of the sensitive records.

Guarantee, under add/remove of one privacy unit. In each of `rounds` rounds every record gives one vote to one of a
closed, public list of texts. Which one depends on that record and on the list alone, so a unit with at most
`max_records` records moves the vector of votes by at most `max_records` in l2 norm (all of them to one text; more texts
make it less). Every entry gets independent Gaussian noise of standard deviation `noise_multiplier * max_records`, by
`dpsynth_assets.privacy.noise`, which is post-processing of the ideal Gaussian mechanism. A round's list is made of the
noisy votes before it and of public constants, so all rounds together are `rounds` adaptive compositions of the Gaussian
mechanism (Dong, Roth and Su 2022, section 3.2; Lin et al. 2024, appendix C), which is the event that is charged.

Misuse that breaks it: texts or clusters taken from the records, a record whose vote depends on other records, more than
`max_records` records of a unit, letting exact votes or distances out, voting once more than is charged, the same noise
twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpsynth_assets.privacy.stated import Stated
from dpsynth_assets.privacy.unit_numbers import Units, require_bounded
from dpsynth_assets.releases.evolution import EVOLUTION, EvolutionTerms
from ledger import Gaussian, SelfComposed
from ledger.accounting import calibrate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.releases.release import Release
    from ledger import Event


@dataclass(frozen=True)
class NoisyVotes:
    """The mechanism: what each round does with the records' votes.

    Attributes:
        rounds: how many there are; never fewer, never more.
        noise_multiplier: standard deviation of the noise over `max_records`; 0 for exact votes, which have no event.
        max_records: bound on the records of one unit, the l2 sensitivity of a round.
    """

    rounds: int
    noise_multiplier: float
    max_records: int

    @property
    def standard_deviation(self) -> float:
        """Of the noise of one entry, in votes."""
        return self.noise_multiplier * self.max_records

    def event(self, rounds: int | None = None) -> SelfComposed:
        """What is charged, for so many rounds (all of them unless said).

        Raises:
            ValueError: there is no noise, hence no guarantee.
        """
        if self.noise_multiplier == 0:
            raise ValueError("exact votes have no privacy guarantee and cannot be charged")
        return SelfComposed(Gaussian(self.noise_multiplier), rounds or self.rounds)

    def release(self, votes: Sequence[int], units: Units, texts: int) -> NDArray[np.float64]:
        """The noisy votes for each of so many texts, shape (texts,): one round.

        Args:
            votes: for each record the number of the text that it votes for; sensitive.
            units: the privacy unit of each record; sensitive.

        Raises:
            ValueError: a unit has more than `max_records` records, or a record votes for no text of the list.
        """
        import torch

        from dpsynth_assets.privacy.noise import GaussianNoise

        exact = torch.from_numpy(self.exact(votes, units, texts))
        noise = GaussianNoise(self.standard_deviation)
        noise.add_([exact])
        released: NDArray[np.float64] = exact.numpy()
        return released

    def exact(self, votes: Sequence[int], units: Units, texts: int) -> NDArray[np.float64]:
        """The votes before noise, which must not leave the mechanism. Arguments and errors as of `release`."""
        if len(votes) != len(units):
            raise ValueError("votes and units must have one entry per record")
        require_bounded(units, self.max_records)
        if any(not 0 <= vote < texts for vote in votes):
            raise ValueError("a record votes for a text that is not in the list")
        return np.bincount(np.asarray(votes, dtype=np.int64), minlength=texts).astype(np.float64)


@dataclass(frozen=True)
class EvolutionPlan(Stated):
    """Everything that decides what the release computes: public constants only.

    `epsilon` at `delta` is the guarantee of this release alone, in the currency that the ledger enforces.
    `asked` and `drawing` are what the contract says of asking for texts and of drawing them.
    """

    mechanism: NoisyVotes
    cells: tuple[tuple[str, ...], ...]
    texts: int
    threshold: float
    survivors: float
    variation: dict[str, Any]
    epsilon: float
    delta: float
    unit: str
    neighbouring_relation: str
    max_tokens: int
    base_model: str
    endpoint: str | None
    asked: dict[str, Any] | None
    drawing: dict[str, Any]

    def event(self) -> SelfComposed:
        """The event that is reserved in the ledger before a row is read."""
        return self.mechanism.event()

    def replay(self, checkpoints: Path, charged: Sequence[Event]) -> SelfComposed | None:
        """What has to be charged before a killed run goes on from its checkpoints: the rounds that began and whose
        noisy votes were lost, less what was charged for them before. None if that is nothing."""
        from dpsynth_assets.privacy.checkpoint import CheckpointFolder

        folder = CheckpointFolder(checkpoints, self.digest())
        owed = folder.steps_begun() - folder.steps_saved()
        owed -= sum(event.times for event in charged if isinstance(event, SelfComposed))
        return self.mechanism.event(owed) if owed > 0 else None

    def written(self, rows: int) -> int:
        """How many texts a writer is asked for, the `rows` that are drawn at the end included: those of the first
        round, of the rounds between, and what is looked at ahead. A text that is unfit is asked for again."""
        each_round = len(self.cells) * self.texts
        return each_round * self.mechanism.rounds * (1 + int(self.variation["lookahead"])) + rows


# What of the contract's `generation` says how much is drawn, and how quickly: no part of what is voted on. Nor is how
# roundly the model computes: a run may go on with another precision.
_NOT_OF_THE_TEXTS = {"rows", "batch_size"}
_OF_VARIATION = ("variation", "shown", "kept", "paraphrase", "topics", "lookahead")


def evolution_plan(contract: Contract, release: Release[EvolutionTerms], size: float) -> EvolutionPlan:
    """The plan of a contract's evolution, its noise calibrated to the release's epsilon. A quick pass over a share of
    the units, `size` in (0, 1], is voted on in as many rounds with that share of the texts."""
    terms, evolution = contract.privacy, contract.privacy.releases[EVOLUTION]
    epsilon, delta = evolution.epsilon_of(terms.budget), terms.budget.delta
    shape = NoisyVotes(evolution.rounds, 0.0, terms.unit.max_records)
    stated = evolution.model_dump(mode="json")
    return EvolutionPlan(
        mechanism=shape if math.isinf(epsilon) else _calibrated(shape, epsilon, delta),
        cells=contract.cells,
        texts=max(2, round(evolution.texts * size)),
        threshold=evolution.threshold,
        survivors=evolution.survivors,
        variation={name: stated[name] for name in _OF_VARIATION},
        epsilon=epsilon,
        delta=delta,
        unit=terms.unit.name,
        neighbouring_relation=terms.unit.neighbouring_relation,
        max_tokens=terms.text.max_tokens,
        base_model=terms.base_model.name,
        endpoint=terms.base_model.endpoint,
        asked=None if terms.prompt is None else terms.prompt.model_dump(mode="json"),
        drawing=terms.generation.model_dump(mode="json", exclude=_NOT_OF_THE_TEXTS),
    )


def _calibrated(shape: NoisyVotes, epsilon: float, delta: float) -> NoisyVotes:
    """`shape` with the smallest noise multiplier that keeps its event within (epsilon, delta)."""

    def event(noise: float) -> SelfComposed:
        return NoisyVotes(shape.rounds, noise, shape.max_records).event()

    return NoisyVotes(shape.rounds, calibrate(event, epsilon, delta), shape.max_records)
