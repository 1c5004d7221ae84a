"""Records of comma-separated text (RFC 4180), each found where its quoting says, whatever stands before or after it.

What is well-formed is read as everybody reads it: cells are divided by commas and records end at LF or CR LF; in
quotes both are text, and a quote is written twice. A CR by itself ends nothing: common writers leave it unquoted.

What is not well-formed (a quote that is never closed, or after whose end something else than a comma or a line end
stands) costs the line that it begins on and no more: reading goes on with the next line. So a record that was written
badly takes no other one with it where the others are written well. A writer that never quotes is another matter: there
a line end within one person's text begins a record, and a quote may reach to a quote in another's.

Knows no columns and no types.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TextIO

_CHUNK = 2**20  # characters read at once
_MORE = 100  # cells than the first record has; one with even more is given up, so that no file takes for ever


def records(stream: TextIO) -> Iterator[list[str] | None]:
    """The cells of each record, None for one that is not well-formed. Empty lines are no records.

    Args:
        stream: opened with `newline=""`, so that line ends arrive as they are.
    """
    text, start, ended = "", 0, False
    most = sys.maxsize
    while start < len(text) or not ended:
        cells, end = _record(text, start, most)
        following = end if cells is not None else _after(text, _line_end(text, start))
        if max(end, following) >= len(text) and not ended:  # what comes next may belong to it
            more = stream.read(max(_CHUNK, len(text) - start))
            text, start, ended = text[start:] + more, 0, not more
            continue
        if cells is None:
            yield None
        elif cells != [""]:
            if most == sys.maxsize:
                most = len(cells) + _MORE
            yield cells
        start = following


def _record(text: str, start: int, most: int) -> tuple[list[str] | None, int]:
    """The cells of the record at `start`, None where it is not well-formed or has more than `most` cells over several
    lines, and the place up to which that was seen."""
    line_end = _line_end(text, start)
    if text.find('"', start, line_end) < 0:
        return text[start:line_end].removesuffix("\r").split(","), _after(text, line_end)
    cells: list[str] = []
    at = start
    while len(cells) <= most:
        if text.startswith('"', at):
            close = _closing_quote(text, at + 1)
            if close < 0:
                return None, len(text)
            cells.append(text[at + 1 : close].replace('""', '"'))
            at = close + 1
            if text.startswith(",", at):
                at += 1
                continue
            line_end = _line_end(text, at)
            well = text[at:line_end] in ("", "\r")
            return (cells, _after(text, line_end)) if well else (None, at)
        line_end = _line_end(text, at)
        comma = text.find(",", at, line_end)
        if comma < 0:
            return [*cells, text[at:line_end].removesuffix("\r")], _after(text, line_end)
        cells.append(text[at:comma])
        at = comma + 1
    return None, at


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
