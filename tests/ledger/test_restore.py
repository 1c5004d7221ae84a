"""Journals and spending elsewhere: the ledger as text, and back, with nothing lost unsaid."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ledger import (
    BudgetRefused,
    Gaussian,
    Grant,
    Ledger,
    LedgerBroken,
    LedgerError,
    PoissonSampledGaussian,
    ProtocolError,
    Scope,
    store,
)

pytestmark = pytest.mark.slow

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN, ARTIFACT = "a" * 64, "b" * 64
ALICE = "alice@example.org"
WHY = "the disk failed"


@pytest.fixture
def used(ledger: Ledger, granted: Callable[..., Grant]) -> Ledger:
    grant = granted(ledger, PoissonSampledGaussian(0.01, 1.0, 100), key="first")
    ledger.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
    ledger.commit(grant, artifact_digest=ARTIFACT, event=PoissonSampledGaussian(0.01, 1.0, 50))
    ledger.external_charge("inbox", Gaussian(20.0), actor=ALICE, reason="a figure given by telephone")
    return ledger


@pytest.fixture
def journal(used: Ledger) -> list[str]:
    return list(used.export())


@pytest.fixture
def elsewhere(tmp_path: Path, path: Path) -> Path:
    """Where a restored ledger goes, the signing key being there already."""
    place = tmp_path / "restored" / "ledger.duckdb"
    place.parent.mkdir()
    Path(f"{place}.key").write_bytes(Path(f"{path}.key").read_bytes())
    return place


def reserve(book: Ledger, event: Any, key: str = "key") -> str:
    asked = {"source": FINGERPRINT, "release": "r", "key": key, "owner": "run", "plan_digest": PLAN}
    return book.reserve("inbox", event, **asked).id


# The journal ----------------------------------------------------------------------------------------------------------


def test_a_journal_is_lines_of_json_that_hash_to_what_they_say(used: Ledger, journal: list[str]) -> None:
    previous = "0" * 64
    for number, (line, entry) in enumerate(zip(journal, used.entries(), strict=True), start=1):
        assert line.isascii()
        assert "\n" not in line
        stated = json.loads(line)
        assert set(stated) == {"body", "hash"}
        assert hashlib.sha256(stated["body"].encode()).hexdigest() == stated["hash"] == entry.hash
        body = json.loads(stated["body"])
        assert (body["seq"], body["previous"], body["kind"]) == (number, previous, entry.kind)
        previous = stated["hash"]


def test_a_ledger_comes_back_from_its_journal_with_one_entry_more(
    used: Ledger, journal: list[str], elsewhere: Path
) -> None:
    again = Ledger.restore(elsewhere, journal, actor=ALICE, reason=WHY, missing=2)
    assert list(again.export())[:-1] == journal
    entry = again.entries()[-1]
    head = used.entries()[-1]
    assert (entry.kind, entry.owner, entry.seq) == ("restored", ALICE, len(journal) + 1)
    assert entry.payload == {"reason": WHY, "head": {"seq": head.seq, "hash": head.hash}, "missing": 2}
    assert again.id == used.id
    assert again.balance("inbox") == used.balance("inbox")
    assert again.verify([used.checkpoint(), again.checkpoint()]) == []


def test_a_restored_ledger_goes_on_and_can_be_restored_again(
    ledger: Ledger, granted: Callable[..., Grant], elsewhere: Path, tmp_path: Path
) -> None:
    grant = granted(ledger)
    restored = Ledger.restore(elsewhere, ledger.export(), actor=ALICE, reason=WHY, missing=None)
    restored.redeem(grant, population="inbox", fingerprint=FINGERPRINT)  # a run that outlived the disk
    restored.commit(grant, artifact_digest=ARTIFACT, event=grant.event)
    reserve(restored, Gaussian(9.0))
    shutil.copy(f"{elsewhere}.key", tmp_path / "third.duckdb.key")
    third = Ledger.restore(tmp_path / "third.duckdb", restored.export(), actor=ALICE, reason=WHY, missing=0)
    assert [entry.kind for entry in third.entries()].count("restored") == 2
    assert third.balance("inbox") == restored.balance("inbox")
    assert third.verify() == []


def test_the_journal_of_an_untouched_ledger_restores(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "fresh.duckdb")
    shutil.copy(tmp_path / "fresh.duckdb.key", tmp_path / "again.duckdb.key")
    again = Ledger.restore(tmp_path / "again.duckdb", ledger.export(), actor=ALICE, reason=WHY, missing=None)
    assert [entry.kind for entry in again.entries()] == ["created", "restored"]


def body_of(line: str, **changes: Any) -> str:
    """A line with another content and a hash to match."""
    body = json.dumps(json.loads(json.loads(line)["body"]) | changes, sort_keys=True)
    return json.dumps({"body": body, "hash": hashlib.sha256(body.encode()).hexdigest()})


BROKEN: dict[str, Callable[[list[str]], list[str]]] = {
    "nothing": lambda lines: [],
    "no beginning": lambda lines: lines[1:],
    "a line missing": lambda lines: [*lines[:4], *lines[5:]],
    "a line twice": lambda lines: [*lines[:5], *lines[4:]],
    "two lines exchanged": lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]],
    "a word changed": lambda lines: [line.replace("adapter", "adaptor") for line in lines],
    "a hash changed": lambda lines: [*lines[:-1], lines[-1].replace('"hash": "', '"hash": "0')],
    "an entry forged with its hash": lambda lines: [*lines[:-1], body_of(lines[-1], owner="bob@example.org", seq=99)],
    "a cheaper charge at the end": lambda lines: [*lines[:-1], lines[-1].replace("0.", "0.0")],
    "a number as text": lambda lines: [*lines[:5], body_of(lines[5], seq="6"), *lines[6:]],
    "no number": lambda lines: [*lines[:5], body_of(lines[5], seq=None), *lines[6:]],
    "a kind of its own": lambda lines: [*lines[:-1], body_of(lines[-1], kind=["external_charge"])],
    "a line of something else": lambda lines: [*lines, "{}"],
    "a line of no JSON": lambda lines: [*lines, "and so on"],
    "a body of no JSON": lambda lines: [*lines, json.dumps({"body": "x", "hash": "0" * 64})],
    "a body of a list": lambda lines: [*lines, json.dumps({"body": "[]", "hash": "0" * 64})],
    "a body without payload": lambda lines: [*lines, body_of(lines[-1], payload=None)],
    "a number": lambda lines: [*lines, "7"],
    "depths without end": lambda lines: [*lines, json.dumps({"body": "[" * 100_000, "hash": "0" * 64})],
    "an empty line": lambda lines: [*lines, ""],
    "another ledger's beginning": lambda lines: [body_of(lines[0], payload={"ledger": "x"}), *lines[1:]],
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_journal_is_refused_and_nothing_is_written(journal: list[str], elsewhere: Path, damage: str) -> None:
    with pytest.raises(LedgerError):
        Ledger.restore(elsewhere, BROKEN[damage](journal), actor=ALICE, reason=WHY, missing=None)
    assert [file.name for file in elsewhere.parent.iterdir()] == ["ledger.duckdb.key"]


def test_an_existing_ledger_is_never_overwritten(used: Ledger, journal: list[str], path: Path) -> None:
    with pytest.raises(LedgerError, match="a ledger is created once"):
        Ledger.restore(path, journal[:6], actor=ALICE, reason=WHY, missing=None)
    assert list(used.export()) == journal
    path.rename(path.with_suffix(".gone"))
    path.with_name(path.name + ".wal").write_bytes(b"")  # a write-ahead log alone is somebody's charges, too
    with pytest.raises(LedgerError, match="a ledger is created once"):
        Ledger.restore(path, journal, actor=ALICE, reason=WHY, missing=None)
    assert not path.exists()


@pytest.mark.parametrize(("actor", "reason"), [("", WHY), (ALICE, ""), (ALICE, "two\nlines"), (None, WHY)])
def test_a_restoration_has_an_actor_and_a_reason(journal: list[str], elsewhere: Path, actor: Any, reason: Any) -> None:
    with pytest.raises(LedgerError):
        Ledger.restore(elsewhere, journal, actor=actor, reason=reason, missing=None)
    assert not elsewhere.exists()


def test_a_ledger_never_stands_restored_without_saying_so(
    journal: list[str], elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Death at any moment leaves no ledger, or one whose last entry is its restoration."""

    @contextmanager
    def fail(self: store.DuckDBStore) -> Iterator[None]:
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(store.DuckDBStore, "transaction", fail)
        with suppress(KeyboardInterrupt):
            Ledger.restore(elsewhere, journal, actor=ALICE, reason=WHY, missing=None)
    if elsewhere.exists():
        assert Ledger(elsewhere).entries()[-1].kind == "restored"


def test_a_restored_ledger_keeps_its_signing_key(journal: list[str], elsewhere: Path) -> None:
    """Without the key, or beside another ledger's, its artifacts would carry checkpoints that nobody can check."""
    key = Path(f"{elsewhere}.key")
    key.unlink()
    with pytest.raises(LedgerError, match="put it back"):
        Ledger.restore(elsewhere, journal, actor=ALICE, reason=WHY, missing=None)
    other = elsewhere.with_name("other.duckdb")
    Ledger.create(other)
    shutil.copy(f"{other}.key", key)
    with pytest.raises(LedgerError, match="put it back"):
        Ledger.restore(elsewhere, journal, actor=ALICE, reason=WHY, missing=None)
    assert not elsewhere.exists(), "nothing was written"


# Spending elsewhere ---------------------------------------------------------------------------------------------------


@pytest.fixture
def book(new_ledger: Callable[[], Ledger]) -> Ledger:
    return new_ledger()


def test_spending_elsewhere_counts_like_any_charge(book: Ledger) -> None:
    entry = book.external_charge("inbox", Gaussian(4.0), actor=ALICE, reason="a figure given by telephone")
    assert (entry.kind, entry.owner, entry.event) == ("external_charge", ALICE, Gaussian(4.0))
    assert entry.payload["blocks"] == ["inbox/everything"]
    balance = book.balance("inbox")
    assert (balance.charges, balance.epsilon_reserved) == (1, 0.0)
    assert balance.basic_sum_epsilon == entry.payload["epsilon_alone"]
    other = book.balance("inbox").epsilon_spent
    assert [book.statement("inbox").external] == [(entry,)]
    admitted = sum(1 for number in range(8) if admitted_by(book, number))
    assert admitted == 4  # one fewer than without it
    assert 0.0 < other < book.balance("inbox").epsilon_spent <= 3.0
    assert book.verify() == []


def admitted_by(book: Ledger, number: int) -> bool:
    try:
        reserve(book, Gaussian(4.0), key=f"key {number}")
    except BudgetRefused:
        return False
    return True


def test_spending_elsewhere_is_never_refused_and_closes_what_it_overdraws(book: Ledger) -> None:
    book.external_charge("inbox", Gaussian(0.5), actor=ALICE, reason="published by mistake")
    balance = book.balance("inbox")
    assert balance.epsilon_spent > 3.0
    assert (balance.frozen, balance.epsilon_remaining) == (True, 0.0)
    with pytest.raises(BudgetRefused):
        reserve(book, Gaussian(1e9))
    guarantee = book.statement("inbox").guarantee
    assert "is together (3, 1e-06)" not in guarantee  # nobody may be promised less than what was spent
    book.external_charge("inbox", Gaussian(0.5), actor=ALICE, reason="and once more")
    assert book.balance("inbox").charges == 2
    assert book.verify() == []


def test_spending_elsewhere_may_concern_some_blocks(
    blank: Ledger, scope: Scope, register: Callable[[Ledger, Scope], None]
) -> None:
    from dataclasses import replace

    register(blank, replace(scope, blocks_by="month of joining"))
    with pytest.raises(ProtocolError, match="has no block yet"):
        blank.external_charge("inbox", Gaussian(4.0), actor=ALICE, reason="too early")
    blank.bind_source("inbox", FINGERPRINT, blocks=("january", "february"))
    blank.external_charge("inbox", Gaussian(4.0), actor=ALICE, reason="some", blocks=["inbox/january"])
    blank.external_charge("inbox", Gaussian(4.0), actor=ALICE, reason="all")
    assert {b.block: b.charges for b in blank.balance("inbox").blocks} == {"inbox/january": 2, "inbox/february": 1}
    for blocks in ([], ["inbox/march"], ["january"], ["other/everything"]):
        with pytest.raises(ProtocolError):
            blank.external_charge("inbox", Gaussian(4.0), actor=ALICE, reason="where?", blocks=blocks)
    assert blank.verify() == []


@pytest.mark.parametrize("event", ["gaussian", None, 3.0])
def test_only_events_are_written_down(book: Ledger, event: Any) -> None:
    with pytest.raises(LedgerError):
        book.external_charge("inbox", event, actor=ALICE, reason="a figure given by telephone")
    with pytest.raises(LedgerError):
        book.external_charge("inbox", Gaussian(1.0), actor="", reason="a figure given by telephone")
    assert book.balance("inbox").charges == 0


def test_a_broken_journal_says_what_is_broken(journal: list[str], elsewhere: Path) -> None:
    with pytest.raises(LedgerBroken, match=r"entry 6 \(redeemed|entry 7 \(redeemed"):
        Ledger.restore(elsewhere, [*journal[:5], *journal[6:]], actor=ALICE, reason=WHY, missing=None)
    with pytest.raises(LedgerError, match="line 3 is not one of a journal"):
        Ledger.restore(elsewhere, [*journal[:2], "x"], actor=ALICE, reason=WHY, missing=None)
