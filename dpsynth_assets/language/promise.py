"""What a training run promised, for its audit: the privacy curve of the events that are charged for it.

By privacy loss distributions, which are tighter than the currency that the ledger enforces: what refutes this promise
refutes that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dpsynth_assets.audit.trade_off import PrivacyCurve
from ledger.accounting import MAX_PLD_EPSILON, pld_epsilon, privacy_curve
from ledger.events import NOISE_RANGE

if TYPE_CHECKING:
    from ledger import PoissonSampledGaussian

_EPSILONS = (*np.arange(0.0, 3.0, 0.05).tolist(), *np.arange(3.0, 20.0, 0.25).tolist())


class TrainingPromise:
    """The promise of a training run (`audit.result.Promise`).

    Args:
        events: all that is charged: the run's own and what a kill made it run again.
    """

    def __init__(self, events: Sequence[PoissonSampledGaussian], delta: float) -> None:
        self._events = tuple(events)
        self.delta = delta

    def epsilon(self, noise: float = 1.0) -> float:
        """As the protocol says; where it is more than distributions are computed for, as much as that."""
        found = pld_epsilon(self._with(noise), self.delta)
        return MAX_PLD_EPSILON if found is None else found

    def curve(self, noise: float = 1.0) -> PrivacyCurve:
        deltas = privacy_curve(self._with(noise), _EPSILONS)
        return PrivacyCurve(_EPSILONS, [1.0] * len(_EPSILONS) if deltas is None else deltas)

    def _with(self, noise: float) -> list[PoissonSampledGaussian]:
        """The events with so much more noise, within what an event may state: a paid run must not fail on its audit."""
        least, most = NOISE_RANGE
        return [
            replace(event, noise_multiplier=min(max(event.noise_multiplier * noise, least), most))
            for event in self._events
        ]
