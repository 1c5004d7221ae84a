"""`dpsynth sql`: read-only SQL on the published synthetic tables."""

from __future__ import annotations

import csv
import io
import json
from typing import Annotated, Any

import typer

from dpsynth_assets.cli.console import BadInput, console, put, say

_SHOWN = 100


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT, DESCRIBE, SUMMARIZE or SHOW, such as 'show all tables'.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print rows as CSV.")] = False,
) -> None:
    """Query the published synthetic tables. Costs no budget."""
    from dpsynth_assets.publish import warehouse
    from resources.home import Home

    folder = Home.at().warehouse
    if not (folder / warehouse.DATABASE).exists():
        raise BadInput(f"nothing has been published to {folder} yet: run a contract first (dpsynth run CONTRACT)")
    columns, rows = warehouse.query(folder, query)
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
