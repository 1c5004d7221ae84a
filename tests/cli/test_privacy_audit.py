"""What a data engineer reads where an audit refutes the adapter of a run, and what reviewers read afterwards."""

from __future__ import annotations

import json
import re

import pytest

from dpsynth_assets.audit.guesses import Guesses, Rate
from dpsynth_assets.audit.result import AuditResult
from dpsynth_assets.contract import load_contract
from dpsynth_assets.language import finetuning

REFUTED = AuditResult(
    canaries=200,
    steps=3,
    planned=3,
    guesses=(Guesses(200, 200, 199),),
    confidence=0.95,
    epsilon=6.1,
    delta=1e-5,
    lower_bound=7.7,
    refuted=True,
    area_under_curve=Rate(0.99, 0.97, 1.0),
    true_positive_rate=Rate(0.9, 0.8, 1.0),
)


@pytest.fixture
def asked(contract_path, rooms, book, agree, monkeypatch):
    """The small contract with canaries, approved; its audit refutes whatever is trained."""
    text = contract_path.read_text(encoding="utf-8").replace("steps: 3,", "steps: 3, canaries: 200,")
    contract_path.write_text(text, encoding="utf-8")
    agree(load_contract(contract_path), book)
    stand_in = finetuning.fine_tune

    def fine_tune(contract, plan, rows, folder, *more, **named):
        tuned = stand_in(contract, plan, rows, folder, *more, **named)
        REFUTED.save(folder)
        return tuned

    monkeypatch.setattr(finetuning, "fine_tune", fine_tune)
    return contract_path


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_refuted_run_says_what_was_found_and_what_to_do(dpsynth, asked, book):
    code, out, err = dpsynth("run", asked)
    said = flat(out + err)
    assert code == 1
    assert "adapter_privacy_audit: The promise is refuted. An attack on 200 canaries" in said
    assert "at least 7.70" in said
    assert "breaks a rule of the contract" not in said
    assert "which stays" in said
    assert "--again adapter" in said
    assert len(book.incidents()) == 1

    code, out, err = dpsynth("run", asked)
    assert code == 1
    assert "does not keep its promise" in flat(out + err)
    assert len(book.incidents()) == 1

    code, out, _ = dpsynth("audit")
    assert "an audit refuted what was claimed of small/adapter" in flat(out)
    [statement] = json.loads(dpsynth("audit", "--json")[1])
    assert [incident["release"] for incident in statement["incidents"]] == ["small/adapter"]
    code, out, _ = dpsynth("audit", "verify")
    assert code == 0
    assert "An audit refuted small/adapter" in flat(out)
    code, out, _ = dpsynth("audit", "report", "--json")
    assert code == 0
    assert "refuted" in json.dumps(json.loads(out))


def test_the_plan_says_what_the_audit_could_find(dpsynth, asked):
    code, out, err = dpsynth("plan", asked)
    assert code == 0, err
    assert re.search(r"audited by 200 canaries: 1\d\d right guesses about all of them refute", flat(out))
    assert "If it had no noise, 1" in flat(out)


@pytest.mark.parametrize(("canaries", "said"), [(39, "Write at least 40"), (-1, "canaries"), ("many", "canaries")])
def test_so_many_canaries_that_say_nothing_are_refused(dpsynth, contract_path, canaries, said):
    text = contract_path.read_text(encoding="utf-8").replace("steps: 3,", f"steps: 3, canaries: {canaries},")
    contract_path.write_text(text, encoding="utf-8")
    code, out, err = dpsynth("lint", contract_path)
    assert code != 0
    assert said in flat(out + err)
