"""Two thresholds on a calibrated probability: from one on a text is blocked, below the other it is allowed.

What lies between is for a person to look at. Both are chosen on labelled rows that took no part in training, each with
a bound that holds although many thresholds were tried:

    block    P(unsafe | probability >= block) >= precision      so that what is blocked deserves it
    review   P(probability >= review | unsafe) >= recall        so that little that is unsafe passes unseen

**Guarantee.** If calibration and certification rows are drawn independently from one distribution P, both lines hold
for texts from P, together, with probability at least `confidence` over the draw of the rows. Where no threshold can be
shown to be precise enough, `block` is None and nothing is ever blocked.

**Proof.** Condition on the calibration rows: the candidate thresholds and their order come from them alone and are
constants from here on. Let a = (1 - confidence) / 2.

1. *One candidate t has level a.* Given that n certification rows have a probability of at least t, those rows are
   independent draws from P given that event, so the number K of unsafe ones among them is Bin(n, q), q the precision at
   t. Accepting t means that the Clopper-Pearson lower bound of K out of n at level 1 - a reaches the target, which is
   the same as P(Bin(n, target) >= K) <= a. If q < target, Bin(n, q) is stochastically smaller than Bin(n, target), and
   the probability of accepting is at most a: for every n, hence without the condition on n. For recall the same holds
   with the n unsafe rows, of which K have a probability of at least t.
2. *No correction for their number.* Candidates are tested in their fixed order, up to the first that is not accepted.
   Let t* be the first in that order whose precision is below the target. Some such candidate can be accepted only if t*
   is: probability at most a, however many there are. (Fixed-sequence testing: Bauer 1991, "Multiple testing in clinical
   trials"; for choosing a model's settings Angelopoulos et al. 2021, "Learn then Test"; the order learned on rows of
   its own as in Laufer-Goldshtein et al. 2023, "Efficiently controlling multiple risks with Pareto testing".)
3. The two searches fail with probability at most a each. ∎

**What would break it:** rows that the classifier was trained on; certification rows used to calibrate, to order the
candidates or to choose between classifiers; a deployment whose texts are not drawn as the rows were. Precision in
particular depends on how common unsafe texts are: at a share r of them it is r R / (r R + (1 - r) F), with R the recall
and F the false-positive rate. Synthetic rows make the claim one about synthetic text.

For *synthetic or declared-public* rows only: on sensitive rows a threshold would be an unmetered release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import beta

from dpsynth_assets.classify.errors import ClassifierError

_CANDIDATES = 100  # more would lie closer together than the bounds can tell apart


@dataclass(frozen=True)
class Targets:
    """What is asked for. `confidence` is that of both bounds together."""

    precision: float = 0.95
    recall: float = 0.9
    confidence: float = 0.95

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < 1:
                raise ValueError(f"{name} must lie strictly between 0 and 1, not {value!r}")

    @property
    def level(self) -> float:
        """With what probability each of the two bounds may fail."""
        return (1 - self.confidence) / 2


@dataclass(frozen=True)
class Bound:
    """What the certification rows say about one threshold: `right` of `n` rows, and the rate's lower bound."""

    right: int
    n: int
    low: float


@dataclass(frozen=True)
class Thresholds:
    """The two thresholds with their evidence. Public, if the rows are.

    Attributes:
        block: texts of at least this probability are blocked; None: no text ever is.
        review: texts of at least this probability, and not blocked, go to a person. 0: all of them.
        precision: of `block` on the certification rows; where that is None, of the candidate that came nearest.
        recall: of blocking and review together, likewise.
        calibration_rows, certification_rows: how many rows there were.
        unsafe_share: of the certification rows; the precision holds where unsafe texts are about as common.
    """

    targets: Targets
    block: float | None
    review: float
    precision: Bound
    recall: Bound
    calibration_rows: int
    certification_rows: int
    unsafe_share: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def thresholds_from(stored: Mapping[str, Any]) -> Thresholds:
    """The thresholds that `Thresholds.to_json` gave, as a manifest holds them."""
    parts = {"targets": Targets(**stored["targets"]), **{n: Bound(**stored[n]) for n in ("precision", "recall")}}
    return Thresholds(**{**stored, **parts})


@dataclass(frozen=True, eq=False)
class Rows:
    """Probabilities of being unsafe that a classifier gives to some rows, and which of them are. Shape (rows,)."""

    probabilities: np.ndarray
    unsafe: np.ndarray

    def __post_init__(self) -> None:
        if self.probabilities.shape != self.unsafe.shape or self.unsafe.dtype != np.bool_:
            raise ClassifierError("each row needs one probability and one truth value")
        if not (np.isfinite(self.probabilities).all() and (abs(self.probabilities - 0.5) <= 0.5).all()):
            raise ClassifierError("a probability is not in [0, 1]; export the classifier again")

    def __len__(self) -> int:
        return len(self.unsafe)

    def precision(self, threshold: float, level: float) -> Bound:
        """How many of the rows from the threshold on are unsafe; the bound fails with probability `level` at most."""
        chosen = self.unsafe[self.probabilities >= threshold]
        return _bound(int(chosen.sum()), len(chosen), level)

    def recall(self, threshold: float, level: float) -> Bound:
        """How many of the unsafe rows lie at the threshold or above."""
        found = self.probabilities[self.unsafe] >= threshold
        return _bound(int(found.sum()), len(found), level)


def choose(calibration: Rows, certification: Rows, targets: Targets) -> Thresholds:
    """The lowest block threshold that is certainly precise enough, and the highest review threshold that certainly
    lets little pass. See the module's docstring for what that means, and for what must not be done with the rows.

    Raises:
        ClassifierError: one of the two parts lacks safe or unsafe rows.
    """
    for name, rows in (("calibration", calibration), ("certification", certification)):
        if rows.unsafe.all() or not rows.unsafe.any():
            raise ClassifierError(
                f"the {len(rows)} {name} rows are all of one kind; give more rows, safe and unsafe ones"
            )
    level = targets.level
    grid = _grid(calibration.probabilities)
    ascending, descending = grid, grid[::-1]
    # Blocking starts where the calibration rows are surest of the target and goes down from there: what lies above
    # has less recall and is not wanted, and might have too few rows to be accepted, which would end the search.
    start = max(range(len(descending)), key=lambda place: calibration.precision(descending[place], level).low)
    block, precision = _last_accepted(
        descending[start:], lambda threshold: certification.precision(threshold, level), targets.precision
    )
    review, recall = _last_accepted(ascending, lambda threshold: certification.recall(threshold, level), targets.recall)
    if review is None:
        review, recall = 0.0, certification.recall(0.0, level)  # true of every classifier, and needs no rows
    if block is not None and review > block:
        review, recall = block, certification.recall(block, level)  # lower, so the recall is no less
    return Thresholds(
        targets=targets,
        block=block,
        review=review,
        precision=precision,
        recall=recall,
        calibration_rows=len(calibration),
        certification_rows=len(certification),
        unsafe_share=float(certification.unsafe.mean()),
    )


def _last_accepted(order: Sequence[float], bound: Any, target: float) -> tuple[float | None, Bound]:
    """Fixed-sequence testing. The bound is the accepted candidate's, or the first one's where none is accepted."""
    accepted, evidence = None, bound(order[0])
    for threshold in order:
        found = bound(threshold)
        if found.low < target:
            break
        accepted, evidence = threshold, found
    return accepted, evidence


def _grid(probabilities: np.ndarray) -> list[float]:
    """Ascending candidates, midway between neighbouring values of the calibration rows at evenly spaced ranks: so that
    a device which rounds the last digit otherwise decides the same."""
    distinct = np.unique(probabilities)
    midway = (np.concatenate([[0.0], distinct[:-1]]) + distinct) / 2
    places = np.unique(np.linspace(0, len(midway) - 1, _CANDIDATES).round().astype(int))
    return [float(value) for value in midway[places]]


def _bound(right: int, n: int, level: float) -> Bound:
    """Clopper and Pearson's one-sided lower bound: below it lies the rate with probability `level` at most.

    In closed form, not by scipy's `binomtest`, which searches for it and ends as often above as below.
    """
    return Bound(right, n, float(beta.ppf(level, right, n - right + 1)) if right else 0.0)
