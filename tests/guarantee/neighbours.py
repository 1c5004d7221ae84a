"""Two sources that differ in one privacy unit, from their files to what each mechanism is handed.

Whatever is handed of everybody else must be the same bytes in the same order, whatever is public must be the same, and
the two must be no further apart than the mechanism's sensitivity allows: one unit in training, `max_records` in counts.
`releases` records what is handed, `sources` writes the files, and this compares. It goes through the registry, so a
release that is registered tomorrow is compared too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import pandas as pd

from dpsynth_assets.contract import Contract
from dpsynth_assets.releases import registry
from tests.guarantee.releases import Handed, of_release, of_store
from tests.guarantee.sources import Record, Setting, rows


class DiffersError(AssertionError):
    """Somebody else's records, or something public, were not the same; or one unit moved too much."""


def recorders() -> dict[str, Callable[[Contract, pd.DataFrame, int | None], Handed]]:
    """For the store, and for each registered release, what is handed of rows, in frames of so many."""
    return {
        "store": lambda contract, frame, most: of_store(frame),
        **{release.name: partial(of_release, release) for release in registry.releases()},
    }


def handed(setting: Setting, records: Sequence[Record], names: Iterable[str] = ()) -> dict[str, Handed]:
    """What the store and the mechanisms of these releases, all if none are named, are handed of a source."""
    frame, found = rows(setting, records), recorders()
    return {name: found[name](setting.contract, frame, setting.at_once) for name in names or found}


def without_her(setting: Setting, rest: Sequence[Record], hers: Sequence[Record]) -> list[Record]:
    """The source without her unit. In a divided population without a unit column all records of one text are one unit,
    whoever wrote them: those with a text of hers go with hers."""
    if setting.unit_column or not setting.blocks:
        return list(rest)
    return [record for record in rest if record.text not in {own.text for own in hers}]


def units_of(setting: Setting, hers: Sequence[Record]) -> int:
    """How many units her records are: one by its column; else each record or, where units are known again, each
    text."""
    if setting.unit_column:
        return 1
    return len({own.text for own in hers} if setting.blocks else hers)


def compare(setting: Setting, more: Sequence[Record], less: Sequence[Record], units: int, *names: str) -> None:
    """Pass if what is handed of `more` is what is handed of `less`, and so many units beside.

    Raises:
        DiffersError: it is not; names the release.
    """
    left, right = handed(setting, more, names), handed(setting, less, names)
    for name in left:
        require_neighbours(setting, left[name], right[name], units, name)


def require_neighbours(setting: Setting, more: Handed, less: Handed, units: int, name: str) -> None:
    """As `compare`, of what one release was handed."""
    if more.public != less.public:
        raise DiffersError(f"{name}: what is public depends on who is there")
    named = setting.unit_column  # where there is no column, units are numbered, which says nothing
    left, right = ([unit if named else unit[1] for unit in each.units] for each in (more, less))
    following = iter(left)
    if not all(unit in following for unit in right):  # in order, with none but hers between
        raise DiffersError(f"{name}: one unit changed what is handed of another")
    if len(left) - len(right) > units:
        raise DiffersError(f"{name}: {units} units are {len(left) - len(right)} to the mechanism")
    if more.counts is not None and less.counts is not None:
        cells = more.counts.keys() | less.counts.keys()
        each = [abs(more.counts.get(cell, 0) - less.counts.get(cell, 0)) for cell in cells]
        moved, most = (float(sum(each)), float(setting.contract.privacy.unit.max_records))
        if more.reach is not None:
            moved, most = math.hypot(*each), more.reach
        if moved > units * most:
            raise DiffersError(f"{name}: {units} units move the counts by {moved}, more than is declared")
