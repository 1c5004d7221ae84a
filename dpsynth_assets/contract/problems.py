"""What is wrong with a contract, said so that a data owner can mend it: the line, the place, the fault, the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning"]

HOW_TO_WRITE = {
    "a list": "Write a list: `- ` and an entry on each line",
    "a mapping": "Write a mapping: `key: value` on each line",
    "a number": "Write a number, without quotes",
    "a whole number": "Write a whole number, without quotes",
}


@dataclass(frozen=True, order=True)
class Problem:
    """One fault of a contract. A warning is shown by `dpsynth lint` and does not stop a run; an error does."""

    line: int
    where: str
    what: str
    remedy: str
    severity: Severity = "error"

    def __str__(self) -> str:
        kind = "" if self.severity == "error" else "warning: "
        end = "" if self.remedy.endswith("?") else "."
        return f"line {self.line}: {self.where}: {kind}{self.what}. {self.remedy}{end}"


_SHOWN = 50  # problems in an error: whoever has more has another file, or mends these first


class ContractError(Exception):
    """A contract that cannot be used, with every problem found in it."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = Path(path)
        self.problems = tuple(sorted(problems))
        super().__init__(path, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        heading = f"{self.path}: {count} problem{'' if count == 1 else 's'}"
        more = [f"  and {count - _SHOWN} more: `dpsynth lint {self.path}` has them all"] if count > _SHOWN else []
        return "\n".join([heading, *(f"  {problem}" for problem in self.problems[:_SHOWN]), *more])


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to `word`, if any is close enough to be a slip of the pen."""
    candidates = sorted(known)
    folded = {name.replace("_", "").replace("-", "").lower(): name for name in candidates}
    exact = folded.get(word.replace("_", "").replace("-", "").lower())
    if exact is not None:
        return exact
    return next(iter(difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)), None)


def choose_from(word: str, known: Iterable[str]) -> str:
    """A remedy for a word that is not one of the known ones."""
    names = sorted(known)
    if not names:
        return "There is none to name here: leave it out"
    guess = did_you_mean(word, names)
    return f"Did you mean `{guess}`?" if guess is not None else f"Known: {listing(names)}"


def listing(names: Iterable[object], limit: int = 30) -> str:
    """Names in backticks, cut to a readable number."""
    shown = [f"`{name}`" for name in names]
    return ", ".join(shown[:limit]) + (f" and {len(shown) - limit} more" if len(shown) > limit else "")
