"""The capacity model: what it says of cases that can be reckoned by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.capacity.machine import Machine
from benchmarks.capacity.simulation import predict
from benchmarks.capacity.work import Model, Work

MODEL = Model("tiny", 1e6, layers=2, width=100, vocabulary=1000, bytes=4)
WORK = Work(
    MODEL, records=1000, units=500, tokens=10, deviation=0, used=2, method="full", batch=500, steps=3, rows=100,
    micro_batch=20,
)  # fmt: skip
MACHINE = Machine(
    "by hand", devices=1, operations=((1e6, 1e9),), drawing=((1e6, 2e9),), memory=1e9, activations=4, ingest=0.01,
    encode=0.001, vector=0.5, noise=1e-6, link=1e6, price=2,
)  # fmt: skip
FORWARD = 2e6 + 2 * 2 * 100 * 10  # operations of a token


def test_a_case_by_hand():
    found = predict(WORK, MACHINE)
    step = 500 * 2 * 10 * 3 * FORWARD / 1e9 + 1e6 * 1e-6  # every unit is in every step
    assert found.seconds == pytest.approx(
        {
            "ingestion": 10,
            "encoding": 10,
            "training": 3 * step,
            "drawing": 100 * 10 * FORWARD / 2e9,
            "vectors and checks": 50,
        }
    )
    assert found.memory == pytest.approx(4e6 + 1e6 * 20 + 20 * 2 * 100 * 4 + 1000 * 64)
    assert found.price == pytest.approx(found.hours * 2)
    assert found.fits
    assert not predict(WORK, replace(MACHINE, memory=2e7)).fits


def test_a_second_device_halves_the_computing_and_the_sums_must_meet():
    one, two = (predict(WORK, replace(MACHINE, devices=devices)) for devices in (1, 2))
    noise, meeting = 1e6 * 1e-6, 1e6 * 12 / 1e6
    assert two.step == pytest.approx((one.step - noise) / 2 + noise + meeting)
    assert two.busy < one.busy


def test_training_follows_the_batch_and_not_the_source():
    """A larger source is sampled at a smaller rate."""
    small, large = (predict(replace(WORK, records=2 * n, units=n, batch=400), MACHINE) for n in (1e4, 1e8))
    assert large.seconds["training"] == pytest.approx(small.seconds["training"], rel=0.05)
    assert large.seconds["ingestion"] == pytest.approx(small.seconds["ingestion"] * 1e4)


def test_where_steps_differ_devices_wait_for_the_slowest():
    """Of Poisson samples of few units, in eight shares."""
    work, eight = replace(WORK, units=8000, batch=80), replace(MACHINE, devices=8, link=1e12, noise=0.0)
    found = predict(work, eight)
    assert found.busy < 0.8
    assert found.slowest > found.step


def test_a_rate_lies_between_the_two_that_were_measured():
    machine = replace(MACHINE, operations=((1e6, 1e9), (1e8, 3e9)))
    rates = [machine.rate(size, machine.operations) for size in (1e5, 1e6, 1e7, 1e8, 1e9)]
    assert rates == pytest.approx([1e9, 1e9, 2e9, 3e9, 3e9])


def test_measured_costs_are_read_back_as_they_were_written(tmp_path):
    MACHINE.save(tmp_path / "capacity.json")
    assert Machine.load(tmp_path / "capacity.json") == MACHINE
