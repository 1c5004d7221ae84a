"""Whoever runs a contract over records that are known as another population's reads which budget that draws on too."""

from __future__ import annotations

import json
import re

import pytest

from dpsynth_assets.contract import load_contract
from ledger import LedgerBusy
from ledger.charging import Charging
from tests.conftest import write_contract


@pytest.fixture
def copy(tmp_path, book, agree):
    """An approved contract, of another population, over most of the small one's records."""
    path = write_contract(tmp_path / "elsewhere", population="mirror")
    source = path.with_name("train.jsonl")
    source.write_text("\n".join(source.read_text(encoding="utf-8").splitlines()[:50]), encoding="utf-8")
    path = path.rename(path.with_name("mirrored.odcs.yaml"))
    path.write_text(path.read_text(encoding="utf-8").replace("id: small", "id: mirrored"), encoding="utf-8")
    agree(load_contract(path), book)
    return path


def test_a_run_and_a_plan_say_whom_else_they_charge(dpsynth, book, contract_path, copy):
    parts = ("--only", "source", "--only", "label_histogram")
    code, out, err = dpsynth("run", contract_path, *parts)
    assert code == 0, out + err
    assert "charged too" not in out, "nobody else knows these records yet"
    alone = book.spending("small-bank")
    assert "charged too" not in dpsynth("plan", copy)[1], "what the source holds is not known before it is read"
    code, out, err = dpsynth("run", copy, *parts)
    assert code == 0, out + err
    [(charge, spent)] = re.findall(
        r"Records of population small-bank are among these, so it was charged too: ε ([\d.]+) for "
        r"mirrored/label_histogram\. Of it, ε ([\d.]+) is spent",
        " ".join(out.split()),
    )
    both = book.spending("small-bank")
    assert both.epsilon_spent > alone.epsilon_spent
    assert float(spent) == pytest.approx(both.epsilon_spent, abs=1e-3)
    [made] = [each for each in book.reservations() if each.release == "mirrored/label_histogram"]
    assert float(charge) == pytest.approx(made.epsilon_alone, abs=1e-3), "both have one delta"
    code, out, err = dpsynth("plan", copy)
    said = f"records of population small-bank, which is charged too: ε {spent} of 8 is spent there"
    assert said in " ".join(out.split()), out + err
    code, out, err = dpsynth("run", copy, "--only", "label_histogram")
    assert said in " ".join(out.split()), out + err


def test_a_program_reads_it_too(dpsynth, book, contract_path, copy):
    parts = ("--only", "source", "--only", "label_histogram", "--yes", "--json")
    assert json.loads(dpsynth("run", contract_path, *parts)[1])["charged_too"] == {}
    [(population, said)] = json.loads(dpsynth("run", copy, *parts)[1])["charged_too"].items()
    stands = book.spending(population)
    assert population == "small-bank"
    assert (said["epsilon_spent"], said["epsilon_remaining"]) == (stands.epsilon_spent, stands.epsilon_remaining)
    [made] = [each for each in book.reservations() if each.release == "mirrored/label_histogram"]
    assert said["charged"] == {"mirrored/label_histogram": pytest.approx(made.epsilon_alone)}


def test_what_an_earlier_run_charged_to_others_is_not_said_of_the_one_that_goes_on(
    dpsynth, book, contract_path, copy, rooms
):
    assert dpsynth("run", contract_path, "--only", "source", "--only", "label_histogram")[0] == 0
    parts = ("--only", "source", "--only", "label_histogram", "--json")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Charging, "commit", lambda *_, **__: (_ for _ in ()).throw(LedgerBusy("held")))
        code, out, err = dpsynth("run", copy, *parts)
    assert code == 1, out + err
    assert set(json.loads(out)["charged"]) == {"mirrored/label_histogram"}
    assert set(json.loads(out)["charged_too"]) == {"small-bank"}
    code, out, err = dpsynth("run", copy, "--only", "label_histogram", "--json")
    assert code == 0, out + err
    said = json.loads(out)
    assert (said["charged"], said["charged_too"]) == ({}, {})
    assert set(said["charged_before"]) == {"mirrored/label_histogram"}
