"""`dpsynth sql`: read-only SQL on the published synthetic tables: one query, or a prompt for many."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth_assets.cli.answers import Format, give, require_place
from dpsynth_assets.cli.console import BadInput, public_key
from resources.heads import open_ledger
from resources.home import Home
from resources.seals import digests_by_seals, digests_of_tables

if TYPE_CHECKING:
    from dpsynth_assets.publish.answer import Answer

_LONGEST = 1 << 20  # bytes of a query on standard input


def sql(
    query: Annotated[
        str | None,
        typer.Argument(
            help="One SELECT, DESCRIBE, SUMMARIZE, SHOW, PIVOT or EXPLAIN, such as 'show all tables'. Without it: a "
            "prompt at a terminal, otherwise the query is read from standard input."
        ),
    ] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            case_sensitive=False,
            help="A table for people, or all rows for programs; parquet to a file or pipe.",
        ),
    ] = Format.table,
    memory: Annotated[float, typer.Option(help="GiB of memory that a query may use.", min=0.25, max=65536)] = 4.0,
    timeout: Annotated[float, typer.Option(help="Seconds that a query may take.", min=1, max=604800)] = 600.0,
    key: Annotated[
        str,
        typer.Option(
            help="The publisher's public key, or a file that holds it: for accounts that may not read the ledger."
        ),
    ] = "",
) -> None:
    """Query the published synthetic tables. Costs no budget.

    Which tables are the published ones is asked of the ledger; with --key, of the seals that lie beside them.
    """
    from dpsynth_assets.publish.query import Limits
    from dpsynth_assets.publish.query import query as ask
    from dpsynth_assets.publish.warehouse import PARQUET

    if math.isnan(memory) or math.isnan(timeout):
        raise BadInput("--memory and --timeout are numbers")
    require_place(form)
    home = Home.at()
    limits = Limits(memory_bytes=int(memory * 2**30), seconds=timeout)

    def answer(text: str) -> Answer:
        """Every query has the same walls, and asks anew which tables are the published ones."""
        return ask(home.warehouse, text, _digests(home, home.warehouse / PARQUET, key), limits)

    if query is None and sys.stdin.isatty() and sys.stdout.isatty():
        from dpsynth_assets.cli.prompt import converse

        converse(answer, lambda found: give(found, form))
        return
    give(answer(_from_standard_input() if query is None else query), form)


def _from_standard_input() -> str:
    """The query on standard input.

    Raises:
        BadInput: there is none, or it is no text.
    """
    if sys.stdin.isatty():
        raise BadInput("there is no query: give one in quotes, or leave standard output to the terminal for a prompt")
    raw = sys.stdin.buffer.read(_LONGEST + 1)
    if len(raw) > _LONGEST:
        raise BadInput(
            f"standard input holds more than {_LONGEST:,} bytes, which is no query: send one statement of SQL"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("standard input is no UTF-8 text: send one statement of SQL") from None
    if not text.strip():
        raise BadInput('there is no query: give one in quotes, `dpsynth sql "SHOW ALL TABLES"`, or on standard input')
    return text


def _digests(home: Home, tables: Path, key: str) -> dict[str, str]:
    """SHA-256 of the published tables: as the ledger has them, or as their seals say by this key."""
    if key:
        return digests_by_seals(tables, public_key(key))

    try:
        return digests_of_tables(open_ledger(home), tables)
    except PermissionError:
        raise BadInput(
            f"{home.ledger_name} is its operator's alone. Give the publisher's public key with --key: the 64 hex "
            "digits that `dpsynth audit key` prints there, or a file that holds them"
        ) from None
