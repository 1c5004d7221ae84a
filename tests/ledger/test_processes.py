"""Several processes at one ledger: the cap holds to the last charge, and no death loses anything that counts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger import Gaussian, Ledger, ProtocolError

SCRIPT = Path(__file__).with_name("processes.py")
FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN = "a" * 64

# The transactions of a release: the first reads the terms.
TRANSACTIONS = {2: "reserved", 3: "activated", 4: "redeemed", 5: "committed"}


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
def test_death_at_any_point_leaves_a_charge_and_no_lock(ledger: Ledger, path: Path) -> None:
    cases = {
        (number, when): path.with_name(f"{number}-{when}.duckdb")
        for number in TRANSACTIONS
        for when in ("before", "after")
    }
    for copy in cases.values():
        shutil.copy(path, copy)
    run("die", path, *(f"{number}:{when}:{copy}" for (number, when), copy in cases.items()))

    for (number, when), copy in cases.items():
        survivor = Ledger(copy)
        started = time.monotonic()
        kinds = [entry.kind for entry in survivor.entries("inbox")[2:]]
        assert time.monotonic() - started < 30  # far below the lock's timeout: the kernel freed it
        expected = [state for at, state in TRANSACTIONS.items() if at < number or (at == number and when == "after")]
        assert kinds == expected
        assert survivor.verify() == []
        check_what_can_follow(survivor, expected[-1] if expected else None)


def check_what_can_follow(ledger: Ledger, state: str | None) -> None:
    if state is None:
        assert ledger.balance("inbox", with_pld=False).epsilon_spent == 0.0
        return
    (reservation,) = ledger.reservations()
    assert reservation.state == state
    assert ledger.balance("inbox", with_pld=False).epsilon_spent > 0.0
    if state == "reserved":  # the answer was lost: the same request finds it again, and it may still be voided
        again = ledger.reserve(
            "inbox", Gaussian(4.0), source=FINGERPRINT, release="r", key="doomed", owner="pid-doomed", plan_digest=PLAN
        )
        assert again == reservation
        ledger.void(reservation.id, reason="its run died")
        return
    with pytest.raises(ProtocolError):
        ledger.void(reservation.id, reason="its run died")
    if state != "committed":
        ledger.forfeit(reservation.id, reason="its run died")
    assert ledger.balance("inbox", with_pld=False).epsilon_spent > 0.0


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_a_storm_of_kills(ledger: Ledger, path: Path) -> None:
    started = json.loads(run("storm", path, 5, 4))["started"]
    assert started > 4
    states = {reservation.id: reservation.state for reservation in ledger.reservations()}
    progress = ["reserved", "activated", "redeemed", "committed"]
    said = [line.split() for file in path.parent.glob("*.said") for line in file.read_text().splitlines()]
    assert said
    for what, identifier in said:
        assert progress.index(states[identifier]) >= progress.index(what)
    balance = ledger.balance("inbox", with_pld=False)
    assert balance.charges == len(states)
    assert 0 < balance.epsilon_spent <= 3.0
    assert ledger.verify() == []
