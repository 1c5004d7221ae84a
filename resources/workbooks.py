"""Records of a sheet of an Excel workbook (.xlsx), of which the first row names the columns.

Each cell has the type that the workbook gives it and is read by itself: one that holds an error, a date that there is
none of, or what its type cannot hold (openpyxl writes NaN as a number), is missing. A row of nothing is no record. A
workbook is one compressed document of elements, so an element that is broken makes the whole of it unreadable.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from resources.cells import Note, Record, SourceError, cells_of, require

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from openpyxl import Workbook

    from resources.places import Stored
    from resources.source import Layout

_ERROR = "e"  # how openpyxl calls the type of a cell that holds an error
_CONTAINER = b"\xd0\xcf\x11\xe0"  # of an encrypted workbook, and of one in the older format


def records(stored: Stored, kinds: Mapping[str, str], layout: Layout, note: Note | None) -> Iterator[Record | None]:
    with _opened(stored) as book:
        rows = _filled_rows(book, _sheet(stored, book, layout))
        header = _header(stored, rows)
        require(stored.name, list(header.values()), kinds)
        columns = {name: column for column, name in header.items()}
        for number, row in rows:
            asked = {name: row.get(columns[name]) for name in kinds}
            yield cells_of(asked, kinds, f"row {number}", note)


def header(stored: Stored, layout: Layout) -> list[str]:
    """The columns' names of a sheet."""
    with _opened(stored) as book:
        return list(_header(stored, _filled_rows(book, _sheet(stored, book, layout))).values())


def first_rows(stored: Stored, layout: Layout, most: int) -> list[dict[int, object]]:
    """The filled cells, by the number of their column, of the first so many rows that hold anything."""
    with _opened(stored) as book:
        rows = islice(_filled_rows(book, _sheet(stored, book, layout)), most)
        return [{column: cell for column, cell in row.items() if _is_filled(cell)} for _, row in rows]


def sheets(stored: Stored) -> list[str]:
    """The names of a workbook's sheets."""
    with _opened(stored) as book:
        return [sheet.title for sheet in book.worksheets]


@contextmanager
def _opened(stored: Stored) -> Iterator[Workbook]:
    from openpyxl import load_workbook

    with stored.open() as file:
        if file.read(len(_CONTAINER)) == _CONTAINER:
            raise SourceError(
                f"{stored.name} is protected by a password, or was written by an Excel before 2007: save it as an "
                ".xlsx workbook without a password"
            )
        file.seek(0)
        with _no_warnings():
            opened = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        with closing(opened) as book:
            yield book


def _header(stored: Stored, rows: Iterator[tuple[int, dict[int, object]]]) -> dict[int, str]:
    _, first = next(rows, (0, {}))
    header = {column: cell for column, cell in first.items() if isinstance(cell, str)}
    if not header:
        raise SourceError(f"{stored.name} is empty and has no header: the sheet's first row must name the columns")
    return header


def _filled_rows(book: Workbook, sheet: str) -> Iterator[tuple[int, dict[int, object]]]:
    """The number of each row that holds anything, and its cells by the number of their column.

    openpyxl's own rows end at the first cell that it cannot convert, leave out rows that are not in order and make up
    those that are missing, so its parser is asked below them. Its warnings are not heard: they quote what stands in a
    cell.
    """
    from openpyxl.utils.cell import coordinate_to_tuple
    from openpyxl.worksheet._reader import WorkSheetParser

    class Parser(WorkSheetParser):  # type: ignore[misc] # it has no types
        def parse_cell(self, element: Element) -> dict[str, object]:
            try:
                found: dict[str, object] = super().parse_cell(element)
                return found
            except Exception:  # whatever its value does to a converter, the cell's place is known
                place = element.get("r")
                column = coordinate_to_tuple(place)[1] if place else self.col_counter
                return {"column": column, "data_type": _ERROR, "value": None}

    opened = book[sheet]
    with opened._get_source() as source:
        parser = Parser(
            source,
            opened._shared_strings,
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        )
        left = parser.parse()
        while True:
            with _no_warnings():
                number, cells = next(left, (0, None))
            if cells is None:
                return
            row = {cell["column"]: cell["value"] for cell in cells if cell["data_type"] != _ERROR}
            if any(map(_is_filled, row.values())):
                yield number, row


@contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _is_filled(cell: object) -> bool:
    return cell not in ("", None)


def _sheet(stored: Stored, book: Workbook, layout: Layout) -> str:
    names: list[str] = [sheet.title for sheet in book.worksheets]
    listed = ", ".join(f"`{name}`" for name in names)
    if layout.sheet is None:
        if len(names) == 1:
            return names[0]
        raise SourceError(f"{stored.name} has the sheets {listed}: write the one to read as the table's `physicalName`")
    if layout.sheet not in names:
        raise SourceError(
            f"{stored.name} has no sheet `{layout.sheet}`: it has {listed}. Correct the table's `physicalName`"
        )
    return layout.sheet
