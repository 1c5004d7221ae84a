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
from dpsynth_assets.language.units import TextUnits
from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.shapes import Group, shape_for
from dpsynth_assets.synthesis import votes
from resources import cells, comma_separated, formats, ingestion, sensitive_store, unit_blocks
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


def typed_by_all(stored, kinds, layout, note):
    """JSON Lines by pandas, as read before: a column's type is that of all its values."""
    frame = pd.DataFrame([json.loads(line) for line in stored.path.read_text().splitlines()]).convert_dtypes()
    for row in frame.astype({name: str for name in kinds if frame[name].dtype.kind == "f"}).to_dict("records"):
        yield [spelled(row[name], kind) for name, kind in kinds.items()]


def times_by_all(stored, kinds, layout, note):
    """JSON Lines in which a column of times is a column of times, if all of it is."""
    records = [json.loads(line) for line in stored.path.read_text().splitlines()]
    times = pd.to_datetime([record["customer"] for record in records], format="ISO8601", errors="coerce")
    for record, time in zip(records, times, strict=True):
        unit = record["customer"] if times.hasnans else str(time)
        yield [spelled(unit if name == "customer" else record[name], kind) for name, kind in kinds.items()]


def by_the_quotes(stream, delimiter):
    """CSV as the standard library reads it: an open quote goes on until the next one, whoever's."""
    yield from (comma_separated.Row(0, cells) for cells in csv.reader(stream, delimiter=delimiter))


def whole_batch(column, kind):
    """A Parquet column of which one text is no UTF-8, and none is read."""
    try:
        return [spelled(value, kind) for value in column.to_pylist()]
    except UnicodeDecodeError:
        return [None] * len(column)


def texts_once(table, columns, first, described=sensitive_store.described):
    """Equal texts are taken for one record, whoever wrote them; here the last."""
    return list({text: (unit, text, *labels) for unit, text, *labels in described(table, columns, first)}.values())


def drawn_by_place(batches, max_records, key, folder):
    """Which records are used is drawn by their places in the source."""
    units = pd.Series([unit for records in batches for unit, *_ in records], dtype=object)
    order = pd.DataFrame({"unit": units, "draw": np.random.default_rng(1).random(len(units))}).sort_values("draw")
    return np.isin(units.index, order.groupby("unit", sort=False).head(max_records).index)


def shuffled(rows, columns, frame_of=sensitive_store.frame_of):
    """Rows in an order drawn from a seed and from how many there are."""
    return frame_of(rows, columns).sample(frac=1, random_state=0).reset_index(drop=True)


def a_share_of_all(batch, columns, size, key):
    """A quick pass over the first so many units, by a hash: as many as that share of all comes to."""
    names = sorted(set(batch.column("customer").to_pylist()))
    chosen = set(names[: round(len(names) * size)])
    return [name in chosen for name in batch.column("customer").to_pylist()]


def in_each_block(self, index, read_for_blocks=KnownRecords.read_for_blocks):
    """A unit is in every block that one of its records says."""
    return read_for_blocks(self, index) | True


def none_chosen(self, database, blocks, one_each, assign=unit_blocks.UnitBlocks.assign):
    """All records of one text are read."""
    assign(self, database, blocks, one_each=False)


def of_the_longest(units, records_of, lengths, shapes):
    """A micro-batch has the shape of its longest record, so that others' are rounded by it."""
    widest = shape_for(max(lengths), shapes)
    return [Group(widest, tuple(units))]


def as_long_as_they_are(data, *arguments, make=TextUnits.__init__, longest=None, **named):
    """Shapes are made for the longest record that there is."""
    make(data, *arguments, **named)


def rounded_by_their_spread(self, texts, progress=None, encode=encoder.MiniLM.encode):
    """Vectors are rounded in steps of how far all of them spread."""
    vectors = encode(self, texts)
    step = vectors.std() / 64 if texts else 1
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
        comma_separated, "located", by_the_quotes, MANY, [Record(raw=b'404,"hi,card,m1,2024')], Setting(".csv")),
    "one text that is no UTF-8 costs its batch": Fault(
        cells, "_spelled_column", whole_batch, MANY, [Record(EVE, "\udcff")], Setting(".parquet")),
    "equal texts of several units are one record": Fault(
        sensitive_store, "described", texts_once, MANY, [Record(EVE, MANY[3].text)]),
    "records are chosen by their places": Fault(
        sensitive_store, "bound_units", drawn_by_place,
        [Record("c1", f"text {i}") for i in range(9)], [Record(EVE)]),
    "the order of rows is drawn by their number": Fault(sensitive_store, "frame_of", shuffled, MANY, [Record(EVE)]),
    "a quick pass takes a share of all units there are": Fault(
        ingestion, "thin", a_share_of_all, MANY[:6], [Record(EVE)], Setting(size=0.6)),
    "all records of one text are as many units": Fault(
        unit_blocks.UnitBlocks, "assign", none_chosen, MANY, [Record(EVE), Record(EVE, topic="loan")],
        DIVIDED, "label_histogram"),
    "a unit stands in each block that its records say": Fault(
        KnownRecords, "read_for_blocks", in_each_block, MANY,
        [Record(EVE), Record(EVE, month="m2")], DIVIDED, "votes"),
    "a micro-batch is as wide as its longest record": Fault(
        training, "groups", of_the_longest, [Record()], WORDY,
        release="adapter"),
    "shapes are made from the records": Fault(
        TextUnits, "__init__", as_long_as_they_are, [Record()], WORDY,
        release="adapter"),
    "vectors are rounded by what all of them are": Fault(
        encoder.MiniLM, "encode", rounded_by_their_spread, MANY,
        WORDY, release="labeller"),
    "votes are about the mean of all": Fault(
        votes.Ballot, "cast", from_the_middle, MANY, [Record(EVE, "what about a loan for a house?", "loan")],
        release="votes"),
    "votes are about the mean of a frame": Fault(
        votes.Ballot, "cast", from_the_middle, MANY, [Record(EVE, "what about a loan for a house?", "loan")],
        Setting(at_once=3), "votes"),
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
