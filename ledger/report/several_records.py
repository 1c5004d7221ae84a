"""What somebody with several records faces, where the privacy unit is a single record.

The guarantee of a record-level ledger is about one record. A person with k of them faces more, and generic group
privacy (k times ε, and δ grown beyond use) says nothing from three on. Mechanism by mechanism it is tight:

- Gaussian noise: k records move a sum k clipping norms, so the noise multiplier is divided by k; the Laplace mechanisms
  have k times the sensitivity.
- DP-SGD that samples records: in each step Binomial(k, q) of them join, and the step is dominated by a mixture of
  Gaussians [Choquette-Choo et al. 2023, arXiv 2310.15526].

The composition is by privacy loss distributions, so the figures hold for charges fixed in advance: they are reported,
and nothing is admitted on them. Events are read as their JSON, since a journal may be newer than this program.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

RECORDS = (1, 2, 4, 8)
# Of the discretised privacy loss, times the number of records: epsilon is rounded up by some 0.1 % then, in a third of
# the time, since it grows at least as fast as the records.
INTERVAL = 1e-3
MAX_DIFFERENT = 16  # mechanisms that a report composes: up to a second each


class CannotTellError(Exception):
    """There is no such figure; the message says why, in a clause."""


def epsilon_of(events: Sequence[Any], records: int, delta: float) -> float:
    """Epsilon at delta of all events together, for somebody with so many records.

    Raises:
        CannotTellError: The events hold one whose privacy loss distribution is not known, or are too many to compose.
    """
    import numpy
    from dp_accounting.pld import PLDAccountant

    counted = Counter(json.dumps(event, sort_keys=True) for event in events)
    if len(counted) > MAX_DIFFERENT:
        raise CannotTellError(f"{len(counted)} different mechanisms are more than a report composes")
    if not counted:
        return 0.0
    accountant = PLDAccountant(value_discretization_interval=INTERVAL * records)
    try:
        with numpy.errstate(all="ignore"):
            for document, count in sorted(counted.items()):
                accountant.compose(_for_records(json.loads(document), records), count)
            return float(accountant.get_epsilon(delta))
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise CannotTellError("a mechanism among them cannot be evaluated") from None


def _for_records(event: Any, records: int) -> Any:
    """The dp_accounting event for a group of so many records; pure-DP vectors as the randomized response that
    dominates them, as in `ledger.accounting`."""
    import dp_accounting as google

    match event:
        case {"event": "gaussian", "version": 1, "noise_multiplier": noise}:
            return google.GaussianDpEvent(noise / records)
        case {"event": "laplace", "version": 1, "scale": scale, "sensitivity": sensitivity}:
            return google.LaplaceDpEvent(scale / (records * sensitivity))
        case {"event": "discrete_laplace", "version": 1, "scale": scale, "sensitivity": sensitivity}:
            loss = records * sensitivity / scale
            return google.dp_event.DiscreteLaplaceDpEvent(noise_parameter=loss, sensitivity=1)
        case {"event": "poisson_sampled_gaussian", "version": 1}:
            return _sampled(records, event)
        case {"event": "mixture_of_gaussians", "version": 1, "records": several}:
            return _sampled(records * several, event)
        case {"event": "composed", "version": 1, "events": [*parts]}:
            return google.ComposedDpEvent([_for_records(part, records) for part in parts])
        case {"event": "self_composed", "version": 1, "part": part, "times": times}:
            return google.SelfComposedDpEvent(_for_records(part, records), times)
        case {"event": "repeat_and_select"}:
            raise CannotTellError("the best of a hidden number of runs has no known privacy loss distribution")
    raise CannotTellError("they hold a mechanism that this program does not know")


def _sampled(records: int, event: Mapping[str, Any]) -> Any:
    import dp_accounting as google

    rate, noise, steps = event["sampling_rate"], event["noise_multiplier"], event["steps"]
    if records == 1:
        step: Any = google.PoissonSampledDpEvent(rate, google.GaussianDpEvent(noise))
    else:
        step = google.dp_event.MixtureOfGaussiansDpEvent(
            noise,
            [float(joined) for joined in range(records + 1)],
            [math.comb(records, k) * rate**k * (1 - rate) ** (records - k) for k in range(records + 1)],
        )
    return google.SelfComposedDpEvent(step, steps)


def mechanisms_in(events: Iterable[Any]) -> Counter[str]:
    """How often each named mechanism occurs, those inside compositions and sweeps too."""
    found: Counter[str] = Counter()
    for event in events:
        if isinstance(event, dict):
            found[str(event.get("event"))] += 1
            inner = [event.get("part"), event.get("trial"), *(event.get("events") or [])]
            found.update(mechanisms_in(part for part in inner if part is not None))
    return found
