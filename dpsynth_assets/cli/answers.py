"""An answer to a query as a table for people, or as CSV, JSON or Parquet for programs. It is asked of nobody here.

A table that is too wide for its columns to be read becomes a block of lines for each row; what is longer than the
terminal goes through its pager.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpsynth_assets.cli.console import BadInput, console, put
from ledger.visible import visible

if TYPE_CHECKING:
    from dpsynth_assets.publish.answer import Answer

SHOWN = 100  # rows of a table for people
_READABLE = 16  # characters that a column needs at least, unless it holds less
_NUMBERS = ("int", "float", "double", "bignum")


class Format(StrEnum):
    """How an answer is printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def require_place(form: Format) -> None:
    """Pass if standard output is a place for this format.

    Raises:
        BadInput: it is a terminal, and the format is bytes.
    """
    if form is Format.parquet and sys.stdout.isatty():
        raise BadInput(
            "--format parquet gives bytes, which a terminal cannot show: send them to a file (`> answer.parquet`) or "
            "a pipe"
        )


def give(answer: Answer, form: Format) -> None:
    """Print an answer.

    Raises:
        BadInput: the format has no place for it, as for two columns of one name.
    """
    if form in (Format.json, Format.parquet) and (twice := answer.twice()):
        raise BadInput(
            f"the answer has more than one column {', '.join(map(repr, twice))}: name them apart with AS, for {form}"
        )
    if form is Format.json:
        put(as_json(answer.columns, answer.rows))
    elif form is Format.csv:
        put(as_csv(answer.columns, answer.rows))
    elif form is Format.parquet:
        import pyarrow.parquet as pq

        pq.write_table(answer.arrow(), sys.stdout.buffer, compression="zstd")
        sys.stdout.buffer.flush()
    else:
        _show(answer)


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV below the names of the columns. NULL is an empty field."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return lines.getvalue().removesuffix("\n")


def as_json(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as a JSON list of mappings. What JSON has no form for is text; no number and infinities are null."""
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


def _show(answer: Answer) -> None:
    """For people: on a terminal page by page where it is longer than that."""
    out = console()
    cells = [["" if value is None else str(value) for value in row] for row in answer.rows[:SHOWN]]
    drawn = answer.columns == ["explain_key", "explain_value"]
    if drawn:
        shown: RenderableType = Text("\n".join(plan.rstrip("\n") for _, plan in cells))
    elif _fits(answer.columns, cells, out.width):
        shown = _table(answer, cells)
    else:
        shown = _blocks(answer.columns, cells)
    if len(answer.rows) > SHOWN:
        more = f"{SHOWN} of {len(answer.rows):,} rows; --format csv, json or parquet gives all of them."
        shown = Group(shown, Text(more, style="dim"))
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or len(out.render_lines(shown)) < out.height:
        out.print(shown, soft_wrap=drawn)
        return
    os.environ.setdefault("LESS", "FRX")  # colours as they are, and nothing to quit where it fits after all
    with out.pager(styles=True):
        out.print(shown, soft_wrap=drawn)


def _fits(columns: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> bool:
    """Whether every column gets the characters that it needs to be read."""
    needed = 1
    for index, name in enumerate(columns):
        texts = (name, *(row[index] for row in cells))
        longest = max(cell_len(line) for text in texts for line in (visible(text).splitlines() or [""]))
        needed += min(longest, _READABLE) + 3
    return needed <= width


def _table(answer: Answer, cells: Sequence[Sequence[str]]) -> Table:
    table = Table()
    for name, kind in zip(answer.columns, answer.kinds, strict=True):
        number = "decimal" in kind if isinstance(kind, list) else kind.endswith(_NUMBERS) or kind == "integer"
        table.add_column(name, overflow="fold", justify="right" if number else "left")  # what is cut cannot be copied
    for row in cells:
        table.add_row(*row)
    return table


def _blocks(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Group:
    """A block for each row, with a line for each column."""
    blocks: list[RenderableType] = []
    for number, row in enumerate(cells, 1):
        block = Table.grid(padding=(0, 2))
        block.add_column(no_wrap=True, style="bold")
        block.add_column(overflow="fold")
        for name, cell in zip(columns, row, strict=True):
            block.add_row(f"  {name}", cell)
        blocks += [Text(f"row {number}", style="dim"), block]
    return Group(*blocks)
