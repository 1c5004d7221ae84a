"""Who is warned before budget and time run out, and how often."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from dpsynth_assets.assets.balance_picture import Balance, balance_picture
from dpsynth_assets.assets.early_warning import budget_outlook, early_warning_sensor, time_outlook
from dpsynth_assets.cli.console import contract_at
from ledger import Gaussian, Spending
from resources.ledger import LedgerResource
from resources.retention import Copy
from resources.sensitive_store import SensitiveStore

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def spending(spent: float, cap: float = 8.0) -> Spending:
    return Spending(cap, spent, 0.0, cap - spent, 1e-5)


@pytest.mark.parametrize(("spent", "passed"), [(0.0, True), (6.39, True), (6.4, False), (8.0, False)])
def test_it_warns_from_four_fifths_of_a_budget_on(contract, spent, passed):
    outlook = budget_outlook(contract, spending(spent))
    assert outlook.passed is passed
    assert outlook.result().severity == dg.AssetCheckSeverity.WARN
    assert f"ε {spent:.3f} of 8" in outlook.text


@pytest.mark.parametrize("where", [".", "contracts", "elsewhere"])
def test_the_command_that_it_names_finds_the_contract_from_where_it_is_read(contract, tmp_path, monkeypatch, where):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / where if where == "elsewhere" else contract.path.parent.parent / where)
    [named] = re.findall(r"`dpsynth plan (.*)`", budget_outlook(contract, spending(7.0)).text)
    assert contract_at(Path(named)).id == contract.id


def test_a_budget_that_was_lowered_to_nothing_is_spent(contract):
    assert not budget_outlook(contract, spending(0.0, 0.0)).passed


def kept(contract: str, days: float) -> Copy:
    return Copy(contract, "s", NOW + timedelta(days=days), Path())


def test_it_warns_a_week_before_the_newest_snapshot_goes(contract):
    """Retention is 30 days: a quarter of it is longer."""
    assert time_outlook(contract, [kept("small", 7.1), kept("other", 1)], NOW).passed
    assert not time_outlook(contract, [kept("small", 6.9)], NOW).passed
    assert time_outlook(contract, [kept("small", 1), kept("small", 29)], NOW).passed, "there is a newer one"
    assert time_outlook(contract, [], NOW).passed
    check = Copy("small", "check-1", NOW + timedelta(days=29), Path())
    assert not time_outlook(contract, [kept("small", 6.9), check], NOW).passed, "a check of new texts is no snapshot"


def test_the_sensor_tells_each_crossing_once(contract, home, snapshotted, reserve):
    stores = {"ledger": LedgerResource(home=str(home.root)), "sensitive_store": SensitiveStore(home=str(home.root))}
    sensor, cursor = early_warning_sensor([contract]), None

    def told() -> list[tuple[str, bool | None]]:
        nonlocal cursor
        with dg.build_sensor_context(cursor=cursor, resources=stores) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        return [(each.check_name, each.passed) for each in result.asset_events]

    assert told() == []
    held = reserve(Gaussian(noise_multiplier=0.75))  # most of the budget
    assert told() == [("budget_is_left", False)]
    assert told() == [], "at the next tick it is known"
    snapshotted.void(held.id, reason="given back")
    assert told() == [("budget_is_left", True)]


def test_a_sensor_without_a_ledger_says_so_and_keeps_what_it_knew(contract, tmp_path):
    stores = {"ledger": LedgerResource(home=str(tmp_path)), "sensitive_store": SensitiveStore(home=str(tmp_path))}
    with dg.build_sensor_context(cursor="{}", resources=stores) as context:
        result = early_warning_sensor([contract])(context)
    assert isinstance(result, dg.SkipReason)
    assert "dpsynth init" in result.skip_message


def test_spent_and_left_are_stacked_in_one_picture_that_is_shown_in_the_page():
    few = balance_picture([Balance.of(spending(each), NOW) for each in (2.0, 6.0)])
    drawn = base64.b64decode(re.fullmatch(r"!\[.*\]\(data:image/svg\+xml;base64,(.*)\)", few)[1]).decode()
    full, spent = re.findall(r" d='([^']*)'", drawn)
    assert full == "M0 90V0h140V0h140V90z"
    assert spent == "M0 90V68h140V22h140V90z"
    assert "left 2.000" in drawn
    many = [Balance.of(spending(each + 0.123456, 123456.75), NOW) for each in range(100)]
    assert len(balance_picture(many)) < 1_000
    assert balance_picture([Balance.of(spending(0.0, 0.0), NOW)])
