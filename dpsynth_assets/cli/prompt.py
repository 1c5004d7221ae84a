"""The prompt of `dpsynth sql`: history, completion, queries of several lines. What is typed is asked as any query is.

It knows the names of tables and columns by asking for them. What was typed is remembered in a file of the account that
typed it, outside the home, which need not be theirs.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import Completer, WordCompleter
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from dpsynth_assets.cli.console import BadInput, fail, say
from dpsynth_assets.publish.release import PublishError
from dpsynth_assets.publish.sql import plain
from ledger import LedgerError
from ledger.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpsynth_assets.publish.answer import Answer

_LEAVE = ("exit", "quit", r"\q")
_HELP = ("help", "?", r"\?")
_HOW = "A semicolon or an empty line ends a query, Tab completes, Ctrl-C stops, Ctrl-D leaves."
_NAMES = """
SELECT schema_name, view_name, NULL, comment FROM duckdb_views() WHERE NOT internal
UNION ALL SELECT schema_name, table_name, NULL, comment FROM duckdb_tables() WHERE NOT internal
UNION ALL SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal
UNION ALL SELECT NULL, NULL, upper(keyword_name), NULL FROM duckdb_keywords() WHERE keyword_category = 'reserved'
ORDER BY ALL
"""


def converse(ask: Callable[[str], Answer], give: Callable[[Answer], None]) -> None:
    """Ask for queries and give their answers until the person leaves.

    Raises:
        PublishError, LedgerError, BadInput: there is nothing to ask, as before any publication.
    """
    with _ending_on_sigterm():
        names = ask(_NAMES).rows
        tables = _tables(names)
        say("Synthetic tables, read-only; queries cost no budget: ", (", ".join(tables), "bold"), ".")
        say(_HOW, style="dim")
        session = _session(_completer(names))
        while True:
            try:
                text = session.prompt("sql> ").strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            word = text.rstrip(";").strip().lower()
            if word in _LEAVE:
                return
            if word in _HELP:
                say(_HOW)
                say(
                    "SHOW ALL TABLES lists the tables, DESCRIBE and SUMMARIZE look at one, FROM releases says what "
                    "each promises."
                )
            elif text:
                _answer(text, ask, give)


def _answer(text: str, ask: Callable[[str], Answer], give: Callable[[Answer], None]) -> None:
    try:
        give(ask(text))
    except (PublishError, LedgerError, BadInput) as error:
        fail(str(error))
    except KeyboardInterrupt:
        say("Stopped.")


def _session(completer: Completer | None) -> PromptSession[str]:
    bindings = KeyBindings()

    @bindings.add("enter", filter=Condition(lambda: whole(get_app().current_buffer.text)))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    return PromptSession(
        history=_history(),
        completer=completer,
        complete_while_typing=False,
        multiline=True,
        prompt_continuation="...> ",
        key_bindings=bindings,
    )


def whole(text: str) -> bool:
    """Whether what was typed is meant to be asked: it ends with a semicolon or an empty line, or is a word for us."""
    ended = text.endswith("\n") or text.rstrip().endswith(";")
    return ended or not text.strip() or text.strip().lower() in _LEAVE + _HELP


def _tables(names: Any) -> list[str]:
    """The tables that are shown at the start: without the views of each single release, `messages__<release>`."""
    found = [(schema, table) for schema, table, column, _ in names if table is not None and column is None]
    latest = [
        (schema, table)
        for schema, table in found
        if not any(schema == other and table.startswith(f"{base}__") for other, base in found)
    ]
    return [plain(table) if schema == "main" else plain(schema, table) for schema, table in latest]


def _completer(names: Any) -> Completer:
    about: dict[str, str] = {}
    for schema, table, column, comment in names:
        if table is None:
            about.setdefault(str(column), "")
        else:
            name = column if column is not None else table if schema == "main" else (schema, table)
            said = visible(str(comment or "")).split("\n")[0]
            about[plain(*([name] if isinstance(name, str) else name))] = said
    words = sorted(about, key=lambda word: (word.isupper(), word))
    return WordCompleter(words, ignore_case=True, meta_dict=about, pattern=re.compile(r'[\w."-]+'))


def _history() -> History:
    """What was typed before, in a file that only this account reads; of this time alone where there can be none."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "dpsynth"
    file = folder / "sql_history"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    except (OSError, RuntimeError):  # no home folder at all
        return InMemoryHistory()
    return FileHistory(file)


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Elsewhere SIGTERM is taken for Ctrl-C, which here only empties the line."""

    def end(*_: Any) -> None:
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
