"""Where one batch ends and the next begins changes nothing: not which records are used, not their order.

What the store hands out is compared with a plain reckoning of all records at once, which knows no batches.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from dataclasses import replace
from itertools import product

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.releases import registry
from resources.tabular import described, table_at
from tests.guarantee.neighbours import handed
from tests.guarantee.sources import KEY, WRITERS, Record, Setting, rows_of_file

TEXTS = st.sampled_from(["hello", "Hello", "my card is lost", "x" * 300, "", "  ", None])
RECORDS = st.builds(
    Record,
    customer=st.sampled_from(["c1", "c2", "c3", "c 4", "", None]),
    text=TEXTS,
    topic=st.sampled_from(["card", "loan", "mortgage", None]),
    month=st.sampled_from(["m1", "m2", "m3", None]),
)
SOURCES = st.lists(RECORDS, max_size=24)
TIES = [Record("c1", "hello")] * 5 + [Record("c2", "hello")] * 3 + [Record("c1", "hello", "loan"), Record("c1", None)]
SETTINGS = {
    "units": {},
    "units, a share of them": {"size": 0.6},
    "divided": {"blocks": ("m2", "m1"), "max_records": 1},
    "divided, a share": {"blocks": ("m2", "m1"), "size": 0.6},
    "each record a unit": {"unit_column": False},
    "each record a unit, divided": {"unit_column": False, "blocks": ("m2", "m1"), "labels": ("topic", "year")},
}


def keyed(*parts: str) -> bytes:
    message = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
    return hmac.new(KEY, message, hashlib.sha256).digest()


def reckoned(setting: Setting, place: str) -> list[tuple[str, ...]]:
    """What is to be handed out, of all records at once."""
    source = source_of(replace(setting.contract, source=place))
    columns = source.columns
    table = table_at(place, source.where, columns, source.layout)
    records = table.to_pylist()
    units = [name if name and name.strip() else None for name in (r[columns.unit or columns.text] for r in records)]
    if columns.block:
        own: dict[str, int] = {}
        for unit, record in zip(units, records, strict=True):
            if unit and record[columns.block] in columns.blocks:
                place_of = columns.blocks.index(record[columns.block])
                own[unit] = min(own.get(unit, place_of), place_of)
        kept = [
            bool(unit) and record[columns.block] in columns.blocks[own.get(unit, 9) :][:1]
            for unit, record in zip(units, records, strict=True)
        ]
        if not columns.unit:
            first: dict[str, tuple[str, int]] = {}
            for number, (unit, record) in enumerate(zip(units, records, strict=True)):
                if kept[number]:
                    first[unit] = min(first.get(unit, ("~", 0)), (repr(tuple(record.values())), number))
            kept = [number in {chosen for _, chosen in first.values()} for number in range(len(records))]
    else:
        kept = [True] * len(records)
    if setting.size < 1:
        share = int(setting.size * 2**64)
        drawn = [unit is not None and int.from_bytes(keyed("thin", unit)[:8], "big") < share for unit in units]
        kept = [keep and draw for keep, draw in zip(kept, drawn, strict=True)]
    rows = described(table.filter(pa.array(kept)) if kept else table, columns)
    places = defaultdict(list)
    for number, row in enumerate(rows):
        places[row[0]].append(number)
    used = [
        number
        for numbers in places.values()
        for number in sorted(numbers, key=lambda number: (keyed("bound", *rows[number]), number))[: source.max_records]
    ]
    return [(rows[n][0], rows[n][1][: source.max_characters], *rows[n][2:]) for n in sorted(used)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        *product(WRITERS, ("units", "divided, a share")),
        *((".jsonl", name) for name in SETTINGS if name not in ("units", "divided, a share")),
    ],
)
@example(records=TIES)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(records=SOURCES)
def test_batches_of_any_size_give_the_rows_that_one_gives(records, name, suffix, tmp_path_factory):
    setting, file = Setting(suffix=suffix, **SETTINGS[name]), tmp_path_factory.mktemp("source") / f"source{suffix}"
    WRITERS[suffix](records, file)
    found = {at_once: rows_of_file(replace(setting, at_once=at_once), file) for at_once in (1, 2, 7, None)}
    whole = list(found[None].itertuples(index=False, name=None))
    for at_once, frame in found.items():
        assert list(frame.itertuples(index=False, name=None)) == whole, f"read by {at_once}"
        assert frame.dtypes.tolist() == [object] * len(frame.columns)
    if suffix != "hub":
        assert whole == reckoned(setting, str(file))


@pytest.mark.slow
@pytest.mark.parametrize("release", [release.name for release in registry.releases()])
def test_where_a_frame_ends_changes_nothing_that_a_mechanism_is_handed(release):
    some = [Record(f"c{n % 5}", f"{'a word ' * (n % 7)}{n}", ("card", "loan")[n % 2]) for n in range(11)]
    whole, *cut = (handed(Setting(at_once=most), some, [release])[release] for most in (None, 1, 4))
    assert cut == [whole, whole]
    assert len({records for _, records in whole.units}) > 1
