"""Queries on standard input and at the prompt: answered as any other, behind the same walls."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from dpsynth_assets.cli import prompt
from dpsynth_assets.publish.answer import Answer
from dpsynth_assets.publish.release import QueryError

NAMES = [
    ("inbox", "messages", None, "Synthetic: no row is a real record.\nMore"),
    ("inbox", "messages__r1", None, "Synthetic: no row is a real record."),
    ("main", "releases", None, "Every published synthetic table"),
    ("inbox", "messages", "topic", "Synthetic. In the source: What it's \x1b[2Jabout"),
    (None, None, "SELECT", None),
]
# What a query must not do, wherever it comes from, and what is said of it. `{home}` is the home's folder.
ATTEMPTS = (
    ("COPY small.messages TO '{home}/stolen.csv'", "only answers questions"),
    ("EXPLAIN ANALYZE COPY (FROM (PIVOT small.messages ON topic)) TO '{home}/stolen.csv'", "only answers questions"),
    ("SELECT * FROM read_text('{home}/sensitive/ledger-head.json')", "published tables only"),
    ("SELECT 1; DROP VIEW small.messages", "exactly one"),
)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Type at the prompt; gives what was asked, in order. A query that says `wrong` is refused."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def act(typed: str) -> list[str]:
        queries: list[str] = []

        def ask(text: str) -> Answer:
            if text == prompt._NAMES:
                return Answer([], [], NAMES)
            queries.append(text)
            if "wrong" in text:
                raise QueryError("that cannot be asked")
            if "stop" in text:
                raise KeyboardInterrupt
            return Answer(["n"], ["bigint"], [(1,)])

        with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
            keys.send_text(typed)
            prompt.converse(ask, lambda answer: None)
        return queries

    return act


def test_a_query_ends_with_a_semicolon_or_an_empty_line(asked):
    typed = "select 1;\rselect\r2\r;\rselect 3\r\r\r  \rselect 4;\r\x04"
    assert asked(typed) == ["select 1;", "select\n2\n;", "select 3", "select 4;"]


@pytest.mark.parametrize("word", ["exit", "quit;", "\\q", "EXIT"])
def test_a_person_can_leave(asked, word):
    assert asked(f"help\rselect 1;\r{word}\r") == ["select 1;"]


def test_a_refused_or_stopped_query_ends_nothing(asked, capsys, forget_console):
    assert asked("wrong;\rstop;\rhalf of\x03select 2;\rexit\r") == ["wrong;", "stop;", "select 2;"]
    out, err = capsys.readouterr()
    assert "Synthetic tables, read-only; queries cost no budget: inbox.messages, releases." in out
    assert "Stopped." in out
    assert err == "error: that cannot be asked\n"


def test_what_was_typed_is_remembered_for_its_account_alone(asked, tmp_path):
    asked("select 1;\rexit\r")
    file = tmp_path / "state" / "dpsynth" / "sql_history"
    assert file.stat().st_mode & 0o077 == 0
    assert asked("\x1b[A\x1b[A\rexit\r") == ["select 1;"]  # up, up: before `exit`
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    assert asked("select 2;\rexit\r") == ["select 2;"]
    assert not (tmp_path / "elsewhere").exists()


def test_names_are_completed_and_say_what_they_are():
    found = list(prompt._completer(NAMES).get_completions(Document("select * from inbox.m"), CompleteEvent()))
    assert [each.text for each in found] == ["inbox.messages", "inbox.messages__r1"]
    [topic] = prompt._completer(NAMES).get_completions(Document("select top"), CompleteEvent())
    assert topic.display_meta_text == "Synthetic. In the source: What it's \\u001b[2Jabout"
    [keyword] = prompt._completer(NAMES).get_completions(Document("sel"), CompleteEvent())
    assert keyword.text == "SELECT"


@pytest.fixture
def place(same_place):
    return same_place


@pytest.fixture
def contents(home):
    """Every file of the home but Dagster's, with what it holds."""
    return lambda: {
        path: path.read_bytes()
        for path in sorted(home.root.rglob("*"))
        if path.is_file() and home.dagster not in path.parents
    }


@pytest.fixture
def piped(dpsynth, monkeypatch):
    def act(raw: bytes, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        code, out, err = dpsynth("sql", *arguments)
        return code, out, " ".join(err.split())

    return act


def test_a_query_on_standard_input_is_answered_behind_the_same_walls(piped, table, home, contents):
    before = contents()
    assert piped(b"\xef\xbb\xbf-- how many\nSELECT count(*) AS n\nFROM small.messages;\n", "--format", "csv") == (
        *(0, "n\n24\n", ""),
    )
    for sql, said in ATTEMPTS:
        code, out, err = piped(sql.format(home=home.root).encode())
        assert (code, out) == (2, ""), sql
        assert said in err, sql
    assert contents() == before


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "there is no query"),
        (b" \n", "there is no query"),
        (b"\xff\xfe", "no UTF-8"),
        (b" " * 2**20 + b"1", "more"),
    ],
)
def test_what_is_no_query_on_standard_input_is_said(piped, home, raw, said):
    code, out, err = piped(raw)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err


class Person:
    """Somebody at a terminal, with a program in it."""

    def __init__(self, terminal: int, program: subprocess.Popen[bytes]) -> None:
        self._terminal, self._program = terminal, program

    def sees(self, words: str) -> None:
        """Wait until these words have come."""
        shown, due = "", time.monotonic() + 60
        while words not in " ".join(shown.split()):
            assert time.monotonic() < due, shown
            if select.select([self._terminal], [], [], 0.1)[0]:
                shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(self._terminal, 65536).decode())

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def ends(self) -> int:
        """The program's exit code, after the last of what it says."""
        with suppress(OSError):  # nobody has the other end any more
            while select.select([self._terminal], [], [], 60)[0] and os.read(self._terminal, 65536):
                pass
        return self._program.wait(timeout=60)


@contextmanager
def person(*arguments: str, **environment: str) -> Iterator[Person]:
    """Somebody who calls the command line at a terminal."""
    terminal, inside = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", "from dpsynth_assets.cli import main; main()", *arguments],
        **dict.fromkeys(("stdin", "stdout", "stderr"), inside),
        env=os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"} | environment,
        start_new_session=True,
    ) as program:
        os.close(inside)
        try:
            yield Person(terminal, program)
        finally:
            program.kill()
            os.close(terminal)


def test_a_query_at_the_prompt_is_answered_behind_the_same_walls(table, home, contents, tmp_path):
    before = contents()
    with person("sql", XDG_STATE_HOME=str(tmp_path / "state")) as analyst:
        analyst.sees("releases, small.messages.")
        analyst.types("SELECT count(*) AS n,\rmin(topic) FROM small.messages;\r")
        analyst.sees("│ 24 │ card")
        for sql, said in ATTEMPTS:
            analyst.types(sql.format(home=home.root) + ";\r")
            analyst.sees(said)
        analyst.types("SELECT 41 + 1;\r")
        analyst.sees("│ 42 │")
        analyst.types("exit\r")
        assert analyst.ends() == 0
    assert contents() == before


def test_bytes_are_not_sent_to_a_terminal(home):
    with person("sql", "FROM small.messages", "--format", "parquet") as analyst:
        analyst.sees("which a terminal cannot show")
        assert analyst.ends() == 2
