"""Cross-checks of a contract: what neither the standard's schema nor a single term can see by itself.

Each check is a function from the draft to problems. They look at what the contract says, never at data (`places` asks
which files are there, and whether two names are one file's); whether the
ledger admits the planned releases is for `dpsynth plan` to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain

from dpsynth_assets.contract import people, places
from dpsynth_assets.contract.column_names import value_like
from dpsynth_assets.contract.consistency import faults
from dpsynth_assets.contract.document import Path
from dpsynth_assets.contract.draft import Draft
from dpsynth_assets.contract.problems import Problem, choose_from
from dpsynth_assets.contract.source_terms import LabelColumn
from dpsynth_assets.contract.sql_names import COLUMN, RESERVED, in_sql

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")
_SECRET = ("confidential", "restricted", "sensitive", "highly confidential", "secret", "internal")

_OWN = ("known",)  # folders of the sensitive store that are no contract's
# A contract's id is the schema of its tables, and in DuckDB these are schemas or databases of another meaning.
_SCHEMAS = frozenset({"main", "temp", "system", "memory", "warehouse", "information_schema", "pg_catalog"})


def problems_of(draft: Draft) -> list[Problem]:
    """All that the cross-checks find, errors and warnings."""
    return list(chain.from_iterable(check(draft) for check in CHECKS))


def fault_of_name(name: str, said: str) -> tuple[str, str] | None:
    """Why an id, or what else is `said`, cannot be a Dagster key and an SQL name, and what to do; None if it can."""
    if not _IDENTIFIER.fullmatch(name):
        plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
        example = f", such as `{plain}`" if _IDENTIFIER.fullmatch(plain) else ""
        what = f"the {said} `{name}` is not usable as an asset key and an SQL name"
        return what, f"Use small letters, digits and underscores, a letter first{example}"
    what = ""
    if name in RESERVED:
        what = f"the {said} `{name}` is a word of SQL"
    elif said != "table name" and name in _SCHEMAS:
        what = f"the {said} `{name}` is a name that DuckDB reserves, and the schema of published tables is called so"
    elif said != "table name" and name in _OWN:
        what = f"the {said} `{name}` is the name of a folder of the platform's own"
    return (what, "Choose another name") if what else None


def names(draft: Draft) -> Iterator[Problem]:
    """The contract's id, or its `asset`, and its table are a Dagster key and an SQL name; the versions are versions."""
    asset = draft.term("asset") if draft.privacy and isinstance(draft.get(*draft.term("asset")), str) else None
    for path, said in ((asset or ("id",), "asset" if asset else "id"), ((*draft.table, "name"), "table name")):
        name = draft.document.at(path)
        if not isinstance(name, str) or (said == "asset" and not _IDENTIFIER.fullmatch(name)):
            continue  # of the latter the terms themselves say so
        if said == "table name":
            name = in_sql(name)
        if fault := fault_of_name(name, said):
            what, remedy = fault
            if not _IDENTIFIER.fullmatch(name):
                remedy = _usable(draft, name, said)
            elif said == "id":
                remedy += ", or add `asset: ...` to the privacy terms"
            yield draft.problem(path, what, remedy)
    if (version := draft.text("version")) is not None and not _VERSION.fullmatch(version):
        remedy = 'Write letters, digits, dots and dashes, such as "1.0.0"'
        yield draft.problem(("version",), f"`{version}` is not a version", remedy)
    if (api := draft.text("apiVersion")) is not None and not api.startswith("v3."):
        yield draft.problem(("apiVersion",), f"the standard's version {api} is not read", "Write `apiVersion: v3.2.0`")


def _usable(draft: Draft, name: str, said: str) -> str:
    """What to write where a name cannot be that of assets and tables."""
    plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
    if said == "table name":
        example = f"`name: {plain}`" if _IDENTIFIER.fullmatch(plain) else "a plain `name`"
        return f"Write {example} of small letters, digits and underscores, and `physicalName: {name}` beside it"
    table = draft.text(*draft.table, "name") or ""
    example = next((each for each in (plain, table) if _IDENTIFIER.fullmatch(each)), "letters")
    return f"Add `asset: {example}` to the privacy terms: what assets and SQL are to call the contract"


def table(draft: Draft) -> Iterator[Problem]:
    """There is one table, and its columns have distinct names that SQL takes."""
    tables = draft.get("schema")
    if not isinstance(tables, list) or not tables:
        yield draft.problem(("schema",), "the contract describes no table", "Add `schema:` with a table")
        return
    seen: dict[str, Path] = {}
    physical: dict[str, Path] = {}
    for index, entry in draft.items(*draft.table, "properties"):
        path: Path = (*draft.table, "properties", index)
        name = entry.get("name")
        if not isinstance(name, str):
            continue
        again = name.lower() in seen
        if again:
            line = draft.document.line(seen[name.lower()])
            yield draft.problem(path, f"the column `{name}` is declared on line {line} already", "Keep one of them")
        seen.setdefault(name.lower(), path)
        stored = entry.get("physicalName")
        stored = stored if isinstance(stored, str) and stored else name
        if stored in physical and not again:
            line = draft.document.line(physical[stored])
            yield draft.problem(
                path, f"`{stored}` is read as another column already, on line {line}", "Keep one of them"
            )
        physical.setdefault(stored, path)
        if name not in draft.synthetic_columns:
            continue
        beside = f"and `physicalName: {stored}` beside it"
        if not COLUMN.fullmatch(name):
            plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
            example = f"`name: {plain}`" if COLUMN.fullmatch(plain) else "a `name` of letters, digits and underscores"
            yield draft.problem(path, f"`{name}` is not an SQL name", f"Write {example}, {beside}")
        elif name.lower() in RESERVED:
            yield draft.problem(path, f"`{name}` is a word of SQL", f"Choose another `name`, {beside}")
    if not seen:
        yield draft.problem(
            (*draft.table, "properties"), "the table has no columns", "List its columns under `properties`"
        )


def records_as_names(draft: Draft) -> Iterator[Problem]:
    """No column is called what looks like a value: a source without a header lends its first record's."""
    for number, (path, entry) in enumerate(draft.columns.values(), start=1):
        key = "physicalName" if isinstance(entry.get("physicalName"), str) else "name"
        if why := value_like(entry[key]):
            yield draft.warning(
                (*path, key),
                f"the name of the contract's column {number} looks like a value of a record ({why})",
                "Does the source begin with a row of names? If not, put one first, and draft the contract again before "
                "anybody signs",
            )


def columns(draft: Draft) -> Iterator[Problem]:
    """Unit, text and labels are columns of the table, of a fitting type, never empty, and classified."""
    parts = draft.parts
    if parts.unit is not None and parts.unit.column is not None:
        yield from _column(draft, draft.term("unit", "column"), parts.unit.column, ("string", "integer"), secret=True)
    if parts.text is not None:
        yield from _column(draft, draft.term("text", "column"), parts.text.column, ("string",), secret=True)
    if parts.blocks is not None:
        yield from _column(draft, draft.term("blocks", "column"), parts.blocks.column, ("string",), secret=False)
    for index, label in parts.labels:
        place = draft.term("labels", index, "column")
        yield from _column(draft, place, label.column, ("string", "integer"), secret=False)
        yield from _label_values(draft, index, label)


def _column(draft: Draft, place: Path, name: str, kinds: tuple[str, ...], *, secret: bool) -> Iterator[Problem]:
    if name not in draft.columns:
        if draft.columns:
            yield draft.problem(place, f"the table has no column `{name}`", choose_from(name, draft.columns))
        return
    path, entry = draft.columns[name]
    if (kind := entry.get("logicalType")) is not None and kind not in kinds:  # without one it is read as text
        yield draft.problem(
            (*path, "logicalType"),
            f"the column `{name}` is of type `{kind}`",
            f"Write `logicalType: {'` or `'.join(kinds)}`",
        )
    if entry.get("required") is not True:
        yield draft.problem(
            (*path, "required"),
            f"the column `{name}` may be empty",
            "Write `required: true`: records without it are left out",
        )
    if not secret:
        return
    classified = entry.get("classification")
    if not isinstance(classified, str):
        word = "public" if draft.parts.source_is_public else "confidential"
        yield draft.problem(path, f"the column `{name}` has no classification", f"Add `classification: {word}`")
    elif draft.parts.source_is_public and classified.lower() != "public":
        yield draft.problem(
            (*path, "classification"),
            f"the column `{name}` is {classified}, but privacy.source_is_public is true",
            "Set source_is_public to false, or classify the column as public",
        )
    elif not draft.parts.source_is_public and classified.lower() not in _SECRET:
        yield draft.problem(
            (*path, "classification"),
            f"the column `{name}` is classified {classified}, but the contract protects it",
            "Write confidential or restricted; only a published source is public (`source_is_public: true`)",
        )


def _label_values(draft: Draft, index: int, label: LabelColumn) -> Iterator[Problem]:
    entry = draft.columns.get(label.column)
    if entry is not None and entry[1].get("logicalType") == "integer" and label.codes is None:
        yield draft.problem(
            draft.term("labels", index),
            f"the column `{label.column}` holds numbers, but the label has no codes",
            "Add `codes: [0, 1, ...]`, one for each of the values",
        )


def terms(draft: Draft) -> Iterator[Problem]:
    """What must hold between the privacy terms."""
    for fault in faults(draft.parts):
        say = draft.warning if fault.severity == "warning" else draft.problem
        yield say(draft.term(*fault.path), fault.what, fault.remedy)


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    names,
    table,
    records_as_names,
    columns,
    terms,
    people.people,
    people.retention,
    places.source,
    places.copies,
    places.filters,
    places.test_split,
    places.mix,
)
