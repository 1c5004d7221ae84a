"""Mechanisms as data: what a release does to the sensitive rows, reduced to the public numbers that cost privacy.

An event is a frozen value. Its meaning never changes once entries refer to it: a new meaning gets a new version, and
an unknown name or version is refused, never guessed. The codec is an allow-list of plain JSON objects; decoding one
can build the classes below and nothing else. This module must not know how an event is accounted (see `accounting`),
nor anything about data.

    >>> from_json({"event": "gaussian", "version": 1, "noise_multiplier": 2.0})
    Gaussian(noise_multiplier=2.0)

All events speak about adding or removing one privacy unit. Sensitivities are therefore those of one whole unit: a
unit with up to k records changes k counts, so its histogram has sensitivity k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, final

from ledger.errors import InvalidEvent

# Beyond these, floating-point accounting cannot be trusted and no mechanism is useful: noise a thousandth of the
# sensitivity protects nobody, a billion times it says nothing.
NOISE_RANGE = (1e-3, 1e9)
MAX_STEPS = 10**9
MAX_COMPOSED = 10_000
MAX_DEPTH = 8
MAX_RECORDS = 64
MAX_SHAPE = 1e3


def _real(event: object, name: str, low: float, high: float) -> float:
    """A finite float in [low, high]. Booleans, strings, NaN and infinities are refused: NaN would lower the total."""
    value = getattr(event, name)
    where = f"{type(event).__name__}.{name}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidEvent(f"{where} must be a number, not {type(value).__name__}: give it as a plain float")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not low <= number <= high:
        raise InvalidEvent(f"{where} is {number!r}: it must be finite and lie in [{low:g}, {high:g}]")
    return number


def _whole(event: object, name: str, high: int) -> int:
    value = getattr(event, name)
    where = f"{type(event).__name__}.{name}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidEvent(f"{where} must be a whole number, not {type(value).__name__}")
    if not 1 <= value <= high:
        raise InvalidEvent(f"{where} is {value}: it must lie in [1, {high}]")
    return int(value)


@dataclass(frozen=True)
class Event:
    """Base of all events. `NAME` and `VERSION` identify the meaning in the ledger, not the class."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1

    def to_json(self) -> dict[str, Any]:
        """The event as a plain JSON object, by which it is stored and hashed."""
        return {
            "event": self.NAME,
            "version": self.VERSION,
            **{field.name: getattr(self, field.name) for field in fields(self)},
        }

    def describe(self) -> str:
        """One line for people: refusals, plans, statements."""
        raise NotImplementedError

    def _fix(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


@final
@dataclass(frozen=True)
class Gaussian(Event):
    """Gaussian noise with standard deviation `noise_multiplier` x the l2 sensitivity to one unit."""

    noise_multiplier: float
    NAME: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        self._fix("noise_multiplier", _real(self, "noise_multiplier", *NOISE_RANGE))

    def describe(self) -> str:
        return f"Gaussian noise, multiplier {self.noise_multiplier:g}"


@final
@dataclass(frozen=True)
class Laplace(Event):
    """Independent Laplace noise of `scale` on every coordinate; `sensitivity` is the l1 sensitivity to one unit."""

    scale: float
    sensitivity: float
    NAME: ClassVar[str] = "laplace"

    def __post_init__(self) -> None:
        self._fix("scale", _real(self, "scale", *NOISE_RANGE))
        self._fix("sensitivity", _real(self, "sensitivity", *NOISE_RANGE))
        _check_ratio(self, self.scale / self.sensitivity)

    def describe(self) -> str:
        return f"Laplace noise, scale {self.scale:g}, l1 sensitivity {self.sensitivity:g}"


@final
@dataclass(frozen=True)
class DiscreteLaplace(Event):
    """Integer noise with P(k) proportional to exp(-|k| / scale) on every count of an integer vector.

    `sensitivity` is the whole l1 distance by which one unit can move the vector: with k records a unit, k.
    """

    scale: float
    sensitivity: int
    NAME: ClassVar[str] = "discrete_laplace"

    def __post_init__(self) -> None:
        self._fix("scale", _real(self, "scale", *NOISE_RANGE))
        self._fix("sensitivity", _whole(self, "sensitivity", MAX_STEPS))
        _check_ratio(self, self.scale / self.sensitivity)

    def describe(self) -> str:
        return f"discrete Laplace noise, scale {self.scale:g}, l1 sensitivity {self.sensitivity}"


@final
@dataclass(frozen=True)
class PoissonSampledGaussian(Event):
    """One DP-SGD run: in each of `steps` steps every unit joins independently with probability `sampling_rate`, and
    the sum of clipped contributions gets Gaussian noise of `noise_multiplier` x the clipping norm."""

    sampling_rate: float
    noise_multiplier: float
    steps: int
    NAME: ClassVar[str] = "poisson_sampled_gaussian"

    def __post_init__(self) -> None:
        self._fix("sampling_rate", _real(self, "sampling_rate", 1e-9, 1.0))
        self._fix("noise_multiplier", _real(self, "noise_multiplier", *NOISE_RANGE))
        self._fix("steps", _whole(self, "steps", MAX_STEPS))

    def describe(self) -> str:
        return (
            f"DP-SGD, sampling rate {self.sampling_rate:g}, noise multiplier {self.noise_multiplier:g}, "
            f"{self.steps} steps"
        )


@final
@dataclass(frozen=True)
class MixtureOfGaussians(Event):
    """DP-SGD that samples records, not units: in each of `steps` steps each of a unit's up to `records` records joins
    by itself with probability `sampling_rate`, each with a clipped contribution of its own, and the sum gets Gaussian
    noise of `noise_multiplier` x the clipping norm. The unit then moves the sum by Binomial(records, sampling_rate)
    clipping norms [Choquette-Choo et al. 2023, arXiv 2310.15526, section 3]."""

    sampling_rate: float
    records: int
    noise_multiplier: float
    steps: int
    NAME: ClassVar[str] = "mixture_of_gaussians"

    def __post_init__(self) -> None:
        self._fix("sampling_rate", _real(self, "sampling_rate", 1e-9, 1.0))
        self._fix("records", _whole(self, "records", MAX_RECORDS))
        self._fix("noise_multiplier", _real(self, "noise_multiplier", *NOISE_RANGE))
        self._fix("steps", _whole(self, "steps", MAX_STEPS))

    def describe(self) -> str:
        return (
            f"DP-SGD on records (up to {self.records} a unit), sampling rate {self.sampling_rate:g}, noise multiplier "
            f"{self.noise_multiplier:g}, {self.steps} steps"
        )


@final
@dataclass(frozen=True)
class RepeatAndSelect(Event):
    """The best of K runs of `trial`, of which nothing else is shown, not even K: a tuning sweep as one release.

    K is drawn in secret from the truncated negative binomial distribution with this `shape` (1: geometric, 0:
    logarithmic) and `mean` [Papernot and Steinke 2022, arXiv 2110.03620, Theorem 2].
    """

    trial: Event
    mean: float
    shape: float
    NAME: ClassVar[str] = "repeat_and_select"

    def __post_init__(self) -> None:
        check_known(self.trial)
        self._fix("mean", _real(self, "mean", 1.0 + 1e-6, 1e9))
        self._fix("shape", _real(self, "shape", 0.0, MAX_SHAPE))
        _check_depth(self)

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"trial": self.trial.to_json()}

    def describe(self) -> str:
        return f"the best of {self.mean:g} runs on average ({self.trial.describe()})"


@final
@dataclass(frozen=True)
class SelfComposed(Event):
    """The same mechanism `times` times."""

    part: Event
    times: int
    NAME: ClassVar[str] = "self_composed"

    def __post_init__(self) -> None:
        check_known(self.part)
        self._fix("times", _whole(self, "times", MAX_STEPS))
        _check_depth(self)

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"part": self.part.to_json()}

    def describe(self) -> str:
        return f"{self.times} times ({self.part.describe()})"


@final
@dataclass(frozen=True)
class Composed(Event):
    """Several mechanisms charged as one release, all or nothing."""

    events: tuple[Event, ...]
    NAME: ClassVar[str] = "composed"

    def __post_init__(self) -> None:
        if not isinstance(self.events, tuple) or not 1 <= len(self.events) <= MAX_COMPOSED:
            raise InvalidEvent(f"Composed.events must be a tuple of 1 to {MAX_COMPOSED} events")
        for event in self.events:
            check_known(event)
        _check_depth(self)

    def to_json(self) -> dict[str, Any]:
        return {"event": self.NAME, "version": self.VERSION, "events": [event.to_json() for event in self.events]}

    def describe(self) -> str:
        return " + ".join(event.describe() for event in self.events)


def _check_ratio(event: Laplace | DiscreteLaplace, ratio: float) -> None:
    if not NOISE_RANGE[0] <= ratio <= NOISE_RANGE[1]:
        raise InvalidEvent(
            f"{type(event).__name__}: scale / sensitivity is {ratio!r}, it must lie in "
            f"[{NOISE_RANGE[0]:g}, {NOISE_RANGE[1]:g}]"
        )


def parts_of(event: Event) -> tuple[Event, ...]:
    """The events that an event is made of; none for a single mechanism."""
    match event:
        case Composed(events=events):
            return events
        case SelfComposed(part=part):
            return (part,)
        case RepeatAndSelect(trial=trial):
            return (trial,)
    return ()


def _check_depth(event: Event) -> None:
    level: tuple[Event, ...] = (event,)
    for _ in range(MAX_DEPTH + 1):
        level = tuple({part for outer in level for part in parts_of(outer)})
        if not level:
            return
    raise InvalidEvent(f"events may be nested at most {MAX_DEPTH} deep")


_KINDS: tuple[type[Event], ...] = (
    Gaussian,
    Laplace,
    DiscreteLaplace,
    PoissonSampledGaussian,
    MixtureOfGaussians,
    RepeatAndSelect,
    Composed,
    SelfComposed,
)
_KNOWN: dict[tuple[str, int], type[Event]] = {(kind.NAME, kind.VERSION): kind for kind in _KINDS}


def check_known(event: object) -> Event:
    """The event itself if its class is exactly one on the allow-list; subclasses and look-alikes are refused."""
    if type(event) not in _KNOWN.values():
        raise InvalidEvent(
            f"{type(event).__name__} is not an event the ledger can account for; use one of "
            + ", ".join(sorted(kind.__name__ for kind in _KNOWN.values()))
        )
    assert isinstance(event, Event)
    return event


def intact(event: object) -> Event:
    """The event made anew from what would be stored: one that was tampered with after it was made is refused before it
    is written, since no later reader could decode it."""
    return from_json(check_known(event).to_json())


def from_json(document: object, _level: int = 0) -> Event:
    """The event that `to_json` described. Unknown names, versions and keys are refused by name."""
    if not isinstance(document, Mapping):
        raise InvalidEvent(f"an event must be a JSON object, not {type(document).__name__}")
    name, version = document.get("event"), document.get("version")
    if not isinstance(name, str) or isinstance(version, bool) or not isinstance(version, int):
        raise InvalidEvent("an event needs a text under 'event' and a whole number under 'version'")
    kind = _KNOWN.get((name, version))
    if kind is None:
        known = ", ".join(f"{name} v{version}" for name, version in sorted(_KNOWN))
        raise InvalidEvent(f"unknown event {name!r} version {version}; this ledger knows {known}")
    expected = {field.name for field in fields(kind)}
    given = set(document) - {"event", "version"}
    if given != expected:
        raise InvalidEvent(
            f"event {name!r} version {version} must have exactly the keys {sorted(expected)}; "
            f"missing {sorted(expected - given)}, unknown {sorted(map(str, given - expected))}"
        )
    if _level > MAX_DEPTH:
        raise InvalidEvent(f"events may be nested at most {MAX_DEPTH} deep")
    values = {key: document[key] for key in expected}
    if "events" in values:
        if not isinstance(values["events"], list | tuple):
            raise InvalidEvent(f"'events' must be a list, not {type(values['events']).__name__}")
        values["events"] = tuple(from_json(part, _level + 1) for part in values["events"])
    for key in {"part", "trial"} & expected:
        values[key] = from_json(values[key], _level + 1)
    return kind(**values)


def repetitions(event: Event | None) -> int:
    """How often the mechanism of an event runs: its steps, or how many times it is composed; 0 for none."""
    if event is None:
        return 0
    return int(getattr(event, "steps", getattr(event, "times", 1)))


def within(actual: Event, planned: Event) -> bool:
    """Whether `actual` is `planned` itself or the same mechanism stopped after fewer steps.

    Every other parameter must be equal: a charge may only ever drop along a number that was public and fixed.
    """
    if type(actual) is type(planned):
        for count in ("steps", "times"):
            if hasattr(actual, count):
                return replace(actual, **{count: getattr(planned, count)}) == planned and bool(
                    getattr(actual, count) <= getattr(planned, count)
                )
    if isinstance(actual, Composed) and isinstance(planned, Composed):
        return len(actual.events) == len(planned.events) and all(map(within, actual.events, planned.events))
    return actual == planned
