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
from dpsynth_assets.contract.consistency import faults
from dpsynth_assets.contract.document import Path
from dpsynth_assets.contract.draft import SCHEMA, Draft
from dpsynth_assets.contract.problems import Problem, choose_from
from dpsynth_assets.contract.source_terms import LabelColumn

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_SECRET = ("confidential", "restricted", "sensitive", "highly confidential", "secret", "internal")

# Words that DuckDB does not take as a name without quotes, and that would trip every query of an analyst.
_RESERVED = """
    all analyse analyze and any array as asc asymmetric at both case cast check collate column constraint
    create default deferrable desc describe distinct do else end except false fetch for foreign from group
    having in initially intersect into lambda lateral leading limit not null offset on only or order pivot
    pivot_longer pivot_wider placing primary qualify references returning select show some summarize symmetric
    table then to trailing true union unique unpivot using variadic when where window with
"""
RESERVED = frozenset(_RESERVED.split())
_OWN = ("known",)  # folders of the sensitive store that are no contract's
# A contract's id is the schema of its tables, and in DuckDB these are schemas or databases of another meaning.
_SCHEMAS = frozenset({"main", "temp", "system", "memory", "warehouse", "information_schema", "pg_catalog"})


def problems_of(draft: Draft) -> list[Problem]:
    """All that the cross-checks find, errors and warnings."""
    return list(chain.from_iterable(check(draft) for check in CHECKS))


def names(draft: Draft) -> Iterator[Problem]:
    """The contract's id and table are a Dagster key and an SQL name; the versions are versions."""
    for path, said in ((("id",), "id"), ((*SCHEMA, "name"), "table name")):
        name = draft.document.at(path)
        if not isinstance(name, str):
            continue
        if not _IDENTIFIER.fullmatch(name):
            plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
            example = f", such as `{plain}`" if _IDENTIFIER.fullmatch(plain) else ""
            yield draft.problem(
                path,
                f"the {said} `{name}` is not usable as an asset key and an SQL name",
                f"Use small letters, digits and underscores, a letter first{example}",
            )
        elif name in RESERVED:
            yield draft.problem(path, f"the {said} `{name}` is a word of SQL", "Choose another name")
        elif said == "id" and name in _SCHEMAS:
            what = f"the id `{name}` is a name that DuckDB reserves, and the schema of published tables is called so"
            yield draft.problem(path, what, "Choose another name")
        elif said == "id" and name in _OWN:
            yield draft.problem(
                path, f"the id `{name}` is the name of a folder of the platform's own", "Choose another name"
            )
    if (version := draft.text("version")) is not None and not _VERSION.fullmatch(version):
        yield draft.problem(("version",), f"`{version}` is not a version", 'Write three numbers, such as "1.0.0"')
    if (api := draft.text("apiVersion")) is not None and not api.startswith("v3."):
        yield draft.problem(("apiVersion",), f"the standard's version {api} is not read", "Write `apiVersion: v3.2.0`")


def table(draft: Draft) -> Iterator[Problem]:
    """There is one table, and its columns have distinct names that SQL takes."""
    tables = draft.get("schema")
    if not isinstance(tables, list) or not tables:
        yield draft.problem(("schema",), "the contract describes no table", "Add `schema:` with one table")
        return
    for extra in range(1, len(tables)):
        yield draft.problem(
            ("schema", extra), "a second table", "Write one contract for each table; they may share a population"
        )
    seen: dict[str, Path] = {}
    for index, entry in draft.items(*SCHEMA, "properties"):
        path: Path = (*SCHEMA, "properties", index)
        name = entry.get("name")
        if not isinstance(name, str):
            continue
        if name.lower() in seen:
            line = draft.document.line(seen[name.lower()])
            yield draft.problem(path, f"the column `{name}` is declared on line {line} already", "Keep one of them")
        seen.setdefault(name.lower(), path)
        if not _COLUMN.fullmatch(name):
            yield draft.problem(path, f"`{name}` is not an SQL name", "Use letters, digits and underscores")
        elif name.lower() in RESERVED and name in draft.synthetic_columns:
            yield draft.problem(path, f"`{name}` is a word of SQL", "Rename the column of the source, as in a view")
    if not seen:
        yield draft.problem((*SCHEMA, "properties"), "the table has no columns", "List its columns under `properties`")


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
    if (kind := entry.get("logicalType")) not in kinds:
        said = f"is of type `{kind}`" if kind else "has no logicalType"
        yield draft.problem(
            (*path, "logicalType"), f"the column `{name}` {said}", f"Write `logicalType: {'` or `'.join(kinds)}`"
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
