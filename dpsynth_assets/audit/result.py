"""What an audited run is said to have shown: how far the attack got, and whether the mechanism's promise stands.

The promise is the mechanism's whole privacy curve. It is refuted if the guesses about the canaries are right more often
than any mechanism with that curve allows, but for a probability of 1 - confidence (`trade_off`). The **lower bound** is
the highest epsilon, at the promise's delta, of the same mechanism with other noise that is refuted too: above the
promise where the promise is refuted, below it where it is not.

Three sets of guesses are made, by rules that were fixed before any run:
1. about all canaries: in where some step holds more than half of what a canary that is drawn adds. It serves where
   there is no noise, or far too little.
2. about all canaries: in for the half with the highest scores. It serves where contributions are too long.
3. the few with the highest scores: in. It serves where most canaries that take part are never drawn.
Each is tested at a third of the level, and the worst counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dpsynth_assets.audit.guesses import Guesses, Rate, area_under_curve, true_positive_rate
from dpsynth_assets.audit.trade_off import fewest_to_refute, is_refuted

if TYPE_CHECKING:
    from dpsynth_assets.audit.canaries import Canaries
    from dpsynth_assets.audit.trade_off import PrivacyCurve

FILE = "audit.json"
CONFIDENCE = 0.95
_SETS, _FEW = 3, 20
_HALF_OF_ONE = 0.5
_PRECISION = 0.01  # of the bound's noise, relative; the bound is rounded down
_LEAST_NOISE, _MOST_NOISE = 1 / 4, 64.0  # times the mechanism's: between these the bound is looked for


class Promise(Protocol):
    """What a run promised, and what it would promise with another noise."""

    delta: float

    def epsilon(self, noise: float = 1.0) -> float:
        """At `delta`, with `noise` times the noise."""

    def curve(self, noise: float = 1.0) -> PrivacyCurve:
        """Delta at every epsilon, with `noise` times the noise."""


@dataclass(frozen=True)
class AuditResult:
    """What an audit found. All of it may be published: it is made of noisy sums, coins that are ours, and the plan.

    Attributes:
        canaries: how many there were, in and out.
        steps: how many the attack saw, those included that a kill lost. Fewer than `planned` where what it had seen was
            lost: it has lost its force then, and not its truth.
        planned: how many steps the training has.
        guesses: each set of guesses.
        epsilon: what was promised at `delta`, as privacy loss distributions give it.
        lower_bound: of epsilon, at `confidence`.
        refuted: whether the promise is.
        area_under_curve, true_positive_rate: how well the attack tells canaries (`guesses`).
    """

    canaries: int
    steps: int
    planned: int
    guesses: tuple[Guesses, ...]
    confidence: float
    epsilon: float
    delta: float
    lower_bound: float
    refuted: bool
    area_under_curve: Rate
    true_positive_rate: Rate

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")

    @classmethod
    def of(cls, folder: Path) -> AuditResult | None:
        """The finding that a release carries; None where it was not audited."""
        file = folder / FILE
        if not file.exists():
            return None
        said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        rates = {name: Rate(**said[name]) for name in ("area_under_curve", "true_positive_rate")}
        return cls(**{**said, **rates, "guesses": tuple(Guesses(**each) for each in said["guesses"])})


def audit_result(canaries: Canaries, promise: Promise, planned: int) -> AuditResult:
    """What the attack on a run's canaries says of what the run promised."""
    guesses = _guesses(canaries)
    level = (1 - CONFIDENCE) / _SETS

    def refuted(noise: float) -> bool:
        curve = promise.curve(noise)
        return any(is_refuted(curve, each, level) for each in guesses)

    epsilon, broken, bound = promise.epsilon(), refuted(1.0), _bound(refuted, promise)
    if broken:  # then the promise itself is too low
        bound = max(bound, math.nextafter(epsilon, math.inf))
    return AuditResult(
        canaries=len(canaries.included),
        steps=canaries.steps,
        planned=planned,
        guesses=guesses,
        confidence=CONFIDENCE,
        epsilon=epsilon,
        delta=promise.delta,
        lower_bound=bound,
        refuted=broken,
        area_under_curve=area_under_curve(canaries.scores, canaries.included),
        true_positive_rate=true_positive_rate(canaries.scores, canaries.included),
    )


def right_to_refute(promise: Promise, canaries: int) -> int | None:
    """How many guesses about all canaries have to be right to refute the promise; None where no number of any of the
    sets would: an audit that cannot fail."""
    curve, level = promise.curve(), (1 - CONFIDENCE) / _SETS
    few = min(_FEW, canaries // 2)
    needed = fewest_to_refute(curve, canaries, canaries, level)
    return canaries if needed is None and fewest_to_refute(curve, canaries, few, level) is not None else needed


def _guesses(canaries: Canaries) -> tuple[Guesses, ...]:
    included, m = canaries.included, len(canaries.included)
    in_order = included[np.argsort(canaries.scores, kind="stable")]  # ties by number, which no coin decides
    half, few = m // 2, min(_FEW, m // 2)
    return (
        Guesses(m, m, int(((canaries.peaks > _HALF_OF_ONE) == included).sum())),
        Guesses(m, m, int((~in_order[:half]).sum()) + int(in_order[half:].sum())),
        Guesses(m, few, int(in_order[-few:].sum())),
    )


def _bound(refuted: Callable[[float], bool], promise: Promise) -> float:
    """The epsilon of the mechanism with the least noise that is refuted, by bisection: with more noise, more is."""
    ends = (_LEAST_NOISE, 1.0) if refuted(1.0) else (1.0, _MOST_NOISE)
    if not refuted(ends[1]):
        return 0.0
    if refuted(ends[0]):
        return promise.epsilon(ends[0])
    low, high = map(math.log, ends)
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if refuted(math.exp(middle)) else (middle, high)
    return promise.epsilon(math.exp(high))
