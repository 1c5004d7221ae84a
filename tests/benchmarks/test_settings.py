"""The search for an adapter's settings: only terms of the adapter change, and each setting costs the same epsilon."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.public_source import public_contract
from benchmarks.settings import measured, tried, untrained
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.releases.adapter import ADAPTER
from ledger.accounting import epsilon as epsilon_of

CONTRACT = Path(__file__).parents[2] / "contracts" / "ag_news.odcs.yaml"


@pytest.fixture(scope="module")
def contract():
    return public_contract(CONTRACT)


@pytest.mark.parametrize("setting", ["learning_rate=0.02", "expected_batch_size=64,steps=5", "rank=2,clipping=flat"])
def test_each_setting_costs_the_same_and_leaves_the_rest(contract, setting):
    changed = tried(contract, setting, 2.0, 20_000)
    plan = TrainingPlan.from_contract(changed)
    assert 1.98 < epsilon_of(plan.event(), plan.delta) <= 2.0
    assert plan.mechanism.sampling_probability == plan.mechanism.expected_batch_size / 20_000
    names = {each.partition("=")[0] for each in setting.split(",")}
    before, after = (each.privacy.releases[ADAPTER].model_dump() for each in (contract, changed))
    differ = {name for name in after if after[name] != before[name]}
    assert differ == names | {"epsilon"}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("learning_rat=0.02", "learning_rat=0.02: Extra inputs"),
        ("steps=none", "steps=none: Input should be a valid integer"),
        ("epsilon=8", "epsilon is the same for all"),
        ("method=prompt", "`rank` says nothing to the method `prompt`"),
    ],
)
def test_what_is_no_setting_is_refused(contract, setting, said):
    with pytest.raises(ValueError, match=said):
        tried(contract, setting, 2.0, 20_000)


def test_what_learns_has_less_loss_and_is_measured_once(contract, tmp_path):
    rows = pd.DataFrame(
        {
            "unit": [f"u{number}" for number in range(64)],
            "text": ["The committee met again on Monday in Vienna."] * 64,
            "label": ["world"] * 64,
        }
    )
    train, aside = rows.head(56), rows.tail(8)
    changed = tried(contract, "expected_batch_size=16,steps=10", float("inf"), len(train))
    before = untrained(changed, aside, tmp_path)
    noise, loss, _ = line = measured(changed, train, aside, tmp_path, [])
    assert noise == "0.0000"
    assert float(loss) < before
    (found,) = tmp_path.glob("*/found.json")
    written = found.stat().st_mtime_ns
    assert measured(changed, train, aside, tmp_path, []) == line
    assert found.stat().st_mtime_ns == written
