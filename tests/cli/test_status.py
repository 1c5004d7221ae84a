"""`dpsynth status` and `dpsynth doctor`: where things stand, what is not fit, and what to do next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def folder(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_version_is_printed(dpsynth):
    code, out, _ = dpsynth("--version")
    assert (code, out.startswith("dpsynth 0.")) == (0, True)


def test_without_anything_the_next_steps_are_a_ledger_and_a_contract(dpsynth, monkeypatch, folder):
    monkeypatch.setenv("DPSYNTH_HOME", str(folder / "nothing"))
    code, out, _ = dpsynth("status")
    assert code == 0
    assert "Next: dpsynth init" in out
    assert "Next: dpsynth new FILE" in out
    code, out, _ = dpsynth("doctor")
    assert code == 0
    assert "dpsynth init makes it" in words(out)
    assert not (folder / "nothing").exists()


def test_each_contract_has_its_state_and_the_step_that_it_waits_for(dpsynth, home, contract_path):
    assert "Next: dpsynth approve contracts/small.odcs.yaml" in dpsynth("status")[1]
    (contract_path.parent / "broken.odcs.yaml").write_text("id: [", encoding="utf-8")
    twin = contract_path.read_bytes()
    (contract_path.parent / "twin.odcs.yaml").write_bytes(twin)
    _, out, _ = dpsynth("status")
    assert "Next: dpsynth lint contracts/broken.odcs.yaml" in out
    assert "contracts/twin.odcs.yaml has the id of contracts/small.odcs.yaml" in words(out)
    code, out, _ = dpsynth("doctor")
    assert code == 1
    assert "contracts/broken.odcs.yaml: 1 problem" in words(out)
    assert "contracts/twin.odcs.yaml has the id of contracts/small.odcs.yaml" in words(out)


def test_budgets_and_what_may_be_resumed_are_shown(dpsynth, reserve, snapshotted):
    from ledger import Gaussian

    _, out, _ = dpsynth("status")
    assert "signed for" in out
    assert "Next: dpsynth run contracts/small.odcs.yaml" in out
    reserved = reserve(Gaussian(noise_multiplier=4.0))
    assert "is not finished" not in dpsynth("status")[1]
    snapshotted.activate(reserved)
    out = words(dpsynth("status")[1])
    assert "small/adapter was charged ε" in out
    assert "dpsynth run contracts/small.odcs.yaml goes on with it" in out
    assert "small-bank" in out


def test_a_home_that_others_may_enter_is_broken(dpsynth, home, contract_path):
    home.sensitive.chmod(0o755)
    code, out, _ = dpsynth("doctor")
    assert (code, f"chmod 700 {home.sensitive}" in out.replace("\n", "")) == (1, True)


def test_a_read_only_home_whose_stores_are_volumes_of_their_own_is_fit(dpsynth, home, contract_path, monkeypatch):
    """As in a container."""
    access, closed = os.access, [home.root]
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in closed and access(path, mode))
    assert "cannot be written to" not in words(dpsynth("doctor")[1])
    closed.append(home.warehouse)
    code, out, _ = dpsynth("doctor")
    assert (code, f"{home.warehouse} cannot be written to" in out.replace("\n", "")) == (1, True)
