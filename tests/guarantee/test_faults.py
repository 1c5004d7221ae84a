"""The comparison of neighbours finds what it is for: each mend is taken out, one at a time, and it must object.

Each *fault* is one that stood in this platform, or at its door, before it was mended (see decisions 19 and 20): what
the code did then is put in the place of what it does now. Without the fault the same two sources pass.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpsynth_assets.classify import dp_training, encoder
from dpsynth_assets.language import finetuning
from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.shapes import Group, shape_for
from dpsynth_assets.synthesis import votes
from resources import comma_separated, formats, known_records, sensitive_store
from resources.canonical import spelled
from resources.known_records import KnownRecords
from tests.guarantee.neighbours import DiffersError, compare, units_of, without_her
from tests.guarantee.sources import Record, Setting

EVE = "404"
MANY = [Record(f"c{i}", f"my card number {i} is lost", ("card", "loan")[i % 2]) for i in range(12)]
WORDY = [Record(EVE, "a text of many more words than that")]
PLAIN = Setting()
DIVIDED = Setting(unit_column=False, blocks=("m1", "m2"))


@dataclass(frozen=True)
class Fault:
    """What was wrong, where, and two sources that show it: `rest`, and `rest` with `hers` in its middle.

    Attributes:
        release: whose mechanism is handed the difference.
    """

    place: Any
    name: str
    wrong: Callable[..., Any]
    rest: list[Record]
    hers: list[Record]
    setting: Setting = PLAIN
    release: str = "store"


def typed_by_all(path, kinds):
    """JSON Lines by pandas, as read before: a column's type is that of all its values."""
    frame = pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()]).convert_dtypes()
    for row in frame.astype({name: str for name in kinds if frame[name].dtype.kind == "f"}).to_dict("records"):
        yield [spelled(row[name], kind) for name, kind in kinds.items()]


def times_by_all(path, kinds):
    """JSON Lines in which a column of times is a column of times, if all of it is."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    times = pd.to_datetime([record["customer"] for record in records], format="ISO8601", errors="coerce")
    for record, time in zip(records, times, strict=True):
        unit = record["customer"] if times.hasnans else str(time)
        yield [spelled(unit if name == "customer" else record[name], kind) for name, kind in kinds.items()]


def by_the_quotes(stream):
    """CSV as the standard library reads it: an open quote goes on until the next one, whoever's."""
    yield from csv.reader(stream)


def whole_batch(column, kind):
    """A Parquet column of which one text is no UTF-8, and none is read."""
    try:
        return [spelled(value, kind) for value in column.to_pylist()]
    except UnicodeDecodeError:
        return [None] * len(column)


def texts_once(table, columns, as_rows=sensitive_store.as_rows):
    """Equal texts are taken for one record, whoever wrote them; here the last."""
    return as_rows(table, columns).drop_duplicates("text", keep="last").reset_index(drop=True)


def drawn_by_place(rows, max_records, key, bound_units=sensitive_store.bound_units):
    """Which records are kept is drawn by their places in the source."""
    draws = np.random.default_rng(1).random(len(rows))
    order = rows.assign(draw=draws).sort_values("draw")
    kept = order.groupby("unit", sort=False).head(max_records).index
    return rows.loc[sorted(kept)].reset_index(drop=True)


def shuffled(rows, max_records, key, bound_units=sensitive_store.bound_units):
    """Rows in an order drawn from a seed and from how many there are."""
    return bound_units(rows, max_records, key).sample(frac=1, random_state=0).reset_index(drop=True)


def a_share_of_all(table, columns, size, key):
    """A quick pass over the first so many units, by a hash: as many as that share of all comes to."""
    names = sorted(set(table.column("customer").to_pylist()))
    chosen = set(names[: round(len(names) * size)])
    return table.filter([name in chosen for name in table.column("customer").to_pylist()])


def of_the_longest(units, records_of, lengths, shapes):
    """A micro-batch has the shape of its longest record, so that others' are rounded by it."""
    widest = shape_for(max(lengths), shapes)
    return [Group(widest, tuple(units))]


def as_long_as_they_are(data, *arguments, make=finetuning.TextUnits.__init__, longest=None, **named):
    """Shapes are made for the longest record that there is."""
    make(data, *arguments, **named)


def rounded_by_their_spread(self, texts, progress=None, encode=encoder.MiniLM.encode):
    """Vectors are rounded in steps of how far all of them spread."""
    vectors = encode(self, texts)
    step = vectors.std() / 64
    return np.round(vectors / step) * step


def from_the_middle(self, labels, texts, encoder):
    """Votes on how a record differs from the mean of all."""
    vectors = encoder.encode(texts)
    moved = vectors - vectors.mean(axis=0)
    return [(*label, str(votes.nearest(each, self.centres))) for label, each in zip(labels, moved, strict=True)]


def own_words(texts, shape):
    """A word's number is its place among the words of all records."""
    words = sorted({word for text in texts for word in text.split()})
    return [[1 + words.index(word) for word in text.split()] or [0] for text in texts]


def each_record(data, *arguments, make=dp_training.LabelledUnits.__init__):
    """Records are clipped one by one, whoever's they are."""
    *rest, units = arguments
    make(data, *rest, range(len(units)))


FAULTS = {
    "a column's type is inferred from all records": Fault(
        formats, "READERS", {**formats.READERS, ".jsonl": typed_by_all}, [Record(7), Record(8)], [Record(7.5)]),
    "a column of times is one until somebody writes another id": Fault(
        formats, "READERS", {**formats.READERS, ".jsonl": times_by_all},
        [Record("2024-01-01 10:00:01"), Record("2024-01-01T10:00:01", "good bye")], [Record(EVE)]),
    "a quote that stays open takes the records after it": Fault(
        comma_separated, "records", by_the_quotes, MANY, [Record(raw=b'404,"hi,card,m1,2024')], Setting(".csv")),
    "one text that is no UTF-8 costs its batch": Fault(
        formats, "_spelled_column", whole_batch, MANY, [Record(EVE, "\udcff")], Setting(".parquet")),
    "equal texts of several units are one record": Fault(
        sensitive_store, "as_rows", texts_once, MANY, [Record(EVE, MANY[3].text)]),
    "records are chosen by their places": Fault(
        sensitive_store, "bound_units", drawn_by_place,
        [Record("c1", f"text {i}") for i in range(9)], [Record(EVE)]),
    "the order of rows is drawn by their number": Fault(sensitive_store, "bound_units", shuffled, MANY, [Record(EVE)]),
    "a quick pass takes a share of all units there are": Fault(
        sensitive_store, "thin", a_share_of_all, MANY[:6], [Record(EVE)], Setting(size=0.6)),
    "all records of one text are as many units": Fault(
        known_records, "_one_of_each", lambda table, units, kept: kept, MANY, [Record(EVE), Record(EVE, topic="loan")],
        DIVIDED, "label_histogram"),
    "a unit stands in each block that its records say": Fault(
        KnownRecords, "in_their_blocks", lambda self, table, source: (table, {}), MANY,
        [Record(EVE), Record(EVE, month="m2")], DIVIDED, "votes"),
    "a micro-batch is as wide as its longest record": Fault(
        training, "groups", of_the_longest, [Record()], WORDY,
        release="adapter"),
    "shapes are made from the records": Fault(
        finetuning.TextUnits, "__init__", as_long_as_they_are, [Record()], WORDY,
        release="adapter"),
    "vectors are rounded by what all of them are": Fault(
        encoder.MiniLM, "encode", rounded_by_their_spread, MANY,
        WORDY, release="labeller"),
    "votes are about the mean of all": Fault(
        votes.Ballot, "cast", from_the_middle, MANY, [Record(EVE, "what about a loan for a house?", "loan")],
        release="votes"),
    "words are numbered by all records": Fault(
        dp_training, "hashed", own_words, MANY, [Record(EVE, "a text")], release="dp_baseline"),
    "records of a unit are clipped one by one": Fault(
        dp_training.LabelledUnits, "__init__", each_record, MANY, [Record(EVE), Record(EVE, "more")],
        release="dp_baseline"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_mend_that_is_taken_out_is_missed(name, monkeypatch):
    fault = FAULTS[name]
    setting, rest, hers, half = fault.setting, fault.rest, fault.hers, len(fault.rest) // 2
    more, less = [*rest[:half], *hers, *rest[half:]], without_her(setting, rest, hers)
    look = partial(compare, setting, more, less, units_of(setting, hers), fault.release)
    look()
    monkeypatch.setattr(fault.place, fault.name, fault.wrong)
    with pytest.raises(DiffersError):
        look()
