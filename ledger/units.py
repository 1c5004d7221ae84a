"""By what a population tells its units apart: the words that stand in the ledger, and when two of them mean the same.

`column X as TYPE` names the column whose values are the units' ids and the type as which these are compared; None says
that each record is a unit. Entries made before types stood in the ledger say `column X`.
"""

from __future__ import annotations

from collections.abc import Mapping

# The types that a unit's column may have in a contract. Its own name may hold " as " too, in an entry of before.
_TYPES = ("string", "integer")


def told_by(unit: object) -> str | None:
    """By what units are told apart, of the `unit` in a contract's terms: its column, and its type where that stands."""
    if not isinstance(unit, Mapping) or not unit.get("column"):
        return None
    kind = unit.get("logical_type")
    return f"column {unit['column']}" + (f" as {kind}" if kind else "")


def is_typed(unit_by: str | None) -> bool:
    if unit_by is None:
        return False
    _, between, kind = unit_by.rpartition(" as ")
    return bool(between) and kind in _TYPES


def same_unit_by(one: str | None, other: str | None) -> bool:
    """Whether two populations, or a population and a contract, tell units apart alike. Entries of before say nothing of
    the column's type, and contradict none."""
    if one is None or other is None or is_typed(one) == is_typed(other):
        return one == other
    typed, untyped = (one, other) if is_typed(one) else (other, one)
    return typed.rpartition(" as ")[0] == untyped


def unit_in_words(unit: tuple[str, str | None] | None) -> str:
    if unit is None:
        return "nobody known"
    return f"a {unit[0]}" + (f" (by {unit[1]})" if unit[1] else " (each record is one)")
