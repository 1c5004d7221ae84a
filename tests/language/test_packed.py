"""Encoded records in arrays: nothing is lost, and everybody's records stay together."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest

from dpsynth_assets.language.objective import Encoded
from dpsynth_assets.language.packed import Packed


@pytest.fixture
def some():
    """Records of 40 units in no order, an empty text among them, and whose each is."""
    rng = random.Random(3)
    records = [
        Encoded(tuple(rng.randrange(50_000) for _ in range(rng.randrange(9))), rng.randrange(3)) for _ in range(200)
    ]
    return records, [f"unit-{rng.randrange(40)}" for _ in records]


def by_unit(records, units):
    own: dict[object, list[int]] = {}
    for record, unit in enumerate(units):
        own.setdefault(unit, []).append(record)
    return list(own.values())


def test_records_come_out_as_they_went_in(some):
    records, units = some
    packed = Packed.of(iter(records), iter(units))
    assert list(packed) == records
    assert packed[3:5] == records[3:5]
    assert packed[-1] == records[-1]
    assert packed.unit_count == len(set(units))
    with pytest.raises(IndexError):
        packed[len(records)]


def test_units_are_those_that_were_said_in_the_order_in_which_they_appear(some):
    records, units = some
    assert list(Packed.of(records, units).records_of) == by_unit(records, units)
    assert list(Packed.of(records).records_of) == [[record] for record in range(len(records))]


def test_a_share_of_the_units_has_all_their_records_and_no_others(some):
    records, units = some
    packed = Packed.of(records, units)
    chosen = np.array([0, 7, 31])
    share = packed.of_units(chosen)
    kept = [record for record, number in enumerate(packed.units.tolist()) if number in chosen]
    assert list(share) == [records[record] for record in kept]
    assert [[share[record] for record in own] for own in share.records_of] == [
        [records[record] for record in by_unit(records, units)[unit]] for unit in chosen
    ]
    assert list(packed.of_units(np.array([], np.intp)).records_of) == []


def test_no_records_are_no_units():
    packed = Packed.of([], [])
    assert (len(packed), packed.unit_count, list(packed.records_of)) == (0, 0, [])


def test_one_record_too_many_has_no_owner(some):
    records, units = some
    with pytest.raises(ValueError, match="zip"):
        Packed.of(records, units[:-1])


def test_another_process_gets_the_same(some):
    packed = Packed.of(*some)
    list(packed.records_of)
    again = pickle.loads(pickle.dumps(packed))
    assert list(again) == list(packed)
    assert list(again.records_of) == list(packed.records_of)


def test_a_token_takes_four_bytes(some):
    packed = Packed.of(Encoded((1, 2, 3, 70_000) * 16, 2) for _ in range(1000))
    assert (
        sum(len(pickle.dumps(part)) for part in (packed.ids, packed.lengths, packed.prefixes, packed.units))
        < 64 * 1000 * 4 * 1.1
    )
