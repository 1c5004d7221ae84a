"""A second opinion on what Gaussian noise costs, by accountants that share no code with the ledger's: Opacus'.

The ledger's figure alone is enforced. Beside it stand two others [Yousefpour et al. 2021, arXiv 2109.12298]:

- RDP: the same theorem (Mironov, Talwar and Zhang 2019, arXiv 1908.10530) in another implementation. At every order
  the ledger's cost must not be the smaller one. At whole orders, where both add up the same terms, they must be equal;
  between those the ledger may take a larger bound.
- PRV: another method (Gopi, Lee and Wutschitz 2021, arXiv 2106.02848), which bounds the true epsilon from both sides.
  What is charged must not lie below its lower bound.

Both speak about adding or removing one unit under Poisson sampling, as events do. Opacus knows no other noise and no
other sampling: a release with any of those gets no second opinion, and is told so. Knows no data and no ledger's state.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

from ledger.accounting import CANDIDATE_ORDERS, STEP_MARGIN, renyi_vector
from ledger.accounting import epsilon as charged_alone
from ledger.errors import LedgerError
from ledger.events import (
    Composed,
    DiscreteLaplace,
    Event,
    Gaussian,
    Laplace,
    MixtureOfGaussians,
    PoissonSampledGaussian,
    RepeatAndSelect,
    SelfComposed,
)

Steps = tuple[tuple[float, float, int], ...]  # noise multiplier, sampling rate, steps: as Opacus writes its history

ROUNDING = 1e-6  # relative; what the two sums differ by is far less
# Where the PRV accountant is asked. Above the first two its grid takes gigabytes. The third is by how much delta must
# exceed the rounding of doubles over all steps: near 1 its "bounds" are too large by several units of epsilon.
_MOST_STEPS, _LARGEST, _ABOVE_ROUNDING = 10**5, 50.0, 1000

_KNOWN = (Gaussian, PoissonSampledGaussian)
_UNKNOWN: dict[type[Event], str] = {
    Laplace: "Laplace noise",
    DiscreteLaplace: "discrete Laplace noise",
    MixtureOfGaussians: "sampling record by record",
    RepeatAndSelect: "the best of several runs",
}


class DisagreementError(LedgerError):
    """What would be charged for a release is not what another accountant finds."""


@dataclass(frozen=True)
class SecondOpinion:
    """What Opacus finds for one release alone.

    Attributes:
        rdp: epsilon by its Renyi accountant at the ledger's orders, the best of which it may take.
        prv: bounds from below and above by its PRV accountant; None where its arithmetic does not bear them.
    """

    rdp: float
    prv: tuple[float, float] | None

    def __str__(self) -> str:
        prv = "none" if self.prv is None else f"{self.prv[0]:.3f} to {self.prv[1]:.3f}"
        return f"RDP {self.rdp:.3f}, PRV {prv}"


def second_opinion(event: Event, delta: float) -> SecondOpinion | str:
    """Opacus' figures for the event, or why there are none."""
    kinds = {type(leaf) for leaf, _ in _leaves(event)}.difference(_KNOWN)
    unknown = sorted(_UNKNOWN.get(kind, kind.NAME) for kind in kinds)
    if unknown:
        return f"no second opinion: Opacus does not know {' and '.join(unknown)}"
    return _asked(_steps(event), delta)


def require_agreement(event: Event, delta: float) -> None:
    """Checks what a release would be charged against Opacus. Where only some of its noise is Gaussian, the whole must
    still cost at least that much; where none is, nothing is asked.

    Raises:
        DisagreementError: the two differ by more than rounding.
    """
    steps = _steps(event)
    if not steps:
        return
    opinion = second_opinion(event, delta)
    margin = 2 * STEP_MARGIN * sum(count for _, _, count in steps)
    for order, own, other in zip(CANDIDATE_ORDERS, renyi_vector(event, CANDIDATE_ORDERS), _renyi(steps), strict=True):
        same = order.is_integer() and isinstance(opinion, SecondOpinion)
        if not own >= other * (1 - ROUNDING) or (same and own > other * (1 + ROUNDING) + margin):
            raise DisagreementError(_refusal(event, f"{own:.6g} at order {order:g}", f"{other:.6g} (RDP)"))
    if isinstance(opinion, str):
        return
    charged = charged_alone(event, delta)
    for other, name in ((opinion.rdp, "RDP"), (opinion.prv[0] if opinion.prv else 0.0, "PRV")):
        if not charged >= other * (1 - ROUNDING):
            raise DisagreementError(_refusal(event, f"epsilon {charged:.4f}", f"at least {other:.4f} ({name})"))


def _leaves(event: Event, times: int = 1) -> Iterator[tuple[Event, int]]:
    """The mechanisms that the event is composed of, and how many times each."""
    match event:
        case Composed(events=events):
            for part in events:
                yield from _leaves(part, times)
        case SelfComposed(part=part):
            yield from _leaves(part, times * event.times)
        case _:
            yield event, times


def _steps(event: Event) -> Steps:
    """The Gaussian part of the event. One sum is sampling at rate 1."""
    found: Counter[tuple[float, float]] = Counter()
    for leaf, times in _leaves(event):
        match leaf:
            case Gaussian(noise_multiplier=noise):
                found[noise, 1.0] += times
            case PoissonSampledGaussian(sampling_rate=rate, noise_multiplier=noise):
                found[noise, rate] += times * leaf.steps
    return tuple((*noise_and_rate, count) for noise_and_rate, count in sorted(found.items()))


@lru_cache(maxsize=256)
def _renyi(steps: Steps) -> tuple[float, ...]:
    from opacus.accountants.analysis.rdp import compute_rdp

    orders = list(CANDIDATE_ORDERS)
    parts = [compute_rdp(q=rate, noise_multiplier=noise, steps=count, orders=orders) for noise, rate, count in steps]
    return tuple(float(sum(costs)) for costs in zip(*parts, strict=True))


@lru_cache(maxsize=256)
def _asked(steps: Steps, delta: float) -> SecondOpinion:
    from opacus.accountants import PRVAccountant
    from opacus.accountants.analysis.rdp import get_privacy_spent

    with warnings.catch_warnings():  # it warns of the last order, and of logarithms of 0 that it means
        warnings.simplefilter("ignore")
        rdp = max(0.0, float(get_privacy_spent(orders=list(CANDIDATE_ORDERS), rdp=_renyi(steps), delta=delta)[0]))
        count = sum(count for _, _, count in steps)
        rounding = _ABOVE_ROUNDING * count * sys.float_info.epsilon
        if not rdp <= _LARGEST or count > _MOST_STEPS or delta < rounding:
            return SecondOpinion(rdp, None)
        error = max(0.01, rdp / 200)
        accountant = PRVAccountant()
        accountant.history = list(steps)
        try:
            high = float(accountant.get_epsilon(delta, eps_error=error, delta_error=delta / 1000))
        except (RuntimeError, ValueError):  # it says by itself that its grid does not do
            return SecondOpinion(rdp, None)
    # It gives its estimate and one `error`; the truth is at most another below that. What `delta / 1000` moves is less
    # than the third.
    return SecondOpinion(rdp, (max(0.0, high - 3 * error), high))


def _refusal(event: Event, own: str, other: str) -> str:
    return (
        f"two accountants disagree about what would be charged: {event.describe()} costs {own} by the ledger "
        f"(dp-accounting {version('dp-accounting')}) and {other} by Opacus {version('opacus')}. Nothing was charged, "
        "and no row was read. One of the two is wrong: install what requirements.lock pins. Where it stays, "
        "report it, and release nothing of this kind until it is found"
    )
