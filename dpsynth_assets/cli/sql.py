"""`dpsynth sql`: read-only SQL on the published synthetic tables."""

from __future__ import annotations

import csv
import io
import json
from typing import Annotated, Any

import typer

from dpsynth_assets.cli.console import console, put, say

_SHOWN = 100


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT, DESCRIBE, SUMMARIZE or SHOW, such as 'show all tables'.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print rows as CSV.")] = False,
    memory: Annotated[float, typer.Option(help="GiB of memory that the query may use.", min=0.25)] = 4.0,
    timeout: Annotated[float, typer.Option(help="Seconds that the query may take.", min=1)] = 600.0,
) -> None:
    """Query the published synthetic tables. Costs no budget."""
    from dpsynth_assets.publish.query import Limits
    from dpsynth_assets.publish.query import query as ask
    from dpsynth_assets.publish.warehouse import PARQUET
    from resources.heads import open_ledger
    from resources.home import Home
    from resources.seals import digests_of_tables

    home = Home.at()
    digests = digests_of_tables(open_ledger(home), home.warehouse / PARQUET)
    limits = Limits(memory_bytes=int(memory * 2**30), seconds=timeout)
    columns, rows = ask(home.warehouse, query, digests, limits)
    if as_json:
        put(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2, default=str))
    elif as_csv:
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        put(lines.getvalue().removesuffix("\n"))
    else:
        _show(list(columns), [tuple(row) for row in rows])


def _show(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")  # a name that is cut cannot be copied
    for row in rows[:_SHOWN]:
        table.add_row(*("" if value is None else str(value) for value in row))
    console().print(table)
    if len(rows) > _SHOWN:
        say(f"{_SHOWN} of {len(rows):,} rows; --csv and --json print all of them.", style="dim")
