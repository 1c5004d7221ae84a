"""What only a server can do to a ledger: be away, forget, be asked by several at once, by roles that may do little."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger import Gaussian, Grant, Ledger, LedgerBusy, LedgerError, LedgerMissing, Scope, postgresql
from ledger.addresses import Address, address_of
from ledger.errors import LedgerUnsure
from ledger.places import is_there, name_of, store_at, write_address
from ledger.postgresql_errors import in_words
from ledger.transaction import SQLTransaction
from tests.ledger.conftest import _prepared
from tests.ledger.on_postgresql.conftest import connected
from tests.postgresql import PASSWORD, Server, server
from tests.postgresql import postgresql as running

SCRIPT = Path(__file__).parents[1] / "processes.py"
FINGERPRINT = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
EVENT, PLAN, ARTIFACT = Gaussian(4.0), "a" * 64, "b" * 64

GRANTS = """\
CREATE ROLE spender LOGIN PASSWORD 'hunter3';
GRANT USAGE ON SCHEMA {schema} TO spender;
GRANT SELECT, INSERT ON {schema}.entries TO spender;
GRANT SELECT ON {schema}.ledger TO spender;
"""


def live(ledger: Ledger, granted: Callable[..., Grant]) -> None:
    grant = granted(ledger, EVENT, key="one")
    ledger.redeem(grant, population="inbox", fingerprint=FINGERPRINT)
    ledger.commit(grant, artifact_digest=ARTIFACT, event=EVENT)


def test_a_fresh_ledger_has_the_shape_that_is_expected(ledger: Ledger, path: Path) -> None:
    assert ledger.verify() == []
    assert is_there(path)
    assert not path.exists()
    assert name_of(path) == str(store_at(path).address)
    again = pickle.loads(pickle.dumps(Ledger(path)))
    assert again.verify([ledger.checkpoint()]) == []


def test_a_role_that_reads_and_inserts_is_enough_and_may_do_no_more(
    ledger: Ledger, path: Path, granted: Callable[..., Grant], server_connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = store_at(path).address.schema
    server_connection.execute(GRANTS.format(schema=schema))
    monkeypatch.setenv("PGUSER", "spender")
    monkeypatch.setenv("PGPASSWORD", "hunter3")
    try:
        live(ledger, granted)
        assert [each.state for each in ledger.reservations()] == ["committed"]
        assert ledger.verify([ledger.checkpoint()]) == []
        with connected(store_at(path).address) as connection:
            for statement in (
                "DELETE FROM {0}.entries",
                "UPDATE {0}.entries SET key = 'x'",
                "TRUNCATE {0}.entries",
                "UPDATE {0}.ledger SET id = 'x'",
                "INSERT INTO {0}.ledger VALUES (1, 'x')",
                "ALTER TABLE {0}.entries DISABLE TRIGGER ALL",
                "CREATE TABLE {0}.mine (x INT)",
                "DROP SCHEMA {0} CASCADE",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.format(schema))
        with pytest.raises(LedgerError, match="this account may not do that"):
            Ledger.create(path.with_name("other.duckdb"), address=replace(store_at(path).address, schema="other"))
        assert not is_there(path.with_name("other.duckdb"))
    finally:
        server_connection.execute("DROP OWNED BY spender; DROP ROLE spender")


def test_a_temporary_table_of_the_same_name_is_not_the_ledger(
    ledger: Ledger, path: Path, granted: Callable[..., Grant], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = psycopg.connect

    def shadowed(*given: Any, **options: Any) -> Any:
        connection = connect(*given, **options)
        connection.execute("CREATE TEMPORARY TABLE entries (seq BIGINT, body TEXT)")
        return connection

    monkeypatch.setattr(psycopg, "connect", shadowed)
    live(ledger, granted)
    assert ledger.verify() == []


def test_of_two_that_hold_no_lock_one_is_turned_away(
    ledger: Ledger, granted: Callable[..., Grant], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler, whose sessions are not the clients'."""
    execute = postgresql.Session.execute

    def unlocked(self: postgresql.Session, sql: str, parameters: list[Any] | None = None) -> Any:
        return execute(self, "SELECT 1" if "advisory" in sql else sql, None if "advisory" in sql else parameters)

    monkeypatch.setattr(postgresql.Session, "execute", unlocked)
    append, met = SQLTransaction.append, threading.Barrier(2, timeout=30)

    def together(self: SQLTransaction, draft: Any) -> Any:
        if not self.appended:
            met.wait()  # both have decided on the same entries
        return append(self, draft)

    monkeypatch.setattr(SQLTransaction, "append", together)
    said: list[object] = []

    def ask(key: str) -> None:
        try:
            said.append(granted(ledger, EVENT, key=key))
        except LedgerError as error:
            said.append(error)

    def one_step(key: str) -> None:
        try:
            said.append(
                ledger.reserve("inbox", EVENT, source=FINGERPRINT, release="r", key=key, owner="o", plan_digest=PLAN)
            )
        except LedgerError as error:
            said.append(error)

    threads = [threading.Thread(target=one_step, args=(key,)) for key in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    [refused] = [each for each in said if isinstance(each, LedgerError)]
    assert isinstance(refused, LedgerBusy)
    assert "another client wrote" in str(refused)
    assert len(ledger.reservations()) == 1
    assert ledger.verify() == []


def test_who_waits_too_long_is_told(ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "LOCK_TIMEOUT_SECONDS", 1.0)
    store = store_at(path)
    with store._open() as session:
        store._lock(session, store._identity(session))
        with pytest.raises(LedgerBusy, match="another client has held the ledger"):
            ledger.balance("inbox")


@pytest.mark.slow
def test_eight_at_once_overspend_nothing(ledger: Ledger, path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, "race", path, "8", "4"], check=True, timeout=300, env=os.environ)
    said = [line for file in path.parent.glob("*.said") for line in file.read_text().split()]
    assert (len(said), said.count("admitted")) == (32, 5)
    assert ledger.balance("inbox", with_pld=False).epsilon_spent <= 3.0
    assert ledger.verify() == []


@pytest.fixture
def failing(tmp_path: Path, scope: Scope) -> Iterator[tuple[Server, Path]]:
    with server(fsync="on") as running:
        path = tmp_path / "home" / "ledger.duckdb"
        path.parent.mkdir()
        address = address_of(f"postgresql://127.0.0.1:{running.port}/postgres")
        _prepared(Ledger.create(path, address=address), scope)
        yield running, path


@pytest.mark.slow
def test_a_server_that_fails_in_the_middle_of_charges_loses_nothing_acknowledged(failing: tuple[Server, Path]) -> None:
    running, path = failing
    for _ in range(4):
        command = [sys.executable, SCRIPT, "storm", path, "1000", "4"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as storm:
            before = sum(file.stat().st_size for file in path.parent.glob("*.said"))
            deadline = time.monotonic() + 120
            while sum(file.stat().st_size for file in path.parent.glob("*.said")) < before + 400:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            running.fail()
            os.killpg(storm.pid, signal.SIGKILL)
        with pytest.raises(LedgerError, match="cannot be reached"):
            Ledger(path).balance("inbox")
        running.start()
    said = {tuple(line.split()) for file in path.parent.glob("*.said") for line in file.read_text().splitlines()}
    entries = Ledger(path).entries()
    assert said
    assert said <= {(entry.kind, entry.reservation_id or str(entry.seq)) for entry in entries}
    assert Ledger(path).balance("inbox", with_pld=False).epsilon_spent <= 3.0
    assert Ledger(path).verify() == []


def test_a_connection_that_is_lost_at_the_commit_is_no_leave(
    ledger: Ledger, path: Path, granted: Callable[..., Grant], server_connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = postgresql.PostgreSQLStore._commit

    def cut_off(self: postgresql.PostgreSQLStore, session: postgresql.Session) -> None:
        own = session.one("SELECT pg_backend_pid()")
        server_connection.execute("SELECT pg_terminate_backend(%s)", [own])
        commit(self, session)

    monkeypatch.setattr(postgresql.PostgreSQLStore, "_commit", cut_off)
    with pytest.raises(LedgerError, match="Whether what was being entered is in it is not known"):
        granted(ledger, EVENT, key="one")
    monkeypatch.undo()
    granted(ledger, EVENT, key="one")
    assert ledger.verify() == []


ENDINGS = {  # of a session, as the server ends it: SQLSTATEs, and what brings them about
    "IdleInTransactionSessionTimeout, SQLSTATE 25P03": "SET LOCAL idle_in_transaction_session_timeout TO '20ms'",
    "AdminShutdown, SQLSTATE 57P01": "SELECT pg_terminate_backend(pg_backend_pid())",
}


@pytest.mark.parametrize("committing", [False, True])
@pytest.mark.parametrize("what", ENDINGS)
def test_a_session_that_ends_has_entered_nothing_unless_it_was_told_to_commit(
    ledger: Ledger, path: Path, what: str, committing: bool
) -> None:
    store = store_at(path)

    def end() -> None:
        with store._open() as session:
            session.committing = committing
            session.run(ENDINGS[what])
            time.sleep(0.5)
            session.run("COMMIT" if committing else "SELECT 1")

    said = "Whether what was being entered is in it is not known" if committing else "nothing was entered: give the"
    with pytest.raises(LedgerError, match=rf"ledger at .* was lost \({what}\).*{said}") as told:
        end()
    assert isinstance(told.value, LedgerUnsure) == committing
    assert ledger.verify() == []


@pytest.mark.parametrize("committing", [False, True])
@pytest.mark.parametrize(
    ("statement", "kind", "said"),
    [
        ("SET LOCAL statement_timeout TO '20ms'; SELECT pg_sleep(60)", LedgerError, "was told to end .*57014.*limit"),
        ("SET LOCAL lock_timeout TO '20ms'; SELECT pg_advisory_xact_lock(4471)", LedgerBusy, "has held .*55P03.*find"),
        ("53100", LedgerError, "has no room left .DiskFull, SQLSTATE 53100.*see to its disk, memory and connections"),
        ("53200", LedgerError, "has no room left .OutOfMemory, SQLSTATE 53200"),
        ("53300", LedgerError, "has no room left .TooManyConnections, SQLSTATE 53300"),
        ("58030", LedgerError, "could not read or write its files .IoError, SQLSTATE 58030"),
        ("40001", LedgerBusy, "another client wrote .*SerializationFailure, SQLSTATE 40001"),
        ("25006", LedgerError, "takes no entries now.*SQLSTATE 25006"),
        ("0A000", LedgerError, "takes no entries now.*SQLSTATE 0A000"),  # a standby's word, told to begin one
    ],
)
def test_a_statement_that_fails_has_entered_nothing_and_what_to_do_is_said(
    ledger: Ledger,
    path: Path,
    server_connection: Any,
    statement: str,
    kind: type[LedgerError],
    said: str,
    committing: bool,
) -> None:
    """At the commit too: with an error that the server states, the transaction is undone."""
    if statement.isalnum():
        statement = f"DO $$ BEGIN RAISE EXCEPTION 'their own words' USING ERRCODE = '{statement}'; END $$"

    def fail() -> None:
        with store_at(path)._open() as session:
            session.committing = committing
            session.run(statement)

    with server_connection.transaction():
        server_connection.execute("SELECT pg_advisory_xact_lock(4471)")
        with pytest.raises(LedgerError, match=r"and nothing was entered: .+") as told:
            fail()
    assert re.search(said, str(told.value))
    assert type(told.value) is kind
    assert "their own words" not in str(told.value)


def test_at_the_commit_an_error_that_no_server_states_is_not_known_to_have_undone_it() -> None:
    """As of a pool between this client and the server: it gives no severity."""
    address = address_of("postgresql://127.0.0.1/privacy")
    said = in_words(psycopg.errors.AdminShutdown("gone"), address, committing=True, seconds=1.0)
    assert type(said) is LedgerUnsure
    assert "not known" in str(said)


def test_a_server_that_forgets_is_refused(tmp_path: Path) -> None:
    with running() as port, pytest.raises(LedgerError, match="fsync off"):
        Ledger.create(tmp_path / "ledger.duckdb", address=address_of(f"postgresql://127.0.0.1:{port}/postgres"))
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_a_crash_would_empty_is_refused(
    ledger: Ledger, granted: Callable[..., Grant], server_connection: Any
) -> None:
    before = len(ledger.entries())
    server_connection.execute("ALTER TABLE entries SET UNLOGGED")
    with pytest.raises(LedgerError, match="is not logged"):
        granted(ledger, EVENT, key="one")
    assert len(ledger.entries()) == before
    server_connection.execute("ALTER TABLE entries SET LOGGED")
    granted(ledger, EVENT, key="one")
    assert ledger.verify() == []


@pytest.mark.parametrize(
    "by", ["GRANT owner TO spender", "GRANT pg_write_all_data TO spender", "ALTER ROLE spender SUPERUSER"]
)
def test_a_role_that_inserts_and_may_do_more_by_another_role_is_found(
    ledger: Ledger, path: Path, server_connection: Any, by: str
) -> None:
    server_connection.execute(GRANTS.format(schema=store_at(path).address.schema))
    try:
        assert ledger.verify() == []
        server_connection.execute(by)
        [problem] = ledger.verify()
        assert "right of spender, which inserts, to do what the owner does" in problem
    finally:
        server_connection.execute("DROP OWNED BY spender; DROP ROLE spender")


@contextmanager
def set_at_the_server(connection: Any, setting: str, value: str) -> Iterator[None]:
    """For all its sessions, those of now too."""
    [before] = connection.execute(f"SHOW {setting}").fetchone()

    def change(how: str, expected: str) -> None:
        connection.execute(f"ALTER SYSTEM {how}")
        connection.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 30
        while connection.execute(f"SHOW {setting}").fetchone() != (expected,):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    try:
        change(f"SET {setting} TO {value}", value)
        yield
    finally:
        change(f"RESET {setting}", before)


def test_a_server_whose_pages_a_crash_may_tear_is_refused(
    ledger: Ledger, granted: Callable[..., Grant], server_connection: Any
) -> None:
    before = len(ledger.entries())
    with set_at_the_server(server_connection, "full_page_writes", "off"):
        with pytest.raises(LedgerError, match=r"full_page_writes off, .* nothing was entered"):
            granted(ledger, EVENT, key="one")
        assert len(ledger.entries()) == before, "what is there is read all the same"
    granted(ledger, EVENT, key="one")
    assert ledger.verify() == []


def test_commits_that_are_not_waited_for_are(ledger: Ledger, path: Path, server_connection: Any) -> None:
    """Whoever says so: the role, the database or the server."""

    def require_waited_for() -> None:
        with store_at(path)._open() as session:
            assert session.one("SHOW synchronous_commit") == "on"

    for whose in ("ROLE owner", "DATABASE postgres"):
        server_connection.execute(f"ALTER {whose} SET synchronous_commit TO off")
        try:
            require_waited_for()
        finally:
            server_connection.execute(f"ALTER {whose} RESET synchronous_commit")
    with set_at_the_server(server_connection, "synchronous_commit", "off"):
        require_waited_for()


def test_what_is_not_there_or_not_open_is_said(
    tmp_path: Path, new_address: Callable[[], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, address = tmp_path / "ledger.duckdb", new_address()
    write_address(path, address)
    with pytest.raises(LedgerMissing, match="no privacy ledger at postgresql://127"):
        Ledger(path).entries()
    monkeypatch.setenv("PGPASSWORD", "hunter4")
    with pytest.raises(LedgerError, match="cannot be reached") as told:
        Ledger(path).entries()
    assert "hunter4" not in str(told.value)
    assert PASSWORD not in str(told.value)


def test_one_address_is_one_ledger(ledger: Ledger, path: Path) -> None:
    elsewhere = path.parent / "other" / "ledger.duckdb"
    elsewhere.parent.mkdir()
    with pytest.raises(LedgerError, match="a ledger is created once"):
        Ledger.create(elsewhere, address=store_at(path).address)
    assert list(elsewhere.parent.iterdir()) == []
    assert ledger.verify() == []


def test_a_file_beside_an_address_is_no_ledger(ledger: Ledger, path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(LedgerError, match="of two ledgers neither can be believed"):
        Ledger(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgresql://me:hunter2@host/db", "has a password in it"),
        ("postgresql://me:@host/db", "has a password in it"),
        ("postgresql://me:/hunter2@h/db", "is no address of a ledger"),
        ("postgresql://me:12/hunter2@h/db", "is no address of a ledger"),
        ("postgresql:me:hunter2@h/db", "has a password in it"),
        ("postgresql:///me:hunter2@h/db", "has a password in it"),
        ("postgresql://host/db?password=hunter2", "something else behind its `\\?`"),
        ("postgresql://host/db?PASSWORD=hunter2", "something else behind its `\\?`"),
        ("postgresql://host/db?passfile=/hunter2", "something else behind its `\\?`"),
        ("postgresql://host/db?scram_client_key=hunter2", "something else behind its `\\?`"),
        ("postgresql://host/db?oauth_client_secret=hunter2", "something else behind its `\\?`"),
        ("postgresql://host/db?sslmode=prefer;password=hunter2", "has a password in it"),
        ("postgresql://host/db?sslmode=prefer%3Bpassword%3Dhunter2", "something else behind its `\\?`"),
        ("postgresql://host/db?sslmode=prefer&sslmode=hunter2", "is no address of a ledger"),
        ("postgresql://host/db?options=-c%20hunter2", "something else behind its `\\?`"),
        ("postgresql://host/db?hostaddr=10.0.0.2", "something else behind its `\\?`"),
        ("postgresql:///hunter2", "is no address of a ledger"),
        ("postgresql://host", "is no address of a ledger"),
        ("postgresql://host/", "is no address of a ledger"),
        ("postgresql://host:hunter2/db", "is no address of a ledger"),
        ("postgresql://host:99999/db", "is no address of a ledger"),
        (f"postgresql://{'a' * 70}/hunter2", "is no address of a ledger"),
        ("postgresql://host/d%ffhunter2", "is no address of a ledger"),
        ("postgresql://host/\udcffhunter2", "is no address of a ledger"),
        ("mysql://host/hunter2", "is no address of a ledger"),
        ("hunter2", "is no address of a ledger"),
        ("", "is no address of a ledger"),
        ("postgresql://host/db?schema=a&schema=b", "is no address of a ledger"),
        ("postgresql://host/db?schema=Hunter2", "is a name of small letters"),
        ("postgresql://host/db?schema=pg_hunter2", "is a name of small letters"),
        ("postgresql://host/db?schema=a%20drop", "is a name of small letters"),
    ],
)
def test_what_is_no_address(text: str, said: str) -> None:
    with pytest.raises(LedgerError, match=said) as told:
        address_of(text)
    assert "unter2" not in str(told.value)


def test_addresses_are_read_as_they_are_written() -> None:
    text = "postgresql://me@host:5433/db?sslmode=verify-full&sslrootcert=/etc/ssl/own.pem&schema=other"
    address = address_of(text)
    options = (("sslmode", "verify-full"), ("sslrootcert", "/etc/ssl/own.pem"))
    assert address == Address("host", 5433, "db", "me", options, "other")
    assert (str(address), address_of(str(address))) == (text, address)
    assert str(address_of(" postgres://host:5432/db\n")) == "postgresql://host/db"
    assert str(address_of("postgresql://[::1]:5433/db")) == "postgresql://[::1]:5433/db"


def test_the_environment_does_not_say_which_server_it_is(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(ledger.entries())
    for name, value in (
        ("PGPORT", "1"),
        ("PGHOST", "elsewhere.invalid"),
        ("PGHOSTADDR", "127.0.0.2"),
        ("PGDATABASE", "template1"),
        ("PGOPTIONS", "-c search_path=public -c default_transaction_read_only=on"),
        ("PGSERVICEFILE", "/nowhere"),  # read where a service is named, and only then
    ):
        monkeypatch.setenv(name, value)
    assert len(ledger.entries()) == before
    ledger.reserve("inbox", EVENT, source=FINGERPRINT, release="r", key="k", owner="o", plan_digest=PLAN)


@pytest.mark.parametrize("service", ["elsewhere", "not-in-the-file", ""])
def test_a_service_in_the_environment_is_refused_in_plain_words(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """Its file may name account, password and what encrypts the connection; one that it has not ends every connection,
    and the client library takes no parameter against it."""
    (file := path.parent / "services.conf").write_text("[elsewhere]\nuser=mallory\nsslmode=disable\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv("PGSERVICE", service)
    with pytest.raises(LedgerError, match=r"^\$PGSERVICE is set.* nothing was read or entered\. Unset it"):
        ledger.entries()
    monkeypatch.delenv("PGSERVICE")
    assert ledger.verify() == []


@pytest.mark.parametrize("schema", ["values", "user", "select", "table"])
def test_a_schema_may_be_called_as_words_of_sql_are(
    schema: str, new_address: Any, tmp_path: Path, scope: Scope
) -> None:
    address = replace(new_address(), schema=schema)
    ledger = _prepared(Ledger.create(tmp_path / "ledger.duckdb", address=address), scope)
    assert ledger.verify() == []


def test_what_the_server_cannot_hold_is_said(ledger: Ledger) -> None:
    for key in ("a\0b", "a\udcffb"):
        with pytest.raises(LedgerError, match="characters in it that the ledger's server cannot hold"):
            ledger.reservations(key=key)


def test_a_table_that_another_one_shadows_is_still_the_ledger(
    ledger: Ledger, path: Path, granted: Callable[..., Grant], server_connection: Any
) -> None:
    schema = store_at(path).address.schema
    server_connection.execute("SET allow_system_table_mods TO on")
    server_connection.execute(f"CREATE VIEW pg_catalog.entries AS SELECT * FROM {schema}.entries WHERE seq < 3")
    try:
        live(ledger, granted)
        assert len(ledger.entries()) > 3
        assert ledger.verify() == []
    finally:
        server_connection.execute("DROP VIEW pg_catalog.entries")


def test_what_the_server_swallows_is_not_entered(ledger: Ledger, server_connection: Any) -> None:
    server_connection.execute("CREATE RULE swallow AS ON INSERT TO entries DO INSTEAD NOTHING")
    with pytest.raises(LedgerError, match="did not enter what it was given"):
        ledger.reserve("inbox", EVENT, source=FINGERPRINT, release="r", key="k", owner="o", plan_digest=PLAN)


def test_a_ledger_is_renamed_after_what_is_being_entered(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the client that enters it waits for nobody, and nobody for it."""
    monkeypatch.setattr(postgresql.PostgreSQLStore, "_lock", lambda *_: None)
    store, before = store_at(path), len(ledger.entries())
    aside, entered, renamed = store.renamed("aside"), threading.Event(), []
    append = SQLTransaction.append

    def slow(self: SQLTransaction, draft: Any) -> Any:
        record = append(self, draft)
        entered.set()
        time.sleep(1)
        assert renamed == []
        return record

    def rename() -> None:
        assert entered.wait(30)
        store.rename(aside)
        renamed.append(True)

    other = threading.Thread(target=rename)
    other.start()
    with monkeypatch.context() as patch:
        patch.setattr(SQLTransaction, "append", slow)
        ledger.reserve("inbox", EVENT, source=FINGERPRINT, release="r", key="k", owner="o", plan_digest=PLAN)
        other.join()
    assert len(aside.everything()[1]) == before + 1
    with pytest.raises(LedgerMissing):
        ledger.entries()
