"""What of a source cannot be read, and where: for its owner, before anybody signs.

The only reader that hands in a `Note`. What it finds are facts about records, so it belongs on the terminal of somebody
who may read the source anyway: no asset, no log and no error may show it. It says lines, columns and kinds of fault,
and never what stands there, nor how often: after the first few faults it stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resources.canonical import TEXT, spelled
from resources.cells import SourceError, unreadable
from resources.formats import records
from resources.places import Stored, stored_at
from resources.source import Columns, Equalities, Layout
from resources.stated_columns import has_title
from resources.tabular import asked_of, filters_of

MOST = 20  # faults that are said of a file
_NOT_TEXT = unreadable(0, TEXT)  # of a cell of the text column


@dataclass(frozen=True)
class Fault:
    """What cannot be read of a file. Without `at` it is the file as a whole."""

    file: str
    what: str
    at: str | None = None


@dataclass(frozen=True)
class Looked:
    """A file or table that was looked at, and what cannot be read of it.

    Attributes:
        more: there are more faults than are said.
        without_text: why no record that the filter takes has a text; None where one has, or that is not known.
        titled: its first row looks like a title above the names.
    """

    stored: Stored
    faults: tuple[Fault, ...]
    more: bool
    without_text: str | None = None
    titled: bool = False


def look_at(place: str, where: Equalities, columns: Columns, layout: Layout) -> Iterator[Looked]:
    """Each file or table at a place, read to its end or to as many faults as are said.

    Raises:
        SourceError: nothing lies there that could be opened.
    """
    kinds = {columns.stored.get(name, name): kind for name, kind in asked_of(place, where, columns).items()}
    text = columns.stored.get(columns.text, columns.text)
    at = {name: number for number, name in enumerate(kinds)}
    stored_as = {columns.stored.get(name, name): value for name, value in filters_of(place, where).items()}
    wanted = {at[name]: spelled(value, kinds[name]) for name, value in stored_as.items()}
    for stored in stored_at(place, where):
        faults: list[Fault] = []

        def note(at: str, what: str, stored: Stored = stored, faults: list[Fault] = faults) -> None:
            if len(faults) <= MOST:
                faults.append(Fault(stored.name, what, at))

        taken = has_text = whole = titled = False
        try:
            for record in records(stored, kinds, layout, note):
                if record is not None and all(record[place] == value for place, value in wanted.items()):
                    taken, said = True, record[at[text]]
                    has_text = has_text or bool(said and not said.isspace())
                if has_text and len(faults) > MOST:
                    break
            whole = True
            titled = has_title(stored, layout)
        except SourceError as error:
            faults.append(Fault(stored.name, str(error)))
        without = _without_text(text, taken, faults, where) if whole and not has_text else None
        if without and faults and all(fault.what == _NOT_TEXT for fault in faults):
            faults = []  # one sentence says it of all
        yield Looked(stored, tuple(faults[:MOST]), len(faults) > MOST, without, titled)


def _without_text(column: str, taken: bool, faults: Sequence[Fault], where: Equalities) -> str:
    if any(fault.what == _NOT_TEXT for fault in faults):
        return f"the column {column} holds numbers, dates or other values, and no text: write it as text in the source"
    if not taken:
        return f"there is no record that can be read{' and that the filter takes' if where else ''}"
    return f"the column {column} is empty in every record; of a formula the value counts that was saved with it"
