"""Releases in a home of their own, for measuring."""

from __future__ import annotations

import pytest

from dpsynth_assets.cli import own_home
from dpsynth_assets.cli.own_home import NotMadeError, made_in
from dpsynth_assets.cli.running import Outcome
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from resources.heads import open_ledger
from resources.home import Home


def test_what_is_asked_for_is_made_and_charged_once(contract, tmp_path):
    folder, asked = tmp_path / "own", (LABEL_HISTOGRAM.name,)
    made = made_in(folder, contract, asked).latest(contract.id, LABEL_HISTOGRAM.name)
    assert made_in(folder, contract, asked).latest(contract.id, LABEL_HISTOGRAM.name).id == made.id
    entries = open_ledger(Home.at(folder)).entries()
    assert [entry.release for entry in entries if entry.kind == "committed"] == [f"{contract.id}/label_histogram"]


def test_what_cannot_be_made_says_why(contract, tmp_path):
    with pytest.raises(NotMadeError, match="small: source: "):
        made_in(tmp_path / "own", contract, (), source=str(tmp_path / "nowhere.jsonl"))


def test_what_was_stopped_says_so(contract, tmp_path, monkeypatch):
    monkeypatch.setattr(own_home, "materialize", lambda *_, **__: Outcome(False, "a run", 1.0, stopped=True))
    with pytest.raises(NotMadeError, match="small: stopped; the same command goes on where it was"):
        made_in(tmp_path / "own", contract, ())
