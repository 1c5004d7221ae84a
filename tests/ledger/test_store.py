"""The file: created on purpose, locked, append-only, and refused as soon as it cannot be trusted."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import duckdb
import pytest
from filelock import FileLock

from ledger import Gaussian, Grant, Ledger, LedgerBroken, LedgerBusy, LedgerError, LedgerMissing, Scope, store

FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN = "a" * 64


def sql(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """What somebody with access to the file could do to it."""
    connection = duckdb.connect(str(path))
    try:
        rows = [connection.execute(statement).fetchall() for statement in statements]
    finally:
        connection.close()
    return rows[-1]


DROP_TRIGGERS = (
    "DROP TRIGGER entries_keep_their_rows ON entries",
    "DROP TRIGGER entries_keep_all_rows ON entries",
)


def test_a_missing_ledger_is_never_made_silently(path: Path) -> None:
    with pytest.raises(LedgerMissing, match="dpsynth init"):
        Ledger(path)
    assert not path.exists()
    assert not path.parent.exists()


def test_a_ledger_that_vanishes_is_missed_by_every_step(ledger: Ledger, path: Path) -> None:
    path.rename(path.with_suffix(".gone"))
    for step in (
        lambda: ledger.balance("inbox"),
        lambda: ledger.reserve(
            "inbox", Gaussian(4.0), source=FINGERPRINT, release="r", key="k", owner="o", plan_digest=PLAN
        ),
        lambda: ledger.verify(),
    ):
        with pytest.raises(LedgerMissing):
            step()
    assert not path.exists()


def test_an_existing_ledger_is_never_replaced(ledger: Ledger, path: Path) -> None:
    with pytest.raises(LedgerError, match="created once"):
        Ledger.create(path)
    path.rename(path.with_suffix(".gone"))
    path.with_name(path.name + ".wal").write_bytes(b"")
    with pytest.raises(LedgerError, match="created once"):
        Ledger.create(path)


def test_another_file_is_another_ledger(tmp_path: Path) -> None:
    first, second = Ledger.create(tmp_path / "a.duckdb"), Ledger.create(tmp_path / "b.duckdb")
    assert first.id != second.id
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("a.duckdb", "a.duckdb.key", "a.duckdb.lock"),
        *("b.duckdb", "b.duckdb.key", "b.duckdb.lock"),
    ]


def test_everything_survives_closing_and_opening(ledger: Ledger, path: Path, granted: Callable[..., Grant]) -> None:
    grant = granted(ledger)
    before = ledger.balance("inbox")
    again = pickle.loads(pickle.dumps(Ledger(path)))
    assert again.balance("inbox") == before
    assert again.entries() == ledger.entries()
    again.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
    assert [r.state for r in Ledger(path).reservations()] == ["redeemed"]
    assert Ledger(path).verify() == []


def test_the_database_itself_refuses_changes(ledger: Ledger, path: Path) -> None:
    for statement in (
        "UPDATE entries SET body = '{}' WHERE seq = 2",
        "DELETE FROM entries WHERE seq = 2",
        "TRUNCATE entries",
        "UPDATE ledger SET id = 'other'",
        "DELETE FROM ledger",
        "INSERT INTO entries SELECT * FROM entries WHERE seq = 2",
    ):
        with pytest.raises(duckdb.Error):
            sql(path, statement)
    assert ledger.verify() == []


def test_a_held_lock_is_waited_for_and_then_named(ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOCK_TIMEOUT_SECONDS", 0.05)
    with FileLock(f"{path}.lock"), pytest.raises(LedgerBusy, match=r"ledger\.duckdb\.lock"):
        ledger.balance("inbox")
    ledger.balance("inbox")


def test_what_cannot_be_locked_is_not_opened(ledger: Ledger, path: Path) -> None:
    path.with_name(path.name + ".lock").mkdir()
    with pytest.raises(LedgerError, match="cannot be locked"):
        ledger.balance("inbox")


def test_one_lock_for_every_name_of_the_file(
    ledger: Ledger, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(path.parent)
    monkeypatch.setattr(store, "LOCK_TIMEOUT_SECONDS", 0.05)
    with FileLock(f"{path}.lock"), pytest.raises(LedgerBusy):
        Ledger(link / "ledger.duckdb").balance("inbox")


def test_an_exception_leaves_nothing_behind(ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ledger.entries()

    def fail(self: object, connection: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.DuckDBStore, "_commit", fail)
        with pytest.raises(KeyboardInterrupt):
            ledger.reserve(
                "inbox", Gaussian(4.0), source=FINGERPRINT, release="r", key="k", owner="o", plan_digest=PLAN
            )
    assert ledger.entries() == before
    assert ledger.balance("inbox").epsilon_spent == 0.0


def test_an_unknown_version_is_refused(ledger: Ledger, path: Path) -> None:
    sql(path, "DROP TRIGGER ledger_keeps_its_identity ON ledger", "UPDATE ledger SET version = 1")
    with pytest.raises(LedgerBroken, match="schema version"):
        ledger.balance("inbox")
    assert "schema version" in ledger.verify()[0]


@pytest.mark.parametrize("contents", [b"", b"not a database" * 1000])
def test_a_file_that_is_no_ledger_is_refused(path: Path, contents: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(contents)
    ledger = Ledger(path)
    with pytest.raises(LedgerBroken, match="nothing is admitted"):
        ledger.balance("inbox")
    assert len(ledger.verify()) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET body = replace(body, '\"charges\":1', '\"charges\":0') WHERE seq = 5",
        "UPDATE entries SET body = replace(body, 'activated', 'forfeited') WHERE seq = 6",
        "UPDATE entries SET hash = repeat('0', 64) WHERE seq = 5",
        "DELETE FROM entries WHERE seq = 3",
        "DELETE FROM entries",
    ],
)
def test_a_broken_head_stops_admission(ledger: Ledger, path: Path, granted: Callable[..., Grant], damage: str) -> None:
    granted(ledger)
    sql(path, *DROP_TRIGGERS, damage)
    with pytest.raises(LedgerBroken, match=r"[Nn]othing is admitted"):
        ledger.reserve("inbox", Gaussian(50.0), source=FINGERPRINT, release="r", key="k", owner="o", plan_digest=PLAN)
    assert ledger.verify() != []


def test_the_entry_that_carries_the_sums_is_checked_even_behind_the_head(
    ledger: Ledger, path: Path, register: Callable[[Ledger, Scope], None]
) -> None:
    """Another population's entry is the head; lowering this one's sums is noticed all the same."""
    ledger.reserve("inbox", Gaussian(4.0), source=FINGERPRINT, release="r", key="k", owner="o", plan_digest=PLAN)
    for population in ("second", "third"):
        register(ledger, Scope(population, "customer", "add_or_remove_one_unit", 1.0, 1e-6))
    sql(path, *DROP_TRIGGERS, "UPDATE entries SET body = replace(body, '\"charges\":1', '\"charges\":0') WHERE seq = 5")
    with pytest.raises(LedgerBroken, match="entry 5 was changed"):
        ledger.reserve("inbox", Gaussian(4.0), source=FINGERPRINT, release="r", key="k", owner="o", plan_digest=PLAN)


def test_a_rewritten_entry_with_a_valid_hash_is_noticed_where_it_decides(ledger: Ledger, path: Path) -> None:
    """Its hash fits its body, but the entry after it names another one."""
    first = ledger.reserve(
        "inbox", Gaussian(4.0), source=FINGERPRINT, release="r", key="k", owner="o", plan_digest=PLAN
    )
    ledger.activate(first)
    cheaper = "replace(body, '\"charges\":1', '\"charges\":0')"
    sql(path, *DROP_TRIGGERS, f"UPDATE entries SET body = {cheaper}, hash = sha256({cheaper}) WHERE seq = 5")
    with pytest.raises(LedgerBroken, match="entry 6 does not follow from entry 5"):
        ledger.reserve("inbox", Gaussian(4.0), source=FINGERPRINT, release="r", key="l", owner="o", plan_digest=PLAN)


def test_threads_of_one_process_share_the_budget(ledger: Ledger) -> None:
    outcomes: list[str] = []

    def run(number: int) -> None:
        try:
            ledger.reserve(
                "inbox", Gaussian(2.5), source=FINGERPRINT, release="r", key=f"{number}", owner="o", plan_digest=PLAN
            )
            outcomes.append("admitted")
        except LedgerError:
            outcomes.append("refused")

    threads = [Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["admitted", "refused", "refused", "refused"]
    assert ledger.balance("inbox", with_pld=False).epsilon_spent <= 3.0


_ON_A_FULL_DISK = """
import resource, sys
from ledger import Ledger, LedgerError
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    Ledger.create(sys.argv[1])
except LedgerError as error:
    print(error)
"""


def test_a_ledger_that_could_not_be_made_leaves_nothing_that_says_one_was_here(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "ledger.duckdb"
    ran = subprocess.run([sys.executable, "-c", _ON_A_FULL_DISK, path], capture_output=True, text=True)
    assert "could not be made" in ran.stdout, ran.stderr
    assert [file.name for file in path.parent.iterdir()] == ["ledger.duckdb.lock"]
    assert Ledger.create(path).verify() == []
