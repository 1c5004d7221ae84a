"""The shipped contract over toxic comments: that it holds, and that its rows are as it says where a copy is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpsynth_assets.contract import lint_contract, load_contract, resolve
from dpsynth_assets.factory import asset_names
from dpsynth_assets.gate import public_rows

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "contracts" / "toxic_comments.odcs.yaml"
COPY = resolve(load_contract(CONTRACT).source, load_contract(CONTRACT))


def test_it_holds_and_asks_for_a_safety_classifier():
    assert lint_contract(CONTRACT) == []
    contract = load_contract(CONTRACT)
    assert {"safety_classifier", "safety_evaluation"} <= set(asset_names(contract))
    assert contract.privacy.safety_classifier.unsafe == "toxic"


@pytest.mark.skipif(not COPY.exists(), reason=f"there is no copy of the comments at {COPY}")
def test_every_row_has_a_label_and_the_test_split_is_none_of_the_source_s_rows():
    contract = load_contract(CONTRACT)
    train, test = public_rows._source_rows(contract), public_rows._test_rows(contract)
    for rows in (train, test):
        assert set(rows["label"]) == {"toxic", "non_toxic"}
    assert 0.5 < len(train) / contract.privacy.unit.public_count < 2
    assert len(set(train["text"]) & set(test["text"])) < 0.01 * len(test)
