"""Random and hostile schedules: whatever is asked for in whatever order, no block exceeds its cap, and nothing is lost.

`world.py` holds the steps and the exact reference.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ledger import Gaussian, Ledger, Scope, accounting, transaction


def _world() -> ModuleType:
    spec = importlib.util.spec_from_file_location("world", Path(__file__).with_name("world.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


world_of = _world()
World, STEPS, ITEMS = world_of.World, world_of.STEPS, world_of.ITEMS
INBOX, WINTER, SPRING, PANEL, PLANNED = world_of.HOME


def prepared(ledger: Ledger, scope: Scope, register: Callable[[Ledger, Scope], None]) -> Ledger:
    register(ledger, scope)
    ledger.bind_source("inbox", INBOX)
    register(ledger, replace(scope, population="monthly", blocks_by="month of joining"))
    ledger.bind_source("monthly", WINTER, blocks=("january", "february"))
    ledger.bind_source("monthly", SPRING, blocks=("february", "march"))
    register(ledger, replace(scope, population="panel", epsilon=2.5, planned=()))
    ledger.bind_source("panel", PANEL, overlaps=("monthly/january",))
    register(ledger, replace(scope, population="planned", closed_plan=ITEMS))
    ledger.bind_source("planned", PLANNED)
    return ledger


@pytest.fixture(scope="module")
def start(blank_ledger: Callable[[], Ledger], scope: Scope, register: Any) -> Callable[[], Ledger]:
    """Ledgers in memory with four populations, each a copy of the same beginning."""
    first = prepared(blank_ledger(), scope, register)

    def copied() -> Ledger:
        ledger = blank_ledger()
        ledger._store.records = list(first._store.records)  # type: ignore[attr-defined]
        return ledger

    return copied


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory, scope: Scope, register: Any) -> Path:
    path = tmp_path_factory.mktemp("beginning") / "ledger.duckdb"
    prepared(Ledger.create(path), scope, register)
    return path


numbers = st.integers(0, 999)
schedules = st.lists(st.tuples(st.sampled_from(STEPS), numbers, numbers), min_size=12, max_size=45)
# Without shrinking, which could take longer than everything else: the schedule that fails is printed as it is.
often = settings(suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))


epsilon_of = cache(accounting.epsilon)  # the same few events, thousands of times


def travel(patch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda time: patch.setattr(transaction, "now", lambda: time)


@pytest.mark.slow
@settings(often, max_examples=2000)
@given(schedule=schedules)
def test_no_schedule_exceeds_a_cap_or_loses_a_charge(
    start: Callable[[], Ledger], schedule: list[tuple[str, int, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounting, "epsilon", epsilon_of)
        world = World(start(), travel(patch))
        for what, pick, other in schedule:
            world.step(what, pick, other)
        world.assert_nothing_is_lost()


@pytest.mark.slow
@settings(often, max_examples=8)
@given(schedule=st.lists(st.tuples(st.sampled_from(STEPS), numbers, numbers), min_size=8, max_size=14))
def test_no_schedule_on_disk_does_so_either_nor_contradicts_its_checkpoints(
    beginning: Path, copied: Callable[[Path, Path], None], schedule: list[tuple[str, int, int]]
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "ledger.duckdb"
        copied(beginning, path)
        world = World(Ledger(path), travel(patch))
        for number, (what, pick, other) in enumerate(schedule):
            world.step(what, pick, other)
            if number % 3 == 0:
                world.points.append(world.ledger.checkpoint())
        world.assert_nothing_is_lost()


def test_greedy_schedules_fill_the_cap_to_within_a_percent(start: Callable[[], Ledger]) -> None:
    """The property above would hold for a ledger that admits nothing."""
    world = World(start(), lambda time: None)
    for pick in (0, 1, 3, 4):
        for _ in range(30):
            world.step("reserve", pick, 0)
    assert world.ledger.balance("inbox", with_pld=False).epsilon_spent > 0.97 * 3.0
    world.standing["one more"], world.blocks["one more"] = [Gaussian(4.0)], ("inbox/everything",)
    with pytest.raises(AssertionError):
        world.assert_within_the_caps(("inbox/everything",))


def test_what_just_fits_is_admitted(start: Callable[[], Ledger]) -> None:
    world = World(start(), lambda time: None)
    for other in range(2):
        world.step("reserve just what fits", 3, other)
    assert len(world.requests) == 2
    assert world.ledger.balance("inbox", with_pld=False).epsilon_spent > 2.9999
