"""`dpsynth sql`: read-only SQL on the published synthetic tables."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from dpsynth_assets.cli.console import BadInput, console, public_key, put, say
from resources.heads import open_ledger
from resources.home import Home
from resources.seals import digests_by_seals, digests_of_tables

_SHOWN = 100


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT, DESCRIBE, SUMMARIZE or SHOW, such as 'show all tables'.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print rows as CSV.")] = False,
    memory: Annotated[float, typer.Option(help="GiB of memory that the query may use.", min=0.25, max=65536)] = 4.0,
    timeout: Annotated[float, typer.Option(help="Seconds that the query may take.", min=1, max=604800)] = 600.0,
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
    home = Home.at()
    digests = _digests(home, home.warehouse / PARQUET, key)
    limits = Limits(memory_bytes=int(memory * 2**30), seconds=timeout)
    columns, rows = ask(home.warehouse, query, digests, limits)
    if as_json:
        put(_json(columns, rows))
    elif as_csv:
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        put(lines.getvalue().removesuffix("\n"))
    else:
        _show(list(columns), [tuple(row) for row in rows])


def _json(columns: list[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as a JSON list of mappings. What JSON has no form for is text; no number and infinities are null.

    Raises:
        BadInput: two columns have one name, of which a mapping would keep one.
    """
    if len({*columns}) < len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1})
        raise BadInput(f"the answer has more than one column {', '.join(map(repr, twice))}: name them apart with AS")
    found = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
    return json.dumps(found, indent=2, default=str, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return value


def _digests(home: Home, tables: Path, key: str) -> dict[str, str]:
    """SHA-256 of the published tables: as the ledger has them, or as their seals say by this key."""
    if key:
        return digests_by_seals(tables, public_key(key))

    try:
        return digests_of_tables(open_ledger(home), tables)
    except PermissionError:
        raise BadInput(
            f"{home.ledger_file} is its operator's alone. Give the publisher's public key with --key: the 64 hex "
            "digits that `dpsynth audit key` prints there, or a file that holds them"
        ) from None


def _show(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")  # a name that is cut cannot be copied
    for row in rows[:_SHOWN]:
        table.add_row(*("" if value is None else str(value) for value in row))
    console().print(table)
    if len(rows) > _SHOWN:
        say(f"{_SHOWN} of {len(rows):,} rows; --csv and --json print all of them.", style="dim")
