"""What SQL takes as a name without quotes, and what it is to call the tables and columns of a source."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")

# Words that DuckDB does not take as a name without quotes, and that would trip every query of an analyst.
_RESERVED = """
    all analyse analyze and any array as asc asymmetric at both case cast check collate column constraint
    create default deferrable desc describe distinct do else end except false fetch for foreign from group
    having in initially intersect into lambda lateral leading limit not null offset on only or order pivot
    pivot_longer pivot_wider placing primary qualify references returning select show some summarize symmetric
    table then to trailing true union unique unpivot using variadic when where window with
"""
RESERVED = frozenset(_RESERVED.split())
_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "æ": "ae", "ø": "o"}
)


def plain_name(text: str) -> str:
    """A name of letters, digits and underscores as near to this as may be; empty where it has none."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFC", text).translate(_LETTERS))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:60]


def in_sql(table: str) -> str:
    """What assets and SQL call a table: its own name, or one of small letters that is near, where there is one."""
    plain = plain_name(table).lower()
    plain = plain if plain[:1].isalpha() or not plain else f"table_{plain}"
    return plain if plain and not _IDENTIFIER.fullmatch(table) else table


def names_in_sql(columns: Iterable[str], needed: Collection[str]) -> dict[str, str]:
    """What to call each column, all distinct whatever their capitals: its own name, but for a needed one, which stands
    in SQL, a near one where SQL does not take that."""
    columns = list(columns)
    kept = {name.lower(): name for name in reversed(columns) if name not in needed or _is_usable(name)}
    found = {name: name for name in kept.values()}
    taken = set(kept)
    for number, column in enumerate(columns, start=1):
        if column not in found:
            plain = plain_name(column).lower()
            plain = plain if plain[:1].isalpha() else f"column_{plain or number}"
            plain = f"{plain}_column" if plain in RESERVED else plain
            free = (plain, *(f"{plain}_{again}" for again in range(2, len(columns) + 3)))
            found[column] = next(name for name in free if name not in taken)
            taken.add(found[column])
    return found


def _is_usable(name: str) -> bool:
    return bool(COLUMN.fullmatch(name)) and name.lower() not in RESERVED
