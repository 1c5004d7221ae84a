"""Tables in Markdown, and text of people, files and models within it: shown as it is, never as markup, or as a picture
or a link under other words.

An address that stands in a text as such (`https://...`, a mail address) stays one, and some readers let it be clicked:
it leads where it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import unescape

from ledger.visible import visible

_MEANT = re.compile(r"[\\`*\[\]|#~]|(?<![^\W_])_|_(?![^\W_])")  # one underscore within a word means nothing
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escaped(text: object) -> str:
    r"""The text on one line, with everything escaped by which Markdown or HTML would read more in it, and as `visible`.

    >>> escaped("![x](https://example.org) | <b> card_lost")
    '!\\[x\\](https://example.org) \\| &lt;b&gt; card_lost'
    """
    return _MEANT.sub(lambda match: "\\" + match[0], visible(" ".join(str(text).split()))).translate(_ENTITIES)


def plain(text: str) -> str:
    r"""What was written with `escaped` and `code`, as it is read where there is no Markdown.

    >>> plain(f"{escaped('<a_b> c*')} {code('embedded')}")
    '<a_b> c* embedded'
    """
    return unescape(re.sub(r"\\(.)|`", r"\1", text))


def code(text: object) -> str:
    """The text on one line as code: between more backticks than it has in a row. Not for the cells of a table.

    >>> code("a`b")
    '`` a`b ``'
    """
    plain = visible(" ".join(str(text).split()))
    fence = "`" * (1 + max(map(len, re.findall("`+", plain)), default=0))
    return f"{fence} {plain} {fence}" if "`" in plain else f"{fence}{plain}{fence}"


def table(head: Sequence[object], rows: Iterable[Sequence[object]], align: str = "l") -> str:
    """A table. The cells are Markdown: what people, files or models wrote is to be `escaped` first.

    `align` has a letter for each column, `l` or `r`; the last one counts for all further columns.

    >>> print(table(["label", "rows"], [["card_lost", 12]], "lr"))
    | label | rows |
    |---|--:|
    | card_lost | 12 |
    """
    rule = "|".join("--:" if side == "r" else "---" for side in align.ljust(len(head), align[-1]))
    return "\n".join([row(head), f"|{rule}|", *map(row, rows)])


def row(cells: Iterable[object]) -> str:
    """One line of a table, for those that are shown as they come about."""
    return f"| {' | '.join(map(str, cells))} |"
