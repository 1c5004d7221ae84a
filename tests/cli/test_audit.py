"""What reviewers do at a terminal: sign, compare, verify, export, restore, write down, report."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from ledger import Ledger

ROOT = Path(__file__).parents[2]
OWNER, REVIEWER = "owner@example.org", "privacy@example.org"
GAUSSIAN = '{"event": "gaussian", "version": 1, "noise_multiplier": 30.0}'


def words(text):
    return " ".join(text.split())


@pytest.fixture
def unsigned(home):
    return Ledger(home.ledger_file)


@pytest.fixture
def place(same_place):
    return same_place


def test_two_people_sign_for_a_contract(dpsynth, contract_path, rooms, unsigned):
    code, _, err = dpsynth("run", contract_path)
    assert code == 2
    assert "needs approval" in words(err)
    code, out, _ = dpsynth("approve", contract_path)
    assert code == 1
    assert "a budget of ε 8" in out
    code, out, _ = dpsynth("approve", contract_path, "--as", OWNER, "--reason", "please")
    assert code == 0
    assert out.count("asked for") == 2
    code, _, err = dpsynth("approve", contract_path, "--as", "stranger@example.org", "--reason", "me too")
    assert code == 2
    assert "does not stand for population small-bank" in err
    code, out, _ = dpsynth("approve", contract_path, "--as", REVIEWER, "--reason", "agreed")
    assert code == 0
    assert "is approved" in words(out)
    code, out, _ = dpsynth("approve", "--list")
    assert out.count("entry") >= 2
    assert "these names are unauthenticated" in words(out)
    assert dpsynth("run", contract_path, "--quiet")[0] == 0


def test_the_diff_shows_what_needs_signing(dpsynth, contract_path, book):
    assert dpsynth("diff", contract_path)[0] == 0
    earlier = contract_path.with_name("earlier.odcs.yaml")
    shutil.copy(contract_path, earlier)
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace("epsilon: 8.0", "epsilon: 9.0").replace("steps: 3", "steps: 2"), "utf-8")
    for against in ((), (earlier,)):
        code, out, _ = dpsynth("diff", contract_path, *against)
        assert code == 1
        assert "budget.epsilon" in out
        assert "more may be learned" in words(out)
        assert "releases.adapter.steps" in out


def test_the_journal_replays_without_the_platform(dpsynth, released, tmp_path):
    code, out, _ = dpsynth("audit", "export")
    assert code == 0
    journal = tmp_path / "journal.jsonl"
    journal.write_text(out, encoding="utf-8")
    replay = [sys.executable, "-I", str(ROOT / "ledger" / "replay.py"), str(journal), "--json"]
    done = subprocess.run(replay, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["problems"]
    [block] = report["populations"]["small-bank"]["blocks"].values()
    assert block["charged"] == pytest.approx(released.balance("small-bank", with_pld=False).epsilon_spent, rel=1e-6)


def test_a_rollback_shows_by_the_receipts(dpsynth, released, home, tmp_path):
    code, out, _ = dpsynth("audit", "verify")
    assert code == 0
    assert "signed checkpoints agree" in words(out)
    assert "4 of its proposals and approvals are by a name without a key: these names are unauthenticated" in words(out)
    early = [json.loads(line) for line in released.export()][:-3]
    home.ledger_file.unlink()
    journal = tmp_path / "early.jsonl"
    journal.write_text("\n".join(map(json.dumps, early)), encoding="utf-8")
    code, out, err = dpsynth("audit", "restore", journal, "--as", OWNER, "--reason", "disk failed")
    assert code == 0, err
    code, _, err = dpsynth("audit", "verify")
    assert code == 1
    assert "computed anew" in err or "rolled back" in err


def test_changed_files_show(dpsynth, released, home):
    [adapter] = (home.artifacts / "small" / "adapter").glob("*/adapter.txt")
    adapter.write_text("another adapter", encoding="utf-8")
    code, _, err = dpsynth("audit", "verify")
    assert code == 1
    assert "is not what was sealed: adapter.txt was changed" in err


def test_a_file_without_checkpoints_proves_nothing(dpsynth, released, tmp_path):
    empty = tmp_path / "kept"
    empty.write_text("\n", encoding="utf-8")
    code, _, err = dpsynth("audit", "verify", "--checkpoint", empty)
    assert code == 2
    assert "holds no checkpoints (it is empty)" in " ".join(err.split())


def test_a_checkpoint_kept_elsewhere_is_compared_with(dpsynth, released, tmp_path):
    code, out, _ = dpsynth("audit", "checkpoint")
    kept = tmp_path / "kept.jsonl"
    kept.write_text(out, encoding="utf-8")
    assert dpsynth("audit", "verify", "--checkpoint", kept)[0] == 0
    kept.write_text(out.replace('"seq": ', '"seq": 1'), encoding="utf-8")
    code, _, err = dpsynth("audit", "verify", "--checkpoint", kept)
    assert code == 1
    assert "signature" in err
    kept.write_text("{}", encoding="utf-8")
    assert dpsynth("audit", "verify", "--checkpoint", kept)[0] == 2


def test_spending_elsewhere_is_written_down(dpsynth, released):
    before = released.balance("small-bank", with_pld=False).epsilon_spent
    spent = ("audit", "external", "small-bank", GAUSSIAN, "--as", OWNER, "--reason", "a mean, in May")
    code, out, err = dpsynth(*spent, "--yes")
    assert code == 0, err
    assert released.balance("small-bank", with_pld=False).epsilon_spent > before
    code, out, _ = dpsynth("audit")
    assert "a mean, in May" in words(out)
    for event, says in (("{", "not JSON"), ('{"event": "magic", "version": 1}', "magic")):
        code, _, err = dpsynth("audit", "external", "small-bank", event, "--yes", "--as", OWNER, "--reason", "x")
        assert code == 2
        assert says in err


def test_the_report_and_its_views(dpsynth, released, home, contract_path):
    terms = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(
        terms.replace("          generation:", "          personal_data: {addresses: 0.2}\n          generation:")
    )
    for actor in (OWNER, REVIEWER):
        assert dpsynth("approve", contract_path, "--as", actor, "--reason", "they are public")[0] == 0
    code, out, err = dpsynth("audit", "report")
    assert code == 0, err
    page = (home.root / "audit" / "report.html").read_text(encoding="utf-8")
    assert "small-bank" in page
    attention = page[page.index('id="attention"') : page.index("What a reviewer asks")]
    assert f"as {OWNER} asked and {REVIEWER} agreed: personal_data.addresses: 0.02 -&gt; 0.2 (more texts" in attention
    assert f"Signed by name only, which nobody authenticated: {OWNER} (3), {REVIEWER} (3)." in attention
    assert re.search(r">RDP \d\.\d{3}, PRV \d\.\d{3} to \d\.\d{3}</td>", page)
    assert ">no second opinion: Opacus does not know discrete Laplace noise</td>" in page
    with duckdb.connect(str(home.root / "audit" / "audit.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from charges where state = 'committed'").fetchall() == [(2,)]
        assert connection.execute("select sum(found) from health").fetchall() == [(0,)]
    code, out, _ = dpsynth("audit", "report", "--json")
    assert code == 0
    assert json.loads(out)


def test_a_plan_of_releases_that_no_contract_names(dpsynth, home):
    code, out, _ = dpsynth("plan", "--events", ROOT / "benchmarks" / "five_releases.json")
    assert code == 0
    assert "ε 5.37 if each may be chosen after seeing" in words(out)
    assert "ε 4.95 if all are fixed now" in words(out)
    code, _, err = dpsynth("plan")
    assert code == 2
    assert "--events" in err
