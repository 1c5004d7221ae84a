"""Many processes on one ledger, some of them killed. Run as a script by `test_processes`, never imported.

It warms up once and forks from there, so that children cost milliseconds. Children say what was acknowledged to them in
files of their own, one line a write, so that a line is there exactly if the ledger's call had returned.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger import BudgetRefused, Finding, Gaussian, Ledger, SetTerms, transaction
from ledger.accounting import epsilon, renyi_vector
from ledger.places import AnyStore, store_at

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN, ARTIFACT = "a" * 64, "b" * 64
EVENT, SMALL = Gaussian(4.0), Gaussian(200.0)
FINDING = Finding(1.0, 1.5, 0.95, 1e-6, {"audit.json": "d" * 64})


def steps(ledger: Ledger, event: Gaussian, key: str, say: Callable[[str, object], None]) -> None:
    """One release from beginning to end, resumed on its way, with two people's leave before and an audit against it
    after, saying each step after it returned."""
    asked = ledger.propose(SetTerms(f"letters-{key}", {"for": key}, "inbox"), actor="alice@example.org", reason="new")
    say("proposed", asked)
    say("terms_set", ledger.approve(asked, actor="bob@example.org", reason="agreed").seq)
    reservation = ledger.reserve(
        "inbox", event, source=FINGERPRINT, release="r", key=key, owner=f"pid-{key}", plan_digest=PLAN
    )
    say("reserved", reservation.id)
    grant = ledger.activate(reservation)
    say("activated", reservation.id)
    ledger.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
    say("redeemed", reservation.id)
    grant = ledger.resume(reservation.id, owner=f"again-{key}", replayed=event)
    say("resumed", reservation.id)
    ledger.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
    say("redeemed", reservation.id)
    ledger.commit(grant, artifact_digest=ARTIFACT, event=event)
    say("committed", reservation.id)
    ledger.incident(reservation.id, FINDING, reason="an audit")
    say("incident", reservation.id)
    say("external_charge", ledger.external_charge("inbox", event, actor="alice@example.org", reason="elsewhere").seq)


def child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def die_at(path: Path, transaction: int, when: str) -> None:
    """Be killed in the given transaction of a release, before or after it is durable."""
    seen = 0
    kind = type(store_at(path))
    commit = kind._commit

    def dying(self: AnyStore, connection: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == transaction and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(self, connection)
        if seen == transaction:
            os.kill(os.getpid(), signal.SIGKILL)

    kind._commit = dying  # type: ignore[method-assign]
    steps(Ledger(path), EVENT, "doomed", lambda what, which: None)


def die_in_a_charge(path: Path, place: int) -> None:
    """Be killed before or after an entry of a charge, or before or after both are durable: places 1 to 6."""
    passed = 0
    kind = type(store_at(path))
    append, commit = transaction.SQLTransaction.append, kind._commit

    def pass_by() -> None:
        nonlocal passed
        passed += 1
        if passed == place:
            os.kill(os.getpid(), signal.SIGKILL)

    def appending(self: transaction.SQLTransaction, draft: Any) -> Any:
        pass_by()
        record = append(self, draft)
        pass_by()
        return record

    def committing(self: AnyStore, connection: Any) -> None:
        if not passed:  # what only reads
            return commit(self, connection)
        pass_by()
        commit(self, connection)
        pass_by()

    transaction.SQLTransaction.append = appending  # type: ignore[method-assign]
    kind._commit = committing  # type: ignore[method-assign]
    charge(Ledger(path), EVENT, "doomed")


def charge(ledger: Ledger, event: Gaussian, key: str, ready: Callable[[], None] = lambda: None) -> str:
    grant = ledger.charge(
        "inbox", event, source=FINGERPRINT, release="r", key=key, owner=key, plan_digest=PLAN, ready=ready
    )
    return grant.reservation_id


def last(path: Path, processes: int) -> None:
    """All processes are told that their charge would be admitted, before any of them is charged."""

    def ask(number: int) -> Callable[[], None]:
        def wait_for_all() -> None:
            Path(f"{path}.{number}.ready").touch()
            while len(list(path.parent.glob("*.ready"))) < processes:
                time.sleep(0.01)

        def work() -> None:
            try:
                said = charge(Ledger(path), EVENT, f"racer-{number}", wait_for_all)
            except BudgetRefused:
                said = "refused"
            Path(f"{path}.{number}.said").write_text(said)

        return work

    for pid in [child(ask(number)) for number in range(processes)]:
        os.waitpid(pid, 0)


def race(path: Path, processes: int, requests: int) -> None:
    """All processes ask for the same budget from the same moment on."""
    start = time.monotonic() + 0.3

    def ask(number: int) -> Callable[[], None]:
        def work() -> None:
            ledger, outcomes = Ledger(path), []
            time.sleep(max(0.0, start - time.monotonic()))
            for request in range(requests):
                try:
                    ledger.reserve(
                        "inbox",
                        EVENT,
                        source=FINGERPRINT,
                        release="r",
                        key=f"{number}-{request}",
                        owner="o",
                        plan_digest=PLAN,
                    )
                    outcomes.append("admitted")
                except BudgetRefused:
                    outcomes.append("refused")
            Path(f"{path}.{number}.said").write_text("\n".join(outcomes))

        return work

    for pid in [child(ask(number)) for number in range(processes)]:
        os.waitpid(pid, 0)


def storm(path: Path, kills: int, processes: int) -> None:
    """Processes that make releases as fast as they can, killed at random moments and replaced."""

    def work() -> None:
        ledger = Ledger(path)
        with Path(f"{path}.{os.getpid()}.said").open("ab", buffering=0) as said:

            def say(what: str, which: object) -> None:
                said.write(f"{what} {which}\n".encode())

            for number in range(1000):
                steps(ledger, SMALL, f"{os.getpid()}-{number}", say)
                charged = charge(ledger, SMALL, f"at once {os.getpid()}-{number}")
                say("reserved", charged)
                say("activated", charged)

    living: list[int] = []
    for _ in range(kills):
        while len(living) < processes:
            living.append(child(work))
        time.sleep(random.uniform(0.02, 0.4))
        victim = living.pop(random.randrange(len(living)))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def main() -> None:
    mode, path, *rest = sys.argv[1:]
    orders = Ledger(path).entries()[2].payload["orders"]
    for event in (EVENT, SMALL):
        renyi_vector(event, orders), epsilon(event, 1e-6)
    if mode == "die":
        for case in rest:
            transaction, when, copy = case.split(":", 2)
            _, status = os.waitpid(child(lambda: die_at(Path(copy), int(transaction), when)), 0)  # noqa: B023
            assert os.WIFSIGNALED(status), f"transaction {transaction} was not reached"
    elif mode == "die in a charge":
        for case in rest:
            place, copy = case.split(":", 1)
            _, status = os.waitpid(child(lambda: die_in_a_charge(Path(copy), int(place))), 0)  # noqa: B023
            assert os.WIFSIGNALED(status), f"place {place} was not reached"
    elif mode == "last":
        last(Path(path), int(rest[0]))
    elif mode == "race":
        race(Path(path), int(rest[0]), int(rest[1]))
    else:
        storm(Path(path), int(rest[0]), int(rest[1]))


if __name__ == "__main__":
    main()
