"""Tampering by the owner of the tables, who may do anything to them: checkpoints from before tell."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger import Grant, Ledger
from ledger.chain import Record
from ledger.places import store_at
from tests.ledger import test_tampering as of_files
from tests.ledger.test_tampering import Files, Rechain, Reseal, cells, verified_after

INSERT = "INSERT INTO entries VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"


class Rows(Files):
    """A ledger's tables in the hands of their owner."""

    sha256 = "encode(sha256(convert_to(body, 'UTF8')), 'hex')"

    def __init__(self, path: Path, resealed: Reseal, rechained: Rechain, connection: Any) -> None:
        super().__init__(path, resealed, rechained)
        self.connection = connection

    def run(self, *statements: str, values: list[list[Any]] | None = None, mend: bool = True) -> None:
        for table in ("entries", "ledger"):
            self.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        for statement in statements:
            self.connection.execute(statement)
        for row in values or ():
            self.connection.execute(INSERT, row)
        for table in ("entries", "ledger") if mend else ():
            self.connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")

    def append(self, record: Record) -> None:
        self.connection.execute(INSERT, cells(record))

    def keep(self) -> object:
        return self.records()

    def put_back(self, older: Any) -> None:
        self.replace_by(older)


def takes_a_trigger_away(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("DROP TRIGGER entries_keep_their_rows ON entries")


def hides_rows(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("ALTER TABLE entries ENABLE ROW LEVEL SECURITY")


def makes_triggers_do_nothing(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    )


def makes_two_keys_one(files: Rows, chance: random.Random, older: object) -> None:
    files.run(
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "ALTER TABLE entries ALTER COLUMN key TYPE TEXT COLLATE loose",
    )


def gives_comparison_another_meaning(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("CREATE FUNCTION never(text, bigint) RETURNS bool LANGUAGE sql AS 'SELECT false'")
    files.connection.execute("CREATE OPERATOR = (leftarg = text, rightarg = bigint, function = never)")
    files.connection.execute("ALTER FUNCTION never(text, bigint) SET SCHEMA public")


def puts_a_parent_above_it(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("CREATE TABLE public.parent_of_it (LIKE entries)")
    files.connection.execute("ALTER TABLE entries INHERIT public.parent_of_it")
    files.connection.execute("DELETE FROM public.parent_of_it WHERE seq < 0")


def opens_the_schema(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute(f"GRANT CREATE ON SCHEMA {store_at(files.path).address.schema} TO PUBLIC")


def opens_a_column(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("GRANT UPDATE (key) ON entries TO PUBLIC")


def hides_a_trigger_behind_another_s_name(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute(
        "CREATE TRIGGER ledger_keeps_its_identity AFTER INSERT ON entries EXECUTE FUNCTION refuse_change();"
        "DROP TRIGGER ledger_keeps_its_identity ON ledger;"
        "CREATE TRIGGER ledger_keeps_its_identity BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def compares_kinds_in_its_own_way(files: Rows, chance: random.Random, older: object) -> None:
    schema = store_at(files.path).address.schema
    files.run(
        f"CREATE DOMAIN {schema}.text AS pg_catalog.text",
        f"ALTER TABLE entries ALTER kind TYPE {schema}.text",
    )


def lets_somebody_else_write(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("GRANT UPDATE ON entries TO pg_monitor")


def gives_the_table_to_another(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("ALTER TABLE entries OWNER TO pg_monitor")


def empties_a_body(files: Rows, chance: random.Random, older: object) -> None:
    files.run("ALTER TABLE entries ALTER body DROP NOT NULL", "UPDATE entries SET body = NULL WHERE seq = 2")


def makes_bodies_bytes(files: Rows, chance: random.Random, older: object) -> None:
    files.run("ALTER TABLE entries ALTER body TYPE BYTEA USING convert_to(body, 'UTF8')")


def swallows_entries(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("CREATE RULE swallow AS ON INSERT TO entries DO INSTEAD NOTHING")


def opens_the_table(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("GRANT INSERT ON entries TO PUBLIC")


def makes_the_table_forgetful(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("ALTER TABLE entries SET UNLOGGED")


def makes_the_tables_anew(files: Rows, chance: random.Random, older: object) -> None:
    files.run("ALTER TABLE entries RENAME TO old", "CREATE TABLE entries AS SELECT * FROM old", mend=False)


def puts_a_view_in_its_place(files: Rows, chance: random.Random, older: object) -> None:
    files.run("ALTER TABLE entries RENAME TO old", "CREATE VIEW entries AS SELECT * FROM old", mend=False)


def drops_the_tables(files: Rows, chance: random.Random, older: object) -> None:
    files.connection.execute("DROP TABLE entries")


def puts_another_ledger_in_its_place(files: Rows, chance: random.Random, older: object) -> None:
    address, key = store_at(files.path).address, Path(f"{files.path}.key")
    files.connection.execute(f"DROP SCHEMA {address.schema} CASCADE")
    key.unlink()
    files.path.with_suffix(".address").unlink()
    Ledger.create(files.path, address=address)


ATTACKS = [
    *(getattr(of_files, name) for name in (
        "edits_a_row",
        "edits_a_row_with_its_hash",
        "lowers_what_stands",
        "deletes_a_row",
        "deletes_the_end",
        "deletes_all_rows",
        "rolls_back",
        "rolls_back_and_goes_on",
        "computes_the_chain_anew",
        "computes_the_chain_anew_without_an_entry",
        "appends_an_entry_that_forgives",
        "appends_a_void_of_what_was_activated",
        "drops_triggers",
        "renames_the_ledger",
    )),
    takes_a_trigger_away,
    hides_rows,
    makes_triggers_do_nothing,
    makes_two_keys_one,
    gives_comparison_another_meaning,
    puts_a_parent_above_it,
    opens_the_schema,
    opens_a_column,
    hides_a_trigger_behind_another_s_name,
    compares_kinds_in_its_own_way,
    lets_somebody_else_write,
    gives_the_table_to_another,
    empties_a_body,
    makes_bodies_bytes,
    swallows_entries,
    opens_the_table,
    makes_the_table_forgetful,
    makes_the_tables_anew,
    puts_a_view_in_its_place,
    drops_the_tables,
    puts_another_ledger_in_its_place,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_tampering_passes_verification(
    ledger: Ledger,
    path: Path,
    granted: Callable[..., Grant],
    resealed: Reseal,
    rechained: Rechain,
    server_connection: Any,
    attack: Callable[[Rows, random.Random, object], None],
) -> None:
    found = verified_after(attack, ledger, path, granted, Rows(path, resealed, rechained, server_connection))
    if found is None:
        assert attack is drops_the_tables
        return
    assert found
    assert all(isinstance(problem, str) and problem for problem in found)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entries",
        "UPDATE entries SET key = 'x'",
        "TRUNCATE entries",
        "UPDATE ledger SET id = 'x'",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
    ],
)
def test_the_tables_take_no_change(ledger: Ledger, server_connection: Any, statement: str) -> None:
    import psycopg

    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        server_connection.execute(statement)
    assert ledger.verify() == []
