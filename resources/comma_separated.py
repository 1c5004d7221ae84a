"""Records of comma-separated text (RFC 4180), each found where its quoting says, whatever stands before or after it.

What is well-formed is read as everybody reads it: cells are divided by commas, or by another character that is given,
and records end at LF or CR LF; in quotes both are text, and a quote is written twice. A CR by itself ends nothing:
common writers leave it unquoted.

A record over several lines is one only if all of it is well-formed: each quote that opens is closed, after the closing
one stands a comma or a line end, no other quote stands in a cell without quotes, and there are as many cells as in the
first record. None is longer than `LONGEST`. Anything else costs the line that it begins on and no more: reading goes on
with the next line. So a line that was cut off takes no other record with it where the others are written well.

What cannot be told apart: a line with an open quote that quotes of the records after it close, with that very number
of cells, which takes texts that begin with a comma or a line end; and the lines within a record that is given up, which
are read as records. A writer that never quotes is another matter: there a line end within one person's text begins a
record, and a quote may reach to a quote in another's.

Knows no columns and no types.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

LONGEST = 2**24  # characters; what is longer is no record, or one open quote would hold a whole file in memory
_CHUNK = 2**20  # characters read at once


@dataclass(frozen=True)
class Row:
    """What begins on a line: the cells of a record, None where it is not well-formed.

    Attributes:
        quote: of one that is not, where on the line its first quote stands, from 1; 0 where the line is too long.
    """

    line: int
    cells: list[str] | None
    quote: int = 0


def records(stream: TextIO, delimiter: str = ",") -> Iterator[list[str] | None]:
    """The cells of each record, None for one that is not well-formed. Empty lines are no records.

    One on a single line may have any number of cells.

    Args:
        stream: opened with `newline=""`, so that line ends arrive as they are.
        delimiter: one character, neither a quote nor a line end.
    """
    return (row.cells for row in located(stream, delimiter))


def located(stream: TextIO, delimiter: str = ",") -> Iterator[Row]:
    """As `records`, each with the line that it begins on."""
    text, start, ended, line = "", 0, False, 1
    width: int | None = None
    while start < len(text) or not ended:
        line_end = _line_end(text, start)
        cells, end = _record(text, start, width, delimiter)
        if end - start > LONGEST:  # or would be, whatever comes next
            cells, end = None, start
        following = end if cells is not None else _after(text, line_end)
        if max(end, following) >= len(text) and not ended:  # what comes next may belong to it
            more = stream.read(max(_CHUNK, len(text) - start))
            held = text[start : start + LONGEST + 1] if line_end == len(text) else text[start:]
            text, start, ended = held + more, 0, not more
            continue
        if cells is None:
            quote = text.find('"', start, min(line_end, start + LONGEST))
            yield Row(line, None, 0 if quote < 0 else quote - start + 1)
        elif cells != [""]:
            width = width or len(cells)
            yield Row(line, cells)
        line += text.count("\n", start, following)
        start = following


def _record(text: str, start: int, width: int | None, delimiter: str) -> tuple[list[str] | None, int]:
    """The cells of the record at `start`, None where it is not well-formed, and the place up to which that was seen.

    Over several lines it must have `width` cells, where that is known.
    """
    first_end = _line_end(text, start)
    if text.find('"', start, first_end) < 0:
        return text[start:first_end].removesuffix("\r").split(delimiter), _after(text, first_end)
    cells: list[str] = []
    at, loose = start, False  # whether a quote stands in a cell without quotes
    while True:
        if text.startswith('"', at):
            close = _closing_quote(text, at + 1)
            if close < 0:
                return None, len(text)
            cells.append(text[at + 1 : close].replace('""', '"'))
            at = close + 1
            stop = at if text.startswith(delimiter, at) else _line_end(text, at)
            if text[at:stop] not in ("", "\r"):
                return None, at
        else:
            stop = _cell_end(text, at, delimiter)
            cells.append(text[at:stop] if text.startswith(delimiter, stop) else text[at:stop].removesuffix("\r"))
            loose = loose or '"' in cells[-1]
        several = stop > first_end
        if not text.startswith(delimiter, stop):
            well = not several or (not loose and len(cells) == (width or len(cells)))
            return (cells if well else None), _after(text, stop)
        at = stop + 1
        if several and (loose or len(cells) == width):
            return None, at


def _cell_end(text: str, at: int, delimiter: str) -> int:
    """The place of the next delimiter on this line, or of the line's end."""
    line_end = _line_end(text, at)
    comma = text.find(delimiter, at, line_end)
    return line_end if comma < 0 else comma


def _closing_quote(text: str, at: int) -> int:
    while (close := text.find('"', at)) >= 0:
        if not text.startswith('"', close + 1):
            return close
        at = close + 2
    return -1


def _line_end(text: str, at: int) -> int:
    """The place of the next line end, or the end of the text."""
    feed = text.find("\n", at)
    return len(text) if feed < 0 else feed


def _after(text: str, line_end: int) -> int:
    return min(line_end + 1, len(text))
