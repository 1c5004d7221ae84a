"""Reserve and activate in one: both entries or neither, whatever fails, whoever else asks, and nothing unchecked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import BudgetRefused, Gaussian, Grant, Ledger, LedgerError, ProtocolError, Request, Scope, accounting
from ledger.chain import Draft, Record
from ledger.places import AnyStore, store_at
from ledger.replay import Replay
from ledger.transaction import SQLTransaction

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN, ARTIFACT = "a" * 64, "b" * 64
EVENT = Gaussian(4.0)  # five of them fit


@pytest.fixture
def book(new_ledger: Callable[[], Ledger]) -> Ledger:
    return new_ledger()


def asked(**other: Any) -> dict[str, Any]:
    return {"source": FINGERPRINT, "release": "adapter", "key": "key", "owner": "run-1", "plan_digest": PLAN, **other}


def charge(book: Ledger, event: Gaussian = EVENT, ready: Callable[[], None] = lambda: None, **other: Any) -> Grant:
    return book.charge("inbox", event, ready=ready, **asked(**other))


def kinds(book: Ledger) -> list[str]:
    """Of what came after the population was prepared."""
    return [entry.kind for entry in book.entries()[4:]]


def never() -> None:
    raise AssertionError("it was checked, and is refused")


def fail() -> None:
    raise ValueError("no model")


def replay(book: Ledger) -> list[str]:
    found = Replay()
    for line in book.export():
        found.read(line.encode())
    return found.problems


def test_a_charge_is_what_reserving_and_activating_leaves(
    new_ledger: Callable[[], Ledger], granted: Callable[..., Grant]
) -> None:
    in_one, in_two = new_ledger(), new_ledger()
    grant, other = charge(in_one), granted(in_two)
    assert replace(grant, token="") == replace(other, token="")
    entries, others = in_one.entries()[4:], in_two.entries()[4:]
    assert [entry.kind for entry in entries] == ["reserved", "activated"]
    assert entries[0].payload == others[0].payload
    assert entries[1].payload.keys() == others[1].payload.keys() == {"token_sha256"}
    in_one.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
    in_one.commit(grant, artifact_digest=ARTIFACT, event=EVENT)
    assert in_one.state(grant.reservation_id) == "committed"
    assert (in_one.verify(), replay(in_one)) == ([], [])


def test_it_takes_one_transaction_that_writes(ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads, kind = [], type(store_at(path))
    commit = kind._commit

    def counted(self: AnyStore, connection: Any) -> None:
        ((count,),) = connection.execute("SELECT count(*) FROM entries").fetchall()
        heads.append(count)
        commit(self, connection)

    monkeypatch.setattr(kind, "_commit", counted)
    charge(ledger)
    assert heads == [4, 6]


@pytest.mark.parametrize("place", range(1, 6))
def test_what_fails_on_the_way_leaves_nothing(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """Before and after each of the two entries, and before they are durable."""
    kind = type(store_at(path))
    append, commit, passed = SQLTransaction.append, kind._commit, 0

    def pass_by() -> None:
        nonlocal passed
        passed += 1
        if passed == place:
            raise OSError("the disk")

    def appending(self: SQLTransaction, draft: Draft) -> Record:
        pass_by()
        record = append(self, draft)
        pass_by()
        return record

    def committing(self: AnyStore, connection: Any) -> None:
        if passed:
            pass_by()
        commit(self, connection)

    with monkeypatch.context() as patch:
        patch.setattr(SQLTransaction, "append", appending)
        patch.setattr(kind, "_commit", committing)
        with pytest.raises(OSError, match="the disk"):
            charge(ledger)
    assert kinds(ledger) == []
    assert ledger.spending("inbox").epsilon_spent == 0.0
    charge(ledger)
    assert (kinds(ledger), ledger.verify()) == (["reserved", "activated"], [])


def test_what_is_not_ready_is_not_charged(book: Ledger) -> None:
    with pytest.raises(ValueError, match="no model"):
        charge(book, ready=fail)
    assert (kinds(book), book.spending("inbox").epsilon_spent) == ([], 0.0)


def test_a_refusal_is_an_entry_and_nothing_is_checked_for_it(book: Ledger) -> None:
    with pytest.raises(BudgetRefused) as refused:
        charge(book, Gaussian(0.5), never)
    assert kinds(book) == ["refused"]
    assert refused.value.entry == book.entries()[-1].seq
    assert (book.verify(), replay(book)) == ([], [])


def test_what_another_took_while_it_was_checked_is_refused(book: Ledger) -> None:
    def others() -> None:
        for number in range(5):
            charge(book, key=f"theirs-{number}")

    with pytest.raises(BudgetRefused):
        charge(book, ready=others)
    assert kinds(book) == ["reserved", "activated"] * 5 + ["refused"]
    assert (book.verify(), replay(book)) == ([], [])


@pytest.mark.parametrize("ready", [True, False])
def test_what_is_given_back_meanwhile_is_checked_before_it_is_charged(
    book: Ledger, monkeypatch: pytest.MonkeyPatch, ready: bool
) -> None:
    """The ledger would have refused when it first looked, and admits when it is to be charged."""
    held = [book.reserve("inbox", EVENT, **asked(key=f"theirs-{number}")) for number in range(5)]
    price, seen = accounting.epsilon, []

    def meanwhile(*given: Any) -> float:
        for reservation in book.reservations("reserved"):
            book.void(reservation.id, reason="its run died")
        return price(*given)

    def check() -> None:
        seen.append(kinds(book)[10:])
        if not ready:
            fail()

    monkeypatch.setattr(accounting, "epsilon", meanwhile)
    if ready:
        charge(book, ready=check)
    else:
        with pytest.raises(ValueError, match="no model"):
            charge(book, ready=check)
    assert len(held) == 5
    assert seen == [[]], "checked once, and before the charge"
    assert kinds(book)[10:] == (["reserved", "activated"] if ready else [])
    assert (book.verify(), replay(book)) == ([], [])


def test_what_was_only_reserved_is_activated_and_not_charged_again(book: Ledger) -> None:
    held = book.reserve("inbox", EVENT, **asked())
    with pytest.raises(ProtocolError, match="for other contents"):
        charge(book, Gaussian(5.0))
    with pytest.raises(ValueError, match="no model"):
        charge(book, ready=fail)
    assert kinds(book) == ["reserved"]
    assert charge(book).reservation_id == held.id
    assert kinds(book) == ["reserved", "activated"]
    assert charge(book).reservation_id != held.id, "a second release is a second charge"
    assert (book.verify(), replay(book)) == ([], [])


def test_the_last_reservation_that_fits_is_activated_though_nothing_more_would_fit(book: Ledger) -> None:
    for number in range(4):
        charge(book, key=f"before-{number}")
    held = book.reserve("inbox", EVENT, **asked())
    seen: list[int] = []
    assert charge(book, ready=lambda: seen.append(1)).reservation_id == held.id
    assert (seen, kinds(book)[-2:]) == ([1], ["reserved", "activated"])


def test_a_key_that_goes_while_it_is_checked_leaves_nothing_charged(ledger: Ledger, path: Path) -> None:
    with pytest.raises(LedgerError, match="signing key"):
        charge(ledger, ready=Path(f"{path}.key").unlink)
    assert kinds(ledger) == []


def test_what_is_spent_is_told_off_few_entries_as_off_all(
    used_file: Path, ledger: Ledger, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge(ledger, key="first")
    ledger.reserve("inbox", EVENT, **asked(key="waits"))
    for book, population in ((Ledger(used_file), "inbox"), (Ledger(used_file), "archive"), (ledger, "inbox")):
        balance = book.balance(population)
        monkeypatch.setattr(Ledger, "statement", never)
        spending = book.spending(population)
        monkeypatch.undo()
        assert vars(spending).items() <= vars(balance).items()
        assert spending.epsilon_spent > 0
    assert 0 < ledger.spending("inbox").epsilon_reserved < ledger.spending("inbox").epsilon_spent


def test_what_was_permitted_still_holds_in_the_transaction_that_charges(book: Ledger) -> None:
    """What people sign while the caller makes ready counts, whatever it had found before."""
    seen: list[float] = []

    def permitted(now: Ledger) -> None:
        seen.append(now.cap("inbox"))
        if now.cap("inbox") < 3.0:
            raise LedgerError("the terms are no longer those")

    def lower() -> None:
        book.lower_cap("inbox", 2.5, actor="alice@example.org", reason="less is enough")

    with pytest.raises(LedgerError, match="no longer those"):
        book.charge("inbox", EVENT, ready=lower, permitted=permitted, **asked())
    assert seen == [2.5]
    assert kinds(book) == ["cap_changed"]


def test_what_permits_a_charge_can_enter_nothing(book: Ledger) -> None:
    def permitted(now: Ledger) -> None:
        now.lower_cap("inbox", 2.5, actor="alice@example.org", reason="less is enough")

    with pytest.raises(ProtocolError, match="a view takes no entry"):
        book.charge("inbox", EVENT, ready=lambda: None, permitted=permitted, **asked())
    assert kinds(book) == []


# Several that fit together, or not.


def together(book: Ledger, *events: Gaussian, hold: bool = False) -> None:
    requests = [Request("inbox", event, **asked(key=str(number))) for number, event in enumerate(events)]
    book.reserve_all(requests, reason="not all of them fit", hold=hold)


def test_releases_that_all_fit_leave_no_entry(book: Ledger) -> None:
    together(book, EVENT, EVENT)
    assert kinds(book) == []


def test_of_releases_that_do_not_fit_all_is_written_and_nothing_is_charged(book: Ledger) -> None:
    before = book.balance("inbox", with_pld=False)
    with pytest.raises(BudgetRefused):
        together(book, *[EVENT] * 6)
    assert kinds(book) == ["reserved"] * 5 + ["refused"] + ["voided"] * 5
    assert book.balance("inbox", with_pld=False).charges == before.charges
    assert book.reservations("reserved") == []
    assert (book.verify(), replay(book)) == ([], [])
    charge(book)


@pytest.mark.parametrize("dies_at", range(1, 12))
def test_a_process_that_dies_while_several_are_asked_leaves_none(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    append, count = SQLTransaction.append, iter(range(1, 99))

    def dying(self: SQLTransaction, draft: Draft) -> Record:
        if next(count) == dies_at:
            raise KeyboardInterrupt
        return append(self, draft)

    monkeypatch.setattr(SQLTransaction, "append", dying)
    with pytest.raises(KeyboardInterrupt):
        together(ledger, *[EVENT] * 6)
    assert kinds(ledger) == []
    assert ledger.verify() == []
