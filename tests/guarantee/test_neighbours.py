"""Adding or removing one unit changes what mechanisms are given of that unit, and not a byte of anybody else's.

From the file as an exporter writes it, through the sensitive store, to the inputs of each release. Who joins may have
written anything, and a broken exporter may have written their record in any way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.guarantee.releases import RELEASES, Input, exact_counts
from tests.guarantee.sources import Record, Setting, rows

EVE = "404"  # a name where ids are text, and a number where they are numbers
ORDINARY = ("thank you", "hello", 'say "no"', "a, b", "two\nlines", "two\r\nlines", "  ", "NA", "null", "é", "1",
            ", and more", "\r\na line end first", ",")  # fmt: skip

texts = st.sampled_from(ORDINARY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
topics = st.sampled_from(["card", "loan", "0", "1", "1.0", "mortgage", "", 0, 1, 1.0, 0.5])
months = st.sampled_from(["m1", "m2", "m3"])
years = st.sampled_from([2024, 2025])
others = st.lists(
    st.builds(Record, st.sampled_from(["c1", "c2", "007", "7", "7.0", "nan"]), texts, topics, months, years),
    max_size=10,
)
one_of_eves = st.builds(Record, st.just(EVE), texts | st.none(), topics | st.none(), months | st.none(), years)
eves = st.lists(one_of_eves, min_size=1, max_size=4)

public = st.builds(
    Setting,
    suffix=st.sampled_from([".jsonl", ".csv", ".parquet"]),
    unit_column=st.booleans(),
    unit_kind=st.sampled_from(["string", "integer"]),
    max_records=st.sampled_from([1, 2]),
    blocks=st.sampled_from([(), ("m1", "m2")]),
    size=st.sampled_from([1.0, 0.6]),
    where=st.sampled_from([{}, {"year": 2024}]),
)

LONG = "some words " * 2**17  # more than a mebibyte
BROKEN_JSON = {
    "no JSON": b"{",
    "a number as text": b'{"customer": "eve", "text": 5, "topic": "card", "month": "m1", "year": 2024}',
    "a fraction for a label": b'{"customer": "eve", "text": "hi", "topic": 0.5, "month": "m1", "year": 2024}',
    "a float for a label": b'{"customer": "eve", "text": "hi", "topic": 1.0, "month": "m1", "year": 2024}',
    "a huge number": b'{"customer": 1e400, "text": "hi", "topic": 1%s, "month": "m1"}' % (b"0" * 5000),
    "not a number": b'{"customer": NaN, "text": "hi", "topic": Infinity, "month": "m1", "year": 2024}',
    "half a surrogate pair": b'{"customer": "eve", "text": "\\ud800", "topic": "card", "month": "m1", "year": 2024}',
    "bytes that are no UTF-8": b'{"customer": "eve", "text": "\xff\xfe", "topic": "card", "month": "m1"}',
    "nested deeply": b"[" * 100_000,
    "a list for an id": b'{"customer": ["c1"], "text": {"a": 1}, "topic": "card", "month": "m1", "year": 2024}',
    "more columns": b'{"customer": "eve", "text": "hi", "topic": "card", "month": "m1", "year": 2024, "a": [1, {}]}',
    "fewer columns": b'{"text": "hi"}',
    "no object": b"[1, 2, 3]",
    "a long text": json.dumps({"customer": EVE, "text": LONG, "topic": "card", "month": "m1", "year": 2024}).encode(),
    "an id like a time": b'{"customer": "2024-01-01T10:00:01", "text": "hi", "topic": "card", "month": "m1"}',
    "an id with a fraction": b'{"customer": 7.5, "text": "hi", "topic": "card", "month": "m1", "year": 2024}',
}
BROKEN_CSV = {
    "a cell more": b"eve,hi,card,m1,2024,more",
    "a cell less": b"eve,hi,card,m1",
    "a quote that is not closed": b'eve,"hi,card,m1,2024',
    "a text that was cut off": b'eve,"hi',
    "an id that was cut off": b'"eve',
    "a quote and nothing else": b'"',
    "an id in quotes, cut off": b'"eve,hi,card,m1,2024',
    "a quote after the quotes": b'eve,"h"i",card,m1,2024',
    "a quote amid a cell": b'eve,5" of pipe,card,m1,2024',
    "bytes that are no UTF-8": b"eve,\xff\xfe\xe2,card,m1,2024",
    "a null character": b"eve,a\0b,card,m1,2024",
    "a long text": f"{EVE},{LONG},card,m1,2024".encode(),
    "a long text in quotes": f'{EVE},"{LONG}",card,m1,2024'.encode(),
    "no cell": b"",
    "a year that is none": b"eve,hi,card,m1,none",
}
BROKEN_PARQUET = {
    "no id": Record(customer=None),
    "no text": Record(EVE, text=None),
    "bytes that are no UTF-8": Record(EVE, "\udcff"),
    "no label": Record(EVE, topic=None),
    "another label": Record(EVE, topic="0.5"),
    "a long text": Record(EVE, LONG),
    "a long id": Record(LONG),
    "a long label": Record(EVE, topic=LONG),
}
BROKEN = [
    *((".jsonl", name, Record(raw=raw)) for name, raw in BROKEN_JSON.items()),
    *((".csv", name, Record(raw=raw)) for name, raw in BROKEN_CSV.items()),
    *((".parquet", name, record) for name, record in BROKEN_PARQUET.items()),
]


def inputs(setting: Setting, records: Sequence[Record]) -> dict[str, list[Input]]:
    """What every release's mechanism is given of a source with these records."""
    frame = rows(setting, records)
    return {name: release(setting.contract, frame) for name, release in RELEASES.items()}


def without_her(setting: Setting, rest: Sequence[Record], hers: Sequence[Record]) -> list[Record]:
    """The source without her unit. In a divided population without a unit column all records of one text are one unit,
    whoever wrote them: those with a text of hers go with hers."""
    if setting.unit_column or not setting.blocks:
        return list(rest)
    return [record for record in rest if record.text not in {own.text for own in hers}]


def same_but_for_eve(setting: Setting, more: list[Input], less: list[Input], removed: int) -> bool:
    """Whether the inputs of all others are the same bytes in the same order."""
    if setting.unit_column:
        return [each for each in more if each[0] != EVE] == less
    left, right = ([value for _, value in each] for each in (more, less))  # the units' numbers say nothing
    if len(left) - len(right) not in range(removed + 1):
        return False
    following = iter(left)
    return all(value in following for value in right)  # in order, with none but the removed ones between


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(public, others, eves, st.randoms(use_true_random=False))
@example(Setting(max_records=1), [Record(f"c{i}", "thank you", t) for i in range(20) for t in ("card", "loan")],
         [Record(EVE, "thank you")], None)  # fmt: skip
@example(Setting(), [Record("2024-01-01 10:00:01"), Record("2024-01-01T10:00:01")], [Record(EVE)], None)
@example(Setting(".csv"), [Record("007"), Record("7"), Record("0007")], [Record(EVE)], None)
@example(Setting(), [Record(topic=0), Record("c2", topic=1)], [Record(EVE, topic=0.5)], None)
@example(Setting(), [Record(topic=0), Record("c2", topic=1)], [Record(EVE, topic=1.0)], None)
@example(Setting(".parquet"), [Record(f"c{i}") for i in range(9)], [Record(EVE, "\udcff")], None)
@example(Setting(blocks=("m1", "m2"), size=0.6), [], [Record(EVE)], None)
@example(Setting(unit_column=False, blocks=("m1", "m2")), [Record(text="thank you"), Record(month="m2")],
         [Record(EVE, topic=None)], None)  # fmt: skip
def test_one_unit_more_changes_nobody_elses_input(setting, rest, hers, order):
    mixed = [*rest, *hers]
    if order is not None:
        places = sorted(order.sample(range(len(mixed)), len(rest)))  # the others keep their order
        mixed = [None] * len(mixed)
        for place, record in zip(places, rest, strict=True):
            mixed[place] = record
        own = iter(hers)
        mixed = [record or next(own) for record in mixed]
    more, less = inputs(setting, mixed), inputs(setting, without_her(setting, rest, hers))
    for name in RELEASES:
        assert same_but_for_eve(setting, more[name], less[name], len(hers)), name


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(public, others, eves)
@example(Setting(unit_column=False, blocks=("m1", "m2")), [Record(month="m2")], [Record(EVE, topic=None)])
@example(Setting(unit_column=False, blocks=("m1", "m2")), [Record(month="m2")], [Record(EVE, topic="loan")])
@example(Setting(unit_column=False, blocks=("m1", "m2")), [], [Record(EVE), Record(EVE, topic="loan")])
def test_one_unit_moves_the_counts_by_no_more_than_is_declared(setting, rest, hers):
    contract = setting.contract
    others_alone = without_her(setting, rest, hers)
    more, less = (exact_counts(contract, rows(setting, records)) for records in ([*hers, *rest], others_alone))
    units = 1 if setting.unit_column else len({own.text for own in hers} if setting.blocks else hers)
    assert sum(abs(more[cell] - less[cell]) for cell in more) <= units * contract.privacy.unit.max_records
    assert all(more[cell] >= less[cell] for cell in more)


NEIGHBOURS = [
    Record("c1", "thank you", "card"),
    Record("c1", 'say "no", twice', "loan", "m2"),
    Record("007", "two\r\nlines", "0", "m2"),
    Record("7", "thank you", "loan"),
    Record("2024-01-01 10:00:01", "thank you", "1", "m1", 2025),
    Record("c2", "é", "card", "m3"),
    Record("c3", ", and more", "card"),
    Record("c4", "\r\na line end first", "loan", "m2"),
]


@cache
def of_neighbours(suffix: str, unit_column: bool) -> tuple[Setting, dict[str, list[Input]]]:
    """A setting, and what is given of the neighbours alone."""
    setting = Setting(suffix) if unit_column else Setting(suffix, False, where={"year": 2024}, blocks=("m1", "m2"))
    return setting, inputs(setting, NEIGHBOURS)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "name", "broken"), BROKEN, ids=[f"{suffix}: {name}" for suffix, name, _ in BROKEN])
@pytest.mark.parametrize("place", [0, 6, 7, len(NEIGHBOURS)])
def test_a_record_that_cannot_be_read_costs_nobody_elses(suffix, name, broken, place):
    for unit_column in (True, False):
        setting, less = of_neighbours(suffix, unit_column)
        more = inputs(setting, [*NEIGHBOURS[:place], broken, *NEIGHBOURS[place:]])
        known = {unit for unit, _ in less["rows"]}
        for release in RELEASES:
            named = [(unit if unit in known else EVE, value) for unit, value in more[release]]
            assert same_but_for_eve(setting, named, less[release], 1), release
