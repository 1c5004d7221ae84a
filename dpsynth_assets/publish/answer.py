"""The answer to a query: names, types and values of its columns, and the same as an Arrow table.

Types cross from the query's process as plain JSON (`described`), so that an answer without rows, or with empty columns,
has them too. Knows neither who asked nor what is printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from dpsynth_assets.publish.release import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

Kind = str | list[Any]  # "bigint", or a name with what it is made of: ["list", "bigint"]


@dataclass(frozen=True)
class Answer:
    """Rows as tuples of Python values, and for each column its name and DuckDB's type."""

    columns: list[str]
    kinds: list[Kind]
    rows: Sequence[tuple[Any, ...]]

    def twice(self) -> list[str]:
        """The names that more than one column has."""
        return sorted({name for name in self.columns if self.columns.count(name) > 1})

    def arrow(self) -> pa.Table:
        """The answer as an Arrow table. A type that Arrow has no counterpart for becomes text.

        Raises:
            QueryError: a number is larger than its column's type can hold.
        """
        import pyarrow as pa

        columns = []
        for index, (name, kind) in enumerate(zip(self.columns, self.kinds, strict=True)):
            try:
                columns.append(pa.array([_fitted(row[index], kind) for row in self.rows], _arrow(kind)))
            except (pa.ArrowException, OverflowError):
                raise QueryError(
                    f"column {name!r} holds a value that does not fit its type: ask for it as text (`x::VARCHAR`), or "
                    "for a large number as DOUBLE"
                ) from None
        return pa.Table.from_arrays(columns, names=self.columns)


def described(kind: Any) -> Kind:
    """A type as DuckDB's client has it, as JSON."""
    name = str(kind.id)
    if name in ("list", "array"):
        return ["list", described(kind.children[0][1])]
    if name == "struct":
        return [name, [[field, described(inner)] for field, inner in kind.children]]
    if name == "map" and kind.children[0][1].id not in ("list", "array", "struct", "map"):
        return [name, *(described(inner) for _, inner in kind.children)]
    if name == "decimal":
        return [name, *(number for _, number in kind.children)]
    return name


def _arrow(kind: Kind) -> pa.DataType:
    """Arrow's type for a kind. Whole numbers of 128 bits, which sums are, are kept in 64."""
    import pyarrow as pa

    match kind:
        case ["list", inner]:
            return pa.list_(_arrow(inner))
        case ["struct", list(fields)]:
            return pa.struct([(str(name), _arrow(inner)) for name, inner in fields])
        case ["map", key, value]:
            return pa.map_(_arrow(key), _arrow(value))
        case ["decimal", int(precision), int(scale)]:
            return pa.decimal128(precision, scale)
    return _scalars().get(str(kind), pa.string())


@cache
def _scalars() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "null": pa.null(),
        "boolean": pa.bool_(),
        **{"tinyint": pa.int8(), "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64()},
        **{"utinyint": pa.uint8(), "usmallint": pa.uint16(), "uinteger": pa.uint32(), "ubigint": pa.uint64()},
        **{"hugeint": pa.int64(), "uhugeint": pa.uint64(), "float": pa.float32(), "double": pa.float64()},
        **{"blob": pa.binary(), "date": pa.date32(), "time": pa.time64("us")},
        **dict.fromkeys(("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"), pa.timestamp("us")),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
    }


def _fitted(value: Any, kind: Kind) -> Any:
    """A value as Arrow takes it for that kind."""
    if value is None:
        return None
    match kind:
        case ["list", inner]:
            return [_fitted(each, inner) for each in value]
        case ["struct", list(fields)]:
            return {str(name): _fitted(value.get(name), inner) for name, inner in fields}
        case ["map", key, inner]:
            return [(_fitted(name, key), _fitted(each, inner)) for name, each in value.items()]
    return value if isinstance(kind, list) or kind in _scalars() else str(value)
