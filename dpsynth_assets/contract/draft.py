"""A contract that is being read: its document and the places and parts that the cross-checks look at.

Tolerant by design: a draft may be wrong anywhere, and what is wrong is left out, not raised, so that everything else
can still be checked.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dpsynth_assets.contract.document import Document, Path
from dpsynth_assets.contract.parts import Parts
from dpsynth_assets.contract.problems import Problem, did_you_mean

_FIRST: Path = ("schema", 0)


@dataclass(frozen=True)
class Draft:
    """The document, where the privacy terms stand in it, those of their parts that hold, and the file's folder, which
    its relative places start from."""

    document: Document
    privacy: Path | None
    parts: Parts
    folder: pathlib.Path = pathlib.Path()

    def get(self, *path: str | int) -> Any:
        return self.document.at(path)

    def text(self, *path: str | int) -> str | None:
        value = self.document.at(path)
        return value if isinstance(value, str) else None

    def items(self, *path: str | int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The mappings of a list, with their positions."""
        value = self.document.at(path)
        for index, item in enumerate(value if isinstance(value, list) else []):
            if isinstance(item, dict):
                yield index, item

    @property
    def table(self) -> Path:
        """Where the contract's table stands: the one with privacy terms, or else the first."""
        return self.privacy[: len(_FIRST)] if self.privacy is not None else _FIRST

    @property
    def columns(self) -> dict[str, tuple[Path, dict[str, Any]]]:
        """The declared columns by name: where each stands and what is said of it."""
        found: dict[str, tuple[Path, dict[str, Any]]] = {}
        for index, entry in self.items(*self.table, "properties"):
            if isinstance(name := entry.get("name"), str):
                found.setdefault(name, ((*self.table, "properties", index), entry))
        return found

    @property
    def synthetic_columns(self) -> list[str]:
        """The columns of the synthetic table: the text and the labels."""
        text = [self.parts.text.column] if self.parts.text else []
        return text + [label.column for _, label in self.parts.labels]

    def term(self, *path: str | int) -> Path:
        """The place of a privacy term."""
        return (*(self.privacy or self.table), *path)

    def problem(self, path: Path, what: str, remedy: str) -> Problem:
        return self.document.problem(path, what, remedy)

    def warning(self, path: Path, what: str, remedy: str) -> Problem:
        return self.document.warning(path, what, remedy)


def find_privacy(document: Document) -> tuple[Path | None, list[Problem]]:
    """Where the privacy terms stand, or what to do about it that they do not. Tables without any are not read."""
    draft = Draft(document, None, Parts())
    tables: list[Path] = [("schema", index) for index, _ in draft.items("schema")] or [_FIRST]
    named = [
        ((*table, "customProperties", i), entry.get("property"))
        for table in tables
        for i, entry in draft.items(*table, "customProperties")
    ]
    found = [place for place, name in named if name == "privacy"]
    if len(found) > 1:
        second, again = found[1], "stands here a second time"
        remedy = "Keep one entry"
        if second[1] != found[0][1]:
            again, remedy = "stands at a second table", "Write one contract for each; they may share a population"
        return (*found[0], "value"), [document.problem(second, f"`privacy` {again}", remedy)]
    if found:
        return (*found[0], "value"), []
    for place, name in named:
        if isinstance(name, str) and did_you_mean(name, ["privacy", "privacyTerms"]):
            return None, [document.problem(place, f"the property `{name}` is not read", "Call it `privacy`")]
    for i, entry in draft.items("customProperties"):
        if entry.get("property") == "privacy":
            remedy = "Move the entry to `customProperties` of the schema object"
            return None, [
                document.problem(("customProperties", i), "the privacy terms stand beside the schema", remedy)
            ]
    return None, [
        document.problem(
            _FIRST if len(tables) == 1 else ("schema",),
            "the table has no privacy terms" if len(tables) == 1 else "no table has privacy terms",
            "Add `customProperties: [{property: privacy, value: {...}}]`; docs/contracts.md has an example",
        )
    ]
