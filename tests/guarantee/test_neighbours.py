"""Adding or removing one unit changes what mechanisms are given of that unit, and not a byte of anybody else's.

From the file as an exporter writes it, through the sensitive store, to each mechanism (`tests.guarantee.neighbours`).
Who joins may have written anything, and a broken exporter may have written their record in any way.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpsynth_assets.releases import registry
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.labeller import LABELLER
from resources import formats
from tests.guarantee.neighbours import compare, handed, require_neighbours, units_of, without_her
from tests.guarantee.releases import Handed
from tests.guarantee.sources import WRITERS, Record, Setting

EVE = "404"  # a name where ids are text, and a number where they are numbers
ACCENTS = ("\u00e9", "e\u0301")  # one letter in two forms of Unicode
TIMES = [Record("2024-01-01 10:00:01"), Record("2024-01-01T10:00:01")]
ORDINARY = ("thank you", "hello", 'say "no"', "a, b", "two\nlines", "two\r\nlines", "  ", "NA", "null", "é", "1",
            ", and more", "\r\na line end first", ",")  # fmt: skip

texts = st.sampled_from(ORDINARY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
topics = st.sampled_from(["card", "loan", "0", "1", "1.0", "mortgage", "", "nan", 0, 1, 1.0, 0.5, True])
months = st.sampled_from(["m1", "m2", "m3"])
years = st.sampled_from([2024, 2025])
others = st.lists(
    st.builds(
        Record,
        st.sampled_from(["c1", "c2", "007", "7", "7.0", "nan", "\u00e9", "e\u0301"]),
        texts,
        topics,
        months,
        years,
    ),
    max_size=10,
)
odd = st.sampled_from([None, True, False, -1, 7.5, 1e300, float("nan"), "", " ", "null", "2024-01-01", [1], {"a": "1"}])
one_of_eves = st.builds(Record, st.just(EVE), texts | st.none(), topics | odd, months | odd, years | odd)
eves = st.lists(one_of_eves, min_size=1, max_size=4)

public = st.builds(
    Setting,
    suffix=st.sampled_from(list(WRITERS)),
    unit_column=st.booleans(),
    unit_kind=st.sampled_from(["string", "integer"]),
    max_records=st.sampled_from([1, 2]),
    blocks=st.sampled_from([(), ("m1", "m2")]),
    size=st.sampled_from([1.0, 0.6]),
    where=st.sampled_from([{}, {"year": 2024}]),
    topic_kind=st.sampled_from(["string", "integer"]),
    labels=st.sampled_from([("topic",), ("topic", "year")]),
    at_once=st.sampled_from([None, 2]),
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


def mixed(rest, hers, order):
    """Her records somewhere between the others', which keep their order; after them without an `order`."""
    if order is None:
        return [*rest, *hers]
    places = set(order.sample(range(len(rest) + len(hers)), len(rest)))
    theirs, own = iter(rest), iter(hers)
    return [next(theirs if place in places else own) for place in range(len(rest) + len(hers))]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", WRITERS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(setting=public, rest=others, hers=eves, order=st.randoms(use_true_random=False))
def test_one_unit_more_is_all_that_a_mechanism_sees_of_it(suffix, setting, rest, hers, order):
    setting, less = replace(setting, suffix=suffix), without_her(setting, rest, hers)
    compare(setting, mixed(rest, hers, order), less, units_of(setting, hers))


DIVIDED = Setting(unit_column=False, blocks=("m1", "m2"))
TIES = [Record(f"c{i}", "thank you", topic) for i in range(20) for topic in ("card", "loan")]
PAIRS = {
    "equal texts": (Setting(max_records=1), TIES, [Record(EVE, "thank you")]),
    "equal records of units that are records": (Setting(unit_column=False), TIES[:9] * 2, [TIES[0], TIES[0]]),
    "the ends of batches": (Setting(at_once=2), TIES[:11], [Record(EVE, "a\nb"), Record(EVE)]),
    "more tokens than all others": (Setting(), TIES[:3], [Record(EVE, "what a long text of many words " * 9)]),
    "two spellings of a time": (Setting(), TIMES, [Record(EVE)]),
    "ids like numbers": (Setting(), [Record("007"), Record("7"), Record("0007"), Record("7.0")], [Record(EVE)]),
    "ids that are numbers": (Setting(unit_kind="integer"), [Record("007"), Record(7), Record("8")], [Record("9.0")]),
    "ids of two forms of Unicode": (Setting(), [Record(each) for each in ACCENTS], [Record(EVE, ACCENTS[0])]),
    "a fraction for a label": (Setting(), [Record(topic=0), Record("c2", topic=1)], [Record(EVE, topic="0.5")]),
    "a float for a label": (Setting(), [Record(topic=0), Record("c2", topic=1)], [Record(EVE, topic="1.0")]),
    "several labels": (Setting(labels=("topic", "year")), [*TIES, Record(year=2025)], [Record(EVE, year=None)]),
    "no text in UTF-8": (Setting(), TIES[:9], [Record(EVE, "\udcff")]),
    "nobody else": (Setting(blocks=("m1", "m2"), size=0.6), [], [Record(EVE)]),
    "a text in two blocks": (DIVIDED, [Record(text="thank you"), Record(month="m2")], [Record(EVE, topic=None)]),
    "a text twice in a block": (DIVIDED, [], [Record(EVE), Record(EVE, topic="loan")]),
    "a text of two labels": (DIVIDED, [Record(month="m2")], [Record(EVE, topic="loan")]),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("name", PAIRS)
def test_ties_and_odd_values_of_one_unit_are_its_own(suffix, name):
    setting, rest, hers = PAIRS[name]
    setting = replace(setting, suffix=suffix)
    for more in ([*rest, *hers], [*hers, *rest]):
        compare(setting, more, without_her(setting, rest, hers), units_of(setting, hers))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(public, others, st.randoms(use_true_random=False))
def test_the_order_of_a_sources_records_says_nothing(setting, records, order):
    shuffled = order.sample(records, len(records))
    one, other = (
        sorted((unit if setting.unit_column else "", sorted(own)) for unit, own in found["store"].units)
        for found in (handed(setting, each, ["store"]) for each in (records, shuffled))
    )
    assert one == other


@pytest.mark.slow
def test_what_is_handed_is_every_unit_that_the_store_gives():
    """Else nothing would be compared."""
    records = [Record(), Record("c2", "a word", "loan"), Record("c1", "two more words", "loan"), Record("c3")]
    for setting in (Setting(), Setting(unit_column=False), Setting(labels=("topic", "year"))):
        found = handed(setting, records)
        assert found.keys() == {"store", *(release.name for release in registry.releases())}
        for name, each in found.items():
            assert [unit for unit, _ in each.units] == [unit for unit, _ in found["store"].units], name
            assert len({own for _, own in each.units}) > 1, f"{name}: all records are the same to it"


@pytest.mark.slow
def test_without_labels_all_records_are_of_one_class_and_handed_alike():
    """But to what predicts a label, which such a contract cannot plan."""
    predicting = {LABELLER, DP_BASELINE}
    names = ("store", *(release.name for release in registry.releases() if release not in predicting))
    setting, hers = Setting(labels=()), [Record(EVE, "what she wrote", "anything")]
    records = [Record(), Record("c2", "a word", None), Record("c1", "two more words", "loan"), Record("c3")]
    for name, each in handed(setting, records, names).items():
        assert [unit for unit, _ in each.units] == ["c1", "c2", "c3"], name
    compare(setting, [*records, *hers], records, 1, *names)


def test_there_is_a_writer_for_every_format_that_is_read():
    server = {
        "postgresql"
    }  # reads by the same rules, from what cannot be started here: tests/resources/test_postgresql.py
    assert {*formats.READERS, "folder", "hub"} - server == set(WRITERS)


def test_the_contract_here_plans_every_registered_release():
    missing = {release.name for release in registry.releases()} - set(registry.planned_names(Setting().contract))
    assert not missing, f"plan {missing} in small.odcs.yaml: no neighbours are compared without"


def test_a_release_that_is_registered_is_compared_or_the_recorder_says_what_it_lacks():
    def plan(contract, release, size):
        return LABEL_HISTOGRAM.plan(contract, size)

    with registry.registered(replace(LABEL_HISTOGRAM, name="new", planner=plan)):
        assert handed(Setting(), [Record()])["new"].counts == {("card",): 1, ("loan",): 0}
    idle = SimpleNamespace(check=lambda *_: None, run=lambda *_: None)
    with (
        registry.registered(replace(LABEL_HISTOGRAM, name="new", planner=plan, work=idle)),
        pytest.raises(AssertionError, match="new reached no mechanism"),
    ):
        handed(Setting(), [Record()])


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
def of_neighbours(suffix: str, unit_column: bool) -> tuple[Setting, dict[str, Handed]]:
    """A setting, and what is handed of the neighbours alone."""
    other = Setting(suffix, False, where={"year": 2024}, blocks=("m1", "m2"), at_once=3)
    setting = Setting(suffix) if unit_column else other
    return setting, handed(setting, NEIGHBOURS)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "name", "broken"), BROKEN, ids=[f"{suffix}: {name}" for suffix, name, _ in BROKEN])
@pytest.mark.parametrize("place", [0, 6, 7, len(NEIGHBOURS)])
def test_a_record_that_cannot_be_read_costs_nobody_elses(suffix, name, broken, place):
    for unit_column in (True, False):
        setting, less = of_neighbours(suffix, unit_column)
        more = handed(setting, [*NEIGHBOURS[:place], broken, *NEIGHBOURS[place:]])
        for release in less:
            require_neighbours(setting, more[release], less[release], 1, release)
