"""Values of a query's answer as plain JSON, and back: what crosses from the process that ran the query.

JSON and not pickle, since whoever reads must not trust the process that ran a stranger's SQL. What JSON has no type for
is written as a list of its kind and its text; lists and mappings keep their values.

>>> decode(encode([1, None, date(2030, 1, 2), {"a": 2.5}]))
[1, None, datetime.date(2030, 1, 2), {'a': 2.5}]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

_READERS: dict[str, Callable[[str], Any]] = {
    "float": float,  # not a number, and the infinities
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "duration": lambda text: timedelta(microseconds=int(text)),
    "uuid": UUID,
    "bytes": bytes.fromhex,
    "text": str,
}
_WRITERS: dict[type, tuple[str, Callable[[Any], str]]] = {
    Decimal: ("decimal", str),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("duration", lambda value: str(value // timedelta(microseconds=1))),
    UUID: ("uuid", str),
    bytes: ("bytes", bytes.hex),
    bytearray: ("bytes", bytes.hex),
}


def encode(value: Any) -> Any:
    """A value that DuckDB gave, as JSON. What is of no type known here becomes its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ["float", repr(value)]
    if isinstance(value, list | tuple):
        return ["list", [encode(inner) for inner in value]]
    if isinstance(value, dict):
        return ["mapping", [[encode(key), encode(inner)] for key, inner in value.items()]]
    kind, write = _WRITERS.get(type(value), ("text", str))
    return [kind, write(value)]


def decode(value: Any) -> Any:
    """What `encode` wrote.

    Raises:
        ValueError: it is not of this form.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    match value:
        case ["list", list(inner)]:
            return [decode(each) for each in inner]
        case ["mapping", list(pairs)]:
            return {_key(key): decode(each) for key, each in pairs}
        case [str(kind), str(text)] if kind in _READERS:
            try:
                return _READERS[kind](text)
            except ArithmeticError:
                raise ValueError(f"not a {kind}") from None
    raise ValueError("not a cell")


def _key(value: Any) -> Any:
    key = decode(value)
    return str(key) if isinstance(key, list | dict) else key
