"""What each registered release hands its mechanism, recorded at the mechanism's own door.

A release is run as the gate runs it (`Work.check`, then `Work.run`), on rows as the sensitive store hands them out, up
to the point where noise would be added. There are four doors to the mechanisms: `HistogramPlan.release`,
`NoisyVotes.release` once a round, `NoisyPhrases.release`, and the loop of `dpsynth_assets.privacy.training`. Whatever
release comes through one of them is recorded here without another line; one that comes through none, or with records of
a kind that is not known here, fails its tests and says what is missing.

What takes long and sees no row is left out or done once: models are not verified, encoders are loaded and looked at
once. Everything that is computed from rows is the release's own code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn
from unittest import mock

import numpy as np
import pandas as pd

from dpsynth_assets.classify import dp_training, encoder
from dpsynth_assets.classify.apart import apart
from dpsynth_assets.contract import Contract
from dpsynth_assets.language import trainable
from dpsynth_assets.language.units import TextUnits
from dpsynth_assets.language.writing import Request
from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.evolution import NoisyVotes
from dpsynth_assets.privacy.histogram import HistogramPlan
from dpsynth_assets.privacy.key_phrases import NoisyPhrases
from dpsynth_assets.releases.release import Release, Workspace
from dpsynth_assets.releases.votes import CANDIDATES
from dpsynth_assets.synthesis import evolution, votes
from dpsynth_assets.synthesis.candidates import DRAWN

Unit = tuple[str, tuple[bytes, ...]]
"""A unit's name, and all that the mechanism has of it: its records, and in training the shape they are computed in."""


@dataclass
class Handed:
    """All that one mechanism is handed.

    Attributes:
        units: in the mechanism's order.
        public: what must not depend on who is there: the mechanism, the first weights, the shapes.
        counts: where records are counted, the counts before noise.
        reach: how far one unit may move these in l2 norm, where noise is scaled to that; else `max_records` in l1.
    """

    units: list[Unit] = field(default_factory=list)
    public: list[str] = field(default_factory=list)
    counts: Mapping[Any, int] | None = None
    reach: float | None = None


class Reached(Exception):  # noqa: N818 - nothing went wrong
    """The mechanism has all it is handed, and would now add noise."""


def of_store(rows: pd.DataFrame) -> Handed:
    """What all releases are handed."""
    return Handed(_by_unit(rows["unit"].tolist(), [repr(row[1:]).encode() for row in rows.itertuples(index=False)]))


def of_release(release: Release[Any], contract: Contract, rows: pd.DataFrame, most: int | None = None) -> Handed:
    """What the release's mechanism is handed of the rows, in frames of so many at most."""
    frames = [rows[start : start + most] for start in range(0, len(rows), most)] if most else [rows]
    with _quick(), tempfile.TemporaryDirectory() as folder, _doors(rows) as handed:
        plan = release.plan(contract)
        ready = _ready(release, contract, plan)
        work = Workspace(Path(folder), Path(folder) / "checkpoints", lambda *_: None, lambda *_: None)
        try:
            release.computes.run(contract, plan, frames, ready, work)
        except Reached:
            return handed
    raise AssertionError(f"{release.name} reached no mechanism that {__name__} records: add the one that it uses")


@contextmanager
def _doors(rows: pd.DataFrame) -> Iterator[Handed]:
    handed, names = Handed(), rows["unit"].tolist()
    numbered = list(dict.fromkeys(names))  # units go by number, in the order in which they first appear
    computed: dict[int, Unit] = {}

    def release(plan: HistogramPlan, records: Sequence[Any], units: Any) -> NoReturn:
        handed.public += [repr(plan)]
        own = [numbered[unit] for unit in units]
        handed.units, handed.counts = _by_unit(own, [repr(r).encode() for r in records]), plan.exact(records, units)
        raise Reached

    rounds: list[tuple[str, bytes]] = []

    def vote(mechanism: NoisyVotes, votes: Sequence[int], units: Any, texts: int) -> Any:
        handed.public += [repr(mechanism), repr(texts)]
        rounds.extend((numbered[unit], repr(each).encode()) for unit, each in zip(units, votes, strict=True))
        handed.units = _by_unit([unit for unit, _ in rounds], [each for _, each in rounds])
        handed.counts = dict(enumerate(mechanism.exact(votes, units, texts).tolist()))
        if handed.public.count(repr(mechanism)) == mechanism.rounds:
            raise Reached
        return np.zeros(texts)  # as if noise had chosen nobody, whoever voted

    def count_phrases(mechanism: NoisyPhrases, records: Iterable[tuple[object, Any]]) -> NoReturn:
        listed = [(str(unit), sorted(said)) for unit, said in records]
        handed.public += [repr(mechanism)]
        handed.units = _by_unit([unit for unit, _ in listed], [repr(said).encode() for _, said in listed])
        handed.counts, handed.reach = mechanism.exact(listed), mechanism.sensitivity
        raise Reached

    def run(parameters: Any, mechanism: Any, learning: Any) -> Any:
        handed.public += [training._fingerprint(parameters), repr(mechanism), repr(learning)]
        return begin(parameters, mechanism, learning)

    def groups(units: Any, records_of: Any, lengths: Any, shapes: Any) -> Any:
        handed.public += [repr(shapes)]
        return divide(units, records_of, lengths, shapes)

    def add(clipped: Any, model: Any, data: Any, group: Any) -> None:
        for unit in group.units:
            own = data.records_of[unit]
            assert len({names[record] for record in own}) == 1, "records of several units are clipped as one"
            said = (*(_record(data, record) for record in own), repr((group.shape, group.passes)).encode())
            computed[unit] = (names[own[0]], said)

    def add_noise(sums: Any) -> NoReturn:
        handed.units = [computed[unit] for unit in sorted(computed)]
        raise Reached

    begin, divide = training._Run, vars(training)["groups"]
    with (
        mock.patch.object(HistogramPlan, "release", release),
        mock.patch.object(NoisyVotes, "release", vote),
        mock.patch.object(NoisyPhrases, "release", count_phrases),
        mock.patch.object(training, "PoissonSampler", _Everyone),
        mock.patch.object(training, "_Run", run),
        mock.patch.object(training, "groups", groups),
        mock.patch.object(training, "add", add),
        mock.patch.object(training, "_noise", return_value=SimpleNamespace(add_=add_noise)),
    ):
        yield handed


class _Everyone:
    """A batch of all units."""

    def __init__(self, units: int, *_: Any) -> None:
        self._units = units

    def draw(self) -> np.ndarray:
        return np.arange(self._units)


class _Echo:
    """A writer that says what it was asked, so that a text depends on what was asked alone."""

    def write(self, requests: Sequence[Request], seed: int, told: Any = None) -> list[str]:
        return [f"{each.begin} {each.asked} {place} of {seed}" for place, each in enumerate(requests)]


def _record(data: training.UnitData, record: int) -> bytes:
    """All that a mechanism's data hold of one record."""
    length = data.lengths[record]
    if isinstance(data, TextUnits):
        return repr((length, data._records[record])).encode()
    if isinstance(data, dp_training.LabelledUnits):
        return repr((length, data._examples[record].numpy().tobytes(), int(data._codes[record]))).encode()
    raise AssertionError(f"{__name__} does not know what {type(data).__name__} hold of a record: say it here")


def _by_unit(units: Sequence[str], records: Sequence[bytes]) -> list[Unit]:
    """In the order in which the units first appear."""
    own: dict[str, list[bytes]] = {}
    for unit, record in zip(units, records, strict=True):
        own.setdefault(unit, []).append(record)
    return [(unit, tuple(records)) for unit, records in own.items()]


@contextmanager
def _quick() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(trainable, "_verify", return_value=False))  # in float32
        stack.enter_context(mock.patch.object(dp_training, "_verify"))
        stack.enter_context(mock.patch.object(encoder, "MiniLM", _encoder))
        stack.enter_context(mock.patch.object(evolution, "_writer", return_value=_Echo()))
        for module in (dp_training, votes):
            stack.enter_context(mock.patch.object(module, "apart", _apart))
        yield


_encoder, _apart = cache(encoder.MiniLM), cache(apart)
_made: dict[tuple[Any, ...], Any] = {}


def _ready(release: Release[Any], contract: Contract, plan: Any) -> Any:
    """What is made before a row is read, once for each plan."""
    key = (release.name, plan.digest(), contract.cells)
    if key not in _made:
        with tempfile.TemporaryDirectory() as folder:
            texts = [f"{word} {number}" for word in ("thank you", "my card", "a loan") for number in range(4)]
            pd.DataFrame({contract.privacy.text.column: texts}).to_parquet(Path(folder) / DRAWN)
            made = {CANDIDATES: SimpleNamespace(folder=Path(folder), digest="made up")}
            made_from = {name: made[name] for name in release.made_from if name in made}
            _made[key] = release.computes.check(contract, plan, made_from, lambda *_: None)
    return _made[key]
