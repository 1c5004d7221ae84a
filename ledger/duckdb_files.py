"""What DuckDB says of a file that it cannot use, in words: newer, too old, damaged, no database, held, no space.

DuckDB has one kind of error for most of these and tells them apart by its text. So whole phrases of it are looked for,
after the file's own name is taken out: a single word would be found in names, and within others ("lock" in "block").
A test makes each of these files. Knows nothing of what a file holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import duckdb

Kind = Literal["full", "held", "newer", "older", "damaged", "other"]
_VERSIONS = re.compile(r"storage version number (\d+), but we can only read storage versions between (\d+) and (\d+)")
_HOLDER = re.compile(r"Conflicting lock is held in (.+? \(PID \d+\))")
_PHRASES: tuple[tuple[str, Kind, str], ...] = (
    ("No space left on device", "full", "lies on a disk without space"),
    ("Could not set lock on file", "held", "is open in another program"),
    ("Corrupt database file", "damaged", "is damaged: its bytes are not those that DuckDB wrote"),
    ("not a valid DuckDB database file", "damaged", "is no DuckDB file, or its beginning is damaged"),
    ("Could not read enough bytes from file", "damaged", "is damaged: it is cut short"),
    ("INTERNAL Error", "damaged", "is damaged: what it holds makes no sense to DuckDB"),
    ("Serialization Error", "damaged", "is damaged: what it holds makes no sense to DuckDB"),
)


@dataclass(frozen=True)
class Trouble:
    """Why a file cannot be used. `said` goes on after its name: "is damaged: it is cut short"."""

    kind: Kind
    said: str


def trouble(path: Path, error: duckdb.Error) -> Trouble:
    """What an error of DuckDB says about the file that it was to open, read or write."""
    import duckdb

    text = str(error).replace(str(path), "")
    if versions := _VERSIONS.search(text):
        theirs, oldest, newest = map(int, versions.groups())
        kind: Kind = "newer" if theirs > newest else "older"
        return Trouble(
            kind,
            f"was written by {'a newer' if kind == 'newer' else 'a much older'} DuckDB (storage version {theirs}; "
            f"DuckDB {duckdb.__version__} here reads {oldest} to {newest})",
        )
    for phrase, kind, said in _PHRASES:
        if phrase in text:
            holder = _HOLDER.search(text) if kind == "held" else None
            return Trouble(kind, f"{said}, {holder[1]}" if holder else said)
    return Trouble("other", f"cannot be used ({type(error).__name__})")
