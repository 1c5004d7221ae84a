"""`dpsynth sql`: read-only SQL on the published synthetic tables."""

from __future__ import annotations

import csv
import json
import sys
from typing import Annotated, Any

import typer

from dpsynth_assets.cli.console import console, say

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
    from resources.home import Home

    columns, rows = ask(Home.at().warehouse, query, Limits(memory_bytes=int(memory * 2**30), seconds=timeout))
    if as_json:
        typer.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2, default=str))
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        _show(list(columns), [tuple(row) for row in rows])


def _show(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(Text(column), overflow="fold")  # a name that is cut cannot be copied
    for row in rows[:_SHOWN]:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console().print(table)
    if len(rows) > _SHOWN:
        say(f"{_SHOWN} of {len(rows):,} rows; --csv and --json print all of them.", style="dim")
