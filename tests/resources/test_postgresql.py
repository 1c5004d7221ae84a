"""Tables of a PostgreSQL server: this machine's own binaries, started for these tests; skipped where there are none."""

from __future__ import annotations

import pytest

from resources.cells import SourceError
from resources.formats import records
from resources.places import stored_at
from resources.source import Layout
from resources.stated_columns import stated_columns, stated_tables
from tests.postgresql import PASSWORD, postgresql

KINDS = {"who": "string", "Ticket Text": "text", "topic": "string"}


@pytest.fixture(scope="module")
def server():
    """The port of a server with one table."""
    columns = 'who int, "Ticket Text" text, topic varchar(9), sent timestamp, size numeric(5, 1), more jsonb'
    rows = "values (7, 'é', 't', null), (null, null, 't', null)"
    with postgresql(f"create table letters ({columns})", f"insert into letters {rows}") as port:
        yield port


def read(place, table="letters", kinds=KINDS):
    (stored,) = stored_at(place, {})
    return list(records(stored, kinds, Layout(table=table)))


def refusal(*asked, **how):
    with pytest.raises(SourceError) as caught:
        read(*asked, **how)
    assert caught.value.__context__ is None
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def test_a_table_is_read_by_its_schema(server):
    place = f"postgresql://127.0.0.1:{server}/postgres"
    assert read(place) == [["7", "é", "t"], [None, None, "t"]]
    assert "has no table `letter` in the schema `public`: it has `letters`" in refusal(place, "letter")
    assert "column sent has type timestamp" in refusal(place, kinds={"sent": "string"})


def test_a_draft_is_made_of_what_the_catalogue_says(server):
    (stored,) = stored_at(f"postgresql://127.0.0.1:{server}/postgres", {})
    assert stated_tables(stored, None) == ["letters"]
    assert stated_columns(stored, Layout(table="letters")) == {
        "who": "integer",
        "Ticket Text": "string",
        "topic": "string",
        "sent": "timestamp",
        "size": "number",
        "more": "object",
    }


def test_what_a_variable_holds_does_not_show(server, monkeypatch):
    monkeypatch.setenv("LETTERS_HOST", "127.0.0.1")
    place = f"postgresql://${{LETTERS_HOST}}:{server}/postgres"
    assert read(place) == [["7", "é", "t"], [None, None, "t"]]
    assert "127.0.0.1" not in refusal(place, "letter")


def test_a_password_that_is_refused_is_not_repeated(server, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "another-XYZZY")
    said = refusal(f"postgresql://127.0.0.1:{server}/postgres")
    assert "does not take the name or the password" in said
    assert "PGPASSWORD" in said
    assert "XYZZY" not in said
    assert "owner" not in said


def test_a_database_that_is_not_there_is_called_that(server):
    said = refusal(f"postgresql://127.0.0.1:{server}/nowhere")
    assert "the server has no such database" in said


def test_a_server_that_is_not_there_is_told_without_its_clients_words(monkeypatch):
    monkeypatch.setenv("PGUSER", "owner-XYZZY")
    said = refusal("postgresql://127.0.0.1:1/letters")
    assert said.startswith("postgresql://127.0.0.1:1/letters could not be read: nobody answers at that host and port")
    assert "XYZZY" not in said


@pytest.mark.parametrize(
    "expression",
    [
        "1 / (length(topic) - 6)",
        "case topic when 'secret' then topic::int end",
        "(select 1 from generate_series(1, length(topic) - 4))",
        "case topic when 'secret' then nextval('numbers') end",
    ],
    ids=["division", "cast", "more than one row", "writing"],
)
def test_a_view_that_fails_for_a_record_is_called_that_without_the_record(server, expression):
    """And nobody is sent to look for a wrong password."""
    import psycopg

    with psycopg.connect(host="127.0.0.1", port=server, dbname="postgres", autocommit=True) as connection:
        connection.execute("create schema odd")
        try:
            connection.execute("create sequence numbers")
            connection.execute("create table odd.texts as select * from (values ('plain'), ('secret')) as v (topic)")
            connection.execute(
                f'create view odd.view as select topic as who, topic as "Ticket Text", ({expression})::text as topic '
                "from odd.texts"
            )
            (stored,) = stored_at(f"postgresql://127.0.0.1:{server}/postgres", {})
            with pytest.raises(SourceError, match="its table or view `view` fails itself: an expression") as caught:
                list(records(stored, KINDS, Layout(table="view", schema="odd")))
        finally:
            connection.execute("drop schema odd cascade")
            connection.execute("drop sequence numbers")
    assert caught.value.__context__ is None
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize(("encoding", "odd"), [("WIN1252", rb"\x81"), ("SQL_ASCII", rb"\xe9"), ("UTF8", None)])
def test_a_text_without_a_form_in_unicode_ends_nobody_elses_record(server, encoding, odd):
    """The server converts whole answers, and refuses one for a single character."""
    import psycopg

    where = {"host": "127.0.0.1", "port": server}
    with psycopg.connect(**where, dbname="postgres", autocommit=True) as connection:
        connection.execute(
            f"create database of_{encoding} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
        )
    with psycopg.connect(**where, dbname=f"of_{encoding.lower()}", client_encoding=encoding) as connection:
        connection.execute(b'create table letters (who int, "Ticket Text" text, topic text)')
        connection.execute(b"insert into letters values (1, 'a', 't'), (2, E'%s', 't')" % (odd or "é".encode()))
    assert read(f"postgresql://127.0.0.1:{server}/of_{encoding.lower()}") == [
        ["1", "a", "t"],
        ["2", None if odd else "é", "t"],
    ]
