"""What never changes about a population: every verb refuses it, before anything is signed, and says what to do."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def edited(contract_path, book):
    """The approved contract with a smaller delta, in its place."""
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace("delta: 1.0e-5", "delta: 1.0e-6"), encoding="utf-8")
    return contract_path


def words(text):
    return " ".join(text.split())


def test_lint_names_the_line_where_there_is_a_ledger(dpsynth, edited):
    code, out, _ = dpsynth("lint", "--json", edited)
    [problem] = json.loads(out)
    lines = edited.read_text(encoding="utf-8").splitlines()
    assert code == 1
    assert "population:" in lines[problem["line"] - 1]
    assert "another delta (1e-05, now 1e-06 is asked for)" in problem["what"]
    assert "give these another population" in problem["remedy"]


def test_lint_needs_no_ledger(dpsynth, edited, monkeypatch, tmp_path):
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "nowhere"))
    assert dpsynth("lint", edited)[0] == 0


def test_lint_passes_what_waits_for_signatures(dpsynth, contract_path, book):
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace("value: 30", "value: 300"), encoding="utf-8")
    assert dpsynth("lint", contract_path)[0] == 0


@pytest.mark.parametrize("verb", ["diff", "plan", "approve", "run"])
def test_diff_plan_approve_and_run_refuse_it_and_sign_nothing(dpsynth, edited, book, verb):
    before = book.entries()
    more = ("--as", "owner@example.org", "--reason", "a smaller delta") if verb == "approve" else ()
    code, out, err = dpsynth(verb, edited, *more)
    assert code != 0
    assert "It never changes: set the contract back" in words(out + err)
    assert "Traceback" not in out + err
    if verb != "run":
        assert book.entries() == before


def test_diff_against_an_earlier_file_says_it_too(dpsynth, edited):
    earlier = edited.with_name("earlier.odcs.yaml")
    earlier.write_text(edited.read_text(encoding="utf-8").replace("delta: 1.0e-6", "delta: 1.0e-5"), encoding="utf-8")
    code, out, _ = dpsynth("diff", edited, earlier)
    assert code == 1
    assert "cannot be signed" in words(out)
    other = edited.read_text(encoding="utf-8").replace("population: small-bank", "population: other-bank")
    edited.write_text(other, encoding="utf-8")
    code, out, _ = dpsynth("diff", edited, earlier)
    assert code == 1
    assert "cannot be signed" not in words(out)


def test_approve_says_which_terms_nobody_has_signed_for(dpsynth, contract_path, book):
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace("purpose: For tests.", "purpose: For advertising."), encoding="utf-8")
    code, out, _ = dpsynth("approve", contract_path)
    assert code == 1
    assert "description.purpose: For tests. -> For advertising." in words(out)
    assert "the data serve another purpose" in words(out)
