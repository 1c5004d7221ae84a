"""What an audited run is said to have shown: how far the attack got, and whether the mechanism's promise stands.

The promise is the mechanism's whole privacy curve. It is refuted if the guesses about the canaries are right more often
than any mechanism with that curve allows, but for a probability of 1 - confidence (`trade_off`). The **lower bound** is
the highest epsilon, at the promise's delta, of the same mechanism with other noise that is refuted too: at least the
promise where the promise is refuted, less where it is not.

Two sets of guesses are made, fixed before any run: all canaries, half of them in; and the few with the highest scores,
in. The first serves where units are sampled often, the second where most canaries that take part are never drawn. Each
is tested at half of the level, and the worse counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dpsynth_assets.audit.one_run import Guesses, Rate, area_under_curve, true_positive_rate
from dpsynth_assets.audit.trade_off import is_refuted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dpsynth_assets.audit.trade_off import PrivacyCurve

FILE = "audit.json"
CONFIDENCE = 0.95
_FEW = 20
_PRECISION = 0.01  # of the bound's noise, relative; the bound is rounded down
_MOST_NOISE = 256.0  # times the mechanism's: with so much more it promises next to nothing


class Promise(Protocol):
    """What a run promised, and what it would promise with another noise."""

    delta: float

    def epsilon(self, noise: float = 1.0) -> float:
        """At `delta`, with `noise` times the noise."""

    def curve(self, noise: float = 1.0) -> PrivacyCurve:
        """Delta at every epsilon, with `noise` times the noise."""


@dataclass(frozen=True)
class Finding:
    """What an audit found. All of it may be published: it is made of noisy sums, coins that are ours, and the plan.

    Attributes:
        steps: how many the attack saw, those included that a kill lost.
        guesses: each set of guesses.
        epsilon: what was promised at `delta`, as privacy loss distributions give it.
        lower_bound: of epsilon, at `confidence`.
        refuted: whether the promise is.
        area_under_curve, true_positive_rate: how well the attack tells canaries (`one_run`).
    """

    canaries: int
    steps: int
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
    def of(cls, folder: Path) -> Finding | None:
        """The finding that a release carries; None where it was not audited."""
        file = folder / FILE
        if not file.exists():
            return None
        said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        rates = {name: Rate(**said[name]) for name in ("area_under_curve", "true_positive_rate")}
        return cls(**{**said, **rates, "guesses": tuple(Guesses(**each) for each in said["guesses"])})


def finding(scores: NDArray[np.float64], included: NDArray[np.bool_], steps: int, promise: Promise) -> Finding:
    """What the scores say of the promise."""
    guesses = _guesses(scores, included)
    level = (1 - CONFIDENCE) / len(guesses)

    def refuted(noise: float) -> bool:
        curve = promise.curve(noise)
        return any(is_refuted(curve, each, level) for each in guesses)

    bound = _bound(refuted, promise)
    return Finding(
        canaries=len(scores),
        steps=steps,
        guesses=guesses,
        confidence=CONFIDENCE,
        epsilon=promise.epsilon(),
        delta=promise.delta,
        lower_bound=bound,
        refuted=refuted(1.0),
        area_under_curve=area_under_curve(scores, included),
        true_positive_rate=true_positive_rate(scores, included),
    )


def _guesses(scores: NDArray[np.float64], included: NDArray[np.bool_]) -> tuple[Guesses, ...]:
    in_order = included[np.argsort(scores, kind="stable")]  # ties by number, which no coin decides
    half = len(in_order) // 2
    right = int((~in_order[:half]).sum()) + int(in_order[half:].sum())
    few = min(_FEW, half)
    return Guesses(len(in_order), len(in_order), right), Guesses(len(in_order), few, int(in_order[-few:].sum()))


def _bound(refuted: Callable[[float], bool], promise: Promise) -> float:
    """The epsilon of the mechanism with the least noise that is refuted, by bisection: with more noise, more is."""
    if not refuted(_MOST_NOISE):
        return 0.0
    low, high = math.log(1 / 4), math.log(_MOST_NOISE)  # where a quarter of the noise is refuted too, that is said
    if refuted(math.exp(low)):
        return promise.epsilon(math.exp(low))
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if refuted(math.exp(middle)) else (middle, high)
    return promise.epsilon(math.exp(high))
