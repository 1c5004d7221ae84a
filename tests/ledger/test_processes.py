"""Several processes at one ledger: the cap holds to the last charge, and no death loses anything that counts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import Finding, Gaussian, Ledger, ProtocolError

SCRIPT = Path(__file__).with_name("processes.py")
FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN = "a" * 64
Copied = Callable[[Path, Path], None]

# The transactions of `processes.steps` and what each of them writes; the others only read, outside of the lock's hold.
TRANSACTIONS = {
    1: "proposed",
    3: "terms_set",
    5: "reserved",
    6: "activated",
    7: "redeemed",
    9: "resumed",
    10: "redeemed",
    11: "committed",
    12: "incident",
    13: "external_charge",
}


def run(*arguments: object) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_processes_that_ask_at_the_same_moment_share_one_budget(ledger: Ledger, path: Path) -> None:
    run("race", path, 4, 4)
    said = [line for file in path.parent.glob("*.said") for line in file.read_text().split()]
    assert len(said) == 16
    assert said.count("admitted") == 5  # as many as one process alone would get
    assert [entry.kind for entry in ledger.entries("inbox")[2:]].count("refused") == 11
    assert ledger.balance("inbox", with_pld=False).epsilon_spent <= 3.0
    assert ledger.verify() == []


@pytest.mark.slow
def test_death_at_any_point_leaves_a_charge_and_no_lock(ledger: Ledger, path: Path, copied: Copied) -> None:
    cases = {
        (number, when): path.with_name(f"{number}-{when}.duckdb")
        for number in TRANSACTIONS
        for when in ("before", "after")
    }
    for copy in cases.values():
        copied(path, copy)
    run("die", path, *(f"{number}:{when}:{copy}" for (number, when), copy in cases.items()))

    for (number, when), copy in cases.items():
        survivor = Ledger(copy)
        started = time.monotonic()
        kinds = [entry.kind for entry in survivor.entries()[4:]]
        assert time.monotonic() - started < 30  # far below the lock's timeout: the kernel freed it
        expected = [state for at, state in TRANSACTIONS.items() if at < number or (at == number and when == "after")]
        assert kinds == expected
        assert survivor.verify() == []
        check_what_can_follow(survivor, expected)


def check_what_can_follow(ledger: Ledger, kinds: list[str]) -> None:
    assert ledger.terms("letters-doomed") == ({"for": "doomed"} if "terms_set" in kinds else None)
    waiting = [proposal for proposal in ledger.proposals() if proposal.effect is None]
    if kinds == ["proposed"]:  # the answer was lost, the wish was not
        ledger.approve(waiting[0].seq, actor="bob@example.org", reason="agreed")
        waiting = []
    assert waiting == []
    if "reserved" not in kinds:
        assert ledger.balance("inbox", with_pld=False).epsilon_spent == 0.0
        return
    (reservation,) = ledger.reservations()
    assert reservation.replayed == ((Gaussian(4.0),) if "resumed" in kinds else ())
    balance = ledger.balance("inbox", with_pld=False)
    assert balance.charges == 1 + ("external_charge" in kinds)
    assert balance.epsilon_spent > 0.0
    if reservation.state == "reserved":  # the answer was lost: the same request finds it again, and it may be voided
        again = ledger.reserve(
            "inbox", Gaussian(4.0), source=FINGERPRINT, release="r", key="doomed", owner="pid-doomed", plan_digest=PLAN
        )
        assert again == reservation
        ledger.void(reservation.id, reason="its run died")
        return
    with pytest.raises(ProtocolError):
        ledger.void(reservation.id, reason="its run died")
    finding = Finding(1.0, 1.5, 0.95, 1e-6, {"audit.json": "d" * 64})
    said = ledger.incidents()
    again = ledger.incident(reservation.id, finding, reason="said again, as nobody knows whether it was said")
    assert said in ([], [again])
    assert ledger.incidents() == [again]
    if reservation.state != "committed":
        grant = ledger.resume(reservation.id, owner="another", replayed=None)
        ledger.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
        ledger.forfeit(reservation.id, reason="its run died")
    assert ledger.balance("inbox", with_pld=False).epsilon_spent == balance.epsilon_spent
    assert ledger.verify() == []


@pytest.mark.slow
def test_death_in_a_charge_leaves_both_of_its_entries_or_neither(ledger: Ledger, path: Path, copied: Copied) -> None:
    copies = {place: path.with_name(f"{place}.duckdb") for place in range(1, 7)}
    for copy in copies.values():
        copied(path, copy)
    run("die in a charge", path, *(f"{place}:{copy}" for place, copy in copies.items()))
    left = {}
    for place, copy in copies.items():
        survivor = Ledger(copy)
        left[place] = [entry.kind for entry in survivor.entries()[4:]]
        assert (survivor.spending("inbox").epsilon_spent > 0) == bool(left[place])
        assert survivor.reservations("reserved") == []
        assert survivor.verify() == []
    assert left == {**{place: [] for place in range(1, 6)}, 6: ["reserved", "activated"]}


@pytest.mark.slow
def test_of_two_that_were_told_they_fit_the_last_of_the_budget_goes_to_one(ledger: Ledger, path: Path) -> None:
    for number in range(4):  # a fifth fits, and no sixth
        ledger.reserve(
            "inbox", Gaussian(4.0), source=FINGERPRINT, release="r", key=f"{number}", owner="o", plan_digest=PLAN
        )
    run("last", path, 2)
    said = [file.read_text() for file in path.parent.glob("*.said")]
    (winner,) = [each for each in said if each != "refused"]
    assert len(said) == 2
    assert [reservation.id for reservation in ledger.reservations("activated")] == [winner]
    assert sorted(entry.kind for entry in ledger.entries()[8:]) == ["activated", "refused", "reserved"]
    assert ledger.spending("inbox").epsilon_spent <= 3.0
    assert ledger.verify() == []


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_a_storm_of_kills(ledger: Ledger, path: Path) -> None:
    """24 processes killed at random moments, six at a time."""
    run("storm", path, 24, 6)
    files = list(path.parent.glob("*.said"))
    said = Counter(tuple(line.split()) for file in files for line in file.read_text().splitlines())
    entries = ledger.entries()
    written = Counter((entry.kind, entry.reservation_id or str(entry.seq)) for entry in entries)
    assert len(files) > 12
    assert said
    assert said <= written
    assert {kind for kind, _ in said} >= {"proposed", "terms_set", "reserved"}
    standing = [r for r in ledger.reservations() if r.state != "voided"]
    balance = ledger.balance("inbox", with_pld=False)
    assert balance.charges == len(standing) + sum(entry.kind == "external_charge" for entry in entries)
    assert 0 < balance.epsilon_spent <= 3.0
    assert ledger.verify([ledger.checkpoint()]) == []
