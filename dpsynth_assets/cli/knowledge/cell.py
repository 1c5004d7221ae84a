"""Which readers are compared, and one of them: the texts that it reads made in a home of its own, and then asked.

Lines, cells and homes are those of the utility grid (`cli.utility`): a line is a variant of the contract, the real
records, or no text at all. Texts are taken as they were drawn.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.progress import Progress as Bars

from dpsynth_assets import variants
from dpsynth_assets.cli.console import console
from dpsynth_assets.cli.own_home import NotMadeError, made_in
from dpsynth_assets.cli.utility import grid
from dpsynth_assets.cli.utility.cell import affording
from dpsynth_assets.cli.utility.grid import REAL, REAL_DP, GridCell, GridError, Line
from dpsynth_assets.folding import folded
from dpsynth_assets.knowledge.domain import Fact, facts
from dpsynth_assets.knowledge.questions import questions
from dpsynth_assets.knowledge.reader import Reader, Recipe
from dpsynth_assets.knowledge.records import Parameters, records
from dpsynth_assets.publish.record import composed_epsilon
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.releases.registry import planned_names
from dpsynth_assets.releases.votes import CANDIDATES
from dpsynth_assets.synthesis.candidates import DRAWN, rows_wanted
from dpsynth_assets.synthesis.key_phrases import KeyPhrases
from dpsynth_assets.synthesis.phrases import BETWEEN, plain

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

UNTAUGHT = "untaught"


@dataclass(frozen=True)
class Setup:
    """What all cells share. `source` is the file of the records that `parameters` give."""

    contract: Contract
    source: Path
    parameters: Parameters
    recipe: Recipe
    say: Callable[[str], None] = lambda _: None


def lines(contract: Contract, parameters: Parameters, recipe: Recipe, only: Sequence[str] = ()) -> list[Line]:
    """All lines, or the named ones. Their terms are the utility grid's with what the records and readers depend on.

    Raises:
        GridError: the contract cannot be measured, or there is no line of a name.
    """
    contracted = [line for line in grid.lines(contract) if line.method != REAL_DP]
    untaught = Line(UNTAUGHT, UNTAUGHT, None, "")
    found = [replace(line, terms=_terms(line.terms, parameters, recipe)) for line in (untaught, *contracted)]
    if unknown := sorted(set(only) - {line.name for line in found}):
        raise GridError(f"{', '.join(unknown)}: the lines are {', '.join(line.name for line in found)}")
    return [line for line in found if not only or line.name in only]


def _terms(of_line: str, parameters: Parameters, recipe: Recipe) -> str:
    text = json.dumps([of_line, asdict(parameters), asdict(recipe)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def measure(cell: GridCell, folder: Path, setup: Setup) -> dict[str, Any]:
    """What a reader of the cell's texts answers: `right`, how many of the wordings of each fact, and `asked`, of how
    many. `let_out` is how many facts stand in released key phrases, None where there are none; `said`, how often a text
    has a machine's name and what is true of it, and what is true of other machines alone.

    Raises:
        GridError: a release of the cell failed.
    """
    started = time.monotonic()
    texts, spent, let_out = _texts(cell, folder, setup)
    reader = Reader(replace(setup.recipe, seed=cell.run))
    if texts:
        setup.say(f"a reader reads {len(texts):,} texts")
        with Bars(console=console(), transient=True) as bars:
            bar = bars.add_task("Reading", total=None)
            reader.read(texts, lambda done, steps: bars.update(bar, completed=done, total=steps))
    asked = questions(facts(setup.parameters.seed))
    right = {_name(question.fact): 0 for question in asked} | Counter(
        _name(question.fact)
        for question, answer in zip(asked, reader.answers(asked), strict=True)
        if answer == question.fact.value
    )
    return {
        "contract": setup.contract.id,
        "line": cell.line.name,
        "run": cell.run,
        "seed": setup.parameters.seed,
        "rows": len(texts),
        "asked": Counter(_name(question.fact) for question in asked),
        "right": right,
        "epsilon_composed": spent,
        "let_out": let_out,
        "said": _said(texts, setup.parameters.seed),
        "minutes": round((time.monotonic() - started) / 60, 1),
    }


def _name(fact: Fact) -> str:
    return f"{fact.kind}, {fact.attribute.name}"


def _texts(cell: GridCell, folder: Path, setup: Setup) -> tuple[list[str], float | None, int | None]:
    """What the reader is given; what it cost, where charged; and how many facts stand in its key phrases."""
    if cell.line.method == UNTAUGHT:
        return [], None, None
    if cell.line.method == REAL:
        return [each.text for each in records(setup.parameters) if each.split == "train"], None, None
    epsilon = cell.line.epsilon
    contract = affording(variants.variant(setup.contract, cell.line.name), 2 * (epsilon or 0.0))
    names = planned_names(contract)
    setup.say(f"making {', '.join(names)} and texts, unless they are there")
    try:
        store = made_in(folder.absolute() / "home", contract, (*names, CANDIDATES), source=str(setup.source.absolute()))
    except NotMadeError as error:
        raise GridError(str(error)) from error
    drawn = pd.read_parquet(store.latest(contract.id, CANDIDATES).folder / DRAWN).head(rows_wanted(contract, 1.0))
    made = (store.latest(contract.id, name) for name in names)
    spent = composed_epsilon(contract, *made) if epsilon else None
    let_out = None
    if KEY_PHRASES.name in names and not contract.reads_nothing:
        released = KeyPhrases.load(store.latest(contract.id, KEY_PHRASES.name).folder)
        let_out = sum(_stands_in(fact, released) for fact in facts(setup.parameters.seed))
    return drawn[contract.privacy.text.column].tolist(), spent, let_out


def _said(texts: Sequence[str], seed: int) -> tuple[int, int]:
    """How often a text has a machine's name and a value that is true of it, and one that is not."""
    known = facts(seed)
    values = {folded(value) for fact in known for value in fact.choices}
    of_name: dict[str, set[str]] = {}
    for fact in known:
        of_name.setdefault(folded(fact.name), set()).add(folded(fact.value))
    found = Counter(
        value in true
        for text in map(folded, texts)
        for name, true in of_name.items()
        if name in text
        for value in values
        if value in text
    )
    return found[True], found[False]


def _stands_in(fact: Fact, released: KeyPhrases) -> bool:
    """Whether a key phrase of the machine's kind has its name and all words of what is true of it."""
    said = {plain(word) for word in (*fact.name.split(), *fact.value.split())}
    return any(said <= set(phrase.split(BETWEEN)) for phrase in released.counts.get((fact.kind,), {}))
