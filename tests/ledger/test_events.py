"""Events: what can be said, how it is written down, and everything that is refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import (
    Composed,
    DiscreteLaplace,
    Event,
    Gaussian,
    InvalidEvent,
    Laplace,
    MixtureOfGaussians,
    PoissonSampledGaussian,
    RepeatAndSelect,
    SelfComposed,
)
from ledger.events import from_json, within

noise = st.floats(1e-3, 1e9)
simple = st.one_of(
    noise.map(Gaussian),
    st.floats(1.0, 1e6).map(lambda scale: Laplace(scale, 2.0)),
    st.floats(1.0, 1e6).map(lambda scale: DiscreteLaplace(scale, 3)),
    st.builds(PoissonSampledGaussian, st.floats(1e-9, 1.0), noise, st.integers(1, 10**9)),
    st.builds(MixtureOfGaussians, st.floats(1e-9, 1.0), st.integers(1, 64), noise, st.integers(1, 10**9)),
)
any_event = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(tuple).map(Composed),
        st.builds(SelfComposed, inner, st.integers(1, 10**9)),
        st.builds(RepeatAndSelect, inner, st.floats(1.1, 1e9), st.floats(0.0, 1e3)),
    ),
    max_leaves=6,
)


@given(any_event)
def test_json_round_trip_is_exact(event: Event) -> None:
    assert from_json(json.loads(json.dumps(event.to_json(), allow_nan=False))) == event


def test_an_event_as_it_is_stored() -> None:
    assert PoissonSampledGaussian(0.01, 1, 2000).to_json() == {
        "event": "poisson_sampled_gaussian",
        "version": 1,
        "sampling_rate": 0.01,
        "noise_multiplier": 1.0,
        "steps": 2000,
    }


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -1.0, True, "1.0", None, 10**400, 1e-4, 1e10])
def test_every_parameter_is_checked(bad: Any) -> None:
    for make in (
        lambda: Gaussian(bad),
        lambda: Laplace(bad, 1.0),
        lambda: Laplace(1.0, bad),
        lambda: DiscreteLaplace(bad, 1),
        lambda: PoissonSampledGaussian(0.01, bad, 10),
        lambda: MixtureOfGaussians(0.01, 2, bad, 10),
    ):
        with pytest.raises(InvalidEvent):
            make()


@pytest.mark.parametrize("bad", [math.nan, 0.0, -0.5, 1.5, True, "0.5", None])
def test_sampling_rates_are_probabilities(bad: Any) -> None:
    with pytest.raises(InvalidEvent, match="sampling_rate"):
        PoissonSampledGaussian(bad, 1.0, 10)
    with pytest.raises(InvalidEvent, match="sampling_rate"):
        MixtureOfGaussians(bad, 2, 1.0, 10)


@pytest.mark.parametrize("bad", [0, -1, 1.0, 10**9 + 1, True, "3", None, math.nan])
def test_counts_are_whole_numbers(bad: Any) -> None:
    with pytest.raises(InvalidEvent, match="steps"):
        PoissonSampledGaussian(0.01, 1.0, bad)
    with pytest.raises(InvalidEvent, match="sensitivity"):
        DiscreteLaplace(1.0, bad)
    with pytest.raises(InvalidEvent, match="steps"):
        MixtureOfGaussians(0.01, 2, 1.0, bad)
    with pytest.raises(InvalidEvent, match="times"):
        SelfComposed(Gaussian(1.0), bad)


def test_noise_far_below_the_sensitivity_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="scale / sensitivity"):
        DiscreteLaplace(1.0, 10_000)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"event": "os.system", "version": 1, "command": "true"}, "unknown event 'os.system'"),
        ({"event": "gaussian", "version": 2, "noise_multiplier": 1.0}, "version 2"),
        ({"event": "gaussian", "version": True, "noise_multiplier": 1.0}, "version"),
        ({"event": "gaussian", "version": 1}, "missing .*noise_multiplier"),
        ({"event": "gaussian", "version": 1, "noise_multiplier": 1.0, "x": 1}, "unknown .*x"),
        ({"event": "gaussian", "version": 1, "noise_multiplier": "1"}, "must be a number"),
        ({"event": "composed", "version": 1, "events": []}, "1 to 10000"),
        ({"event": "composed", "version": 1, "events": "gaussian"}, "list"),
        ({"noise_multiplier": 1.0}, "'event'"),
        ("gaussian", "JSON object"),
        (None, "JSON object"),
    ],
)
def test_what_cannot_be_decoded_is_refused_by_name(document: Any, message: str) -> None:
    with pytest.raises(InvalidEvent, match=message):
        from_json(document)


def test_nesting_has_an_end() -> None:
    document: dict[str, Any] = Gaussian(1.0).to_json()
    for _ in range(50):
        document = {"event": "composed", "version": 1, "events": [document]}
    with pytest.raises(InvalidEvent, match="nested at most 8"):
        from_json(document)
    for wrap in (lambda event: SelfComposed(event, 2), lambda event: RepeatAndSelect(event, 2.0, 1.0)):
        event: Event = Gaussian(1.0)
        for _ in range(8):
            event = wrap(event)
        with pytest.raises(InvalidEvent, match="nested at most 8"):
            wrap(event)


def test_look_alikes_are_refused() -> None:
    class Free(Event):
        NAME = "gaussian"

    with pytest.raises(InvalidEvent, match="Free is not an event"):
        Composed((Free(),))
    with pytest.raises(InvalidEvent, match="str is not an event"):
        Composed(("gaussian",))  # type: ignore[arg-type]
    with pytest.raises(InvalidEvent, match="Free is not an event"):
        SelfComposed(Free(), 2)
    with pytest.raises(InvalidEvent, match="Free is not an event"):
        RepeatAndSelect(Free(), 2.0, 1.0)


def test_only_fewer_steps_lie_within_a_plan() -> None:
    plan = PoissonSampledGaussian(0.01, 1.0, 100)
    assert within(PoissonSampledGaussian(0.01, 1.0, 99), plan)
    assert within(plan, plan)
    assert within(Composed((plan, Gaussian(1.0))), Composed((plan, Gaussian(1.0))))
    for other in (
        PoissonSampledGaussian(0.01, 1.0, 101),
        PoissonSampledGaussian(0.01, 2.0, 100),
        PoissonSampledGaussian(0.005, 1.0, 100),
        Gaussian(5.0),
        Composed((plan,)),
    ):
        assert not within(other, plan)
    assert not within(Composed((plan,)), Composed((plan, plan)))
    assert within(SelfComposed(plan, 2), SelfComposed(plan, 3))
    assert not within(SelfComposed(plan, 4), SelfComposed(plan, 3))
    records = MixtureOfGaussians(0.01, 4, 1.0, 100)
    assert within(MixtureOfGaussians(0.01, 4, 1.0, 50), records)
    assert not within(MixtureOfGaussians(0.01, 3, 1.0, 50), records)  # fewer records is another mechanism
    sweep = RepeatAndSelect(plan, 10.0, 1.0)
    assert within(sweep, sweep)
    assert not within(RepeatAndSelect(plan, 9.0, 1.0), sweep)
    assert not within(RepeatAndSelect(PoissonSampledGaussian(0.01, 1.0, 99), 10.0, 1.0), sweep)
    assert not within(plan, sweep)  # one run of a sweep is no smaller sweep


def test_importing_the_ledger_is_light() -> None:
    heavy = "duckdb dp_accounting numpy scipy pandas torch dagster"
    code = f"import sys, ledger; print(*[m for m in {heavy.split()!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("\n", "")
