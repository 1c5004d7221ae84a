"""The rows of a rehearsal: texts of the base model as it comes, or of a public file, under made-up people.

Every label is as common as the next, and each unit has as many records as are used of one. Opens no file but the public
one that it is given, and that one is refused where it is the contract's source or a copy of it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dpsynth_assets.cli.console import BadInput
from dpsynth_assets.cli.rehearsal.terms import MIX, SOURCE, TEST, columns_of

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

MOST_RECORDS = 4  # of a unit: what is used of one may be far more than anybody has
_ASKED = 64  # texts that a model is asked for; more are made of their words
_PUBLIC = 40  # rows of a public test split, and of rows to mix in; at least one for each label combination

Texts = Sequence[tuple[tuple[str, ...], str]]  # label combination and text


def write_rows(contract: Contract, texts: Texts, folder: Path) -> int:
    """Write the rehearsed contract's source and its public rows to `folder`; gives the records of one unit.

    Public rows hold other texts than the source, or the platform would take them for records of it.
    """
    terms = contract.privacy
    each = records_of_a_unit(contract)
    others = max(len(contract.cells), min(_PUBLIC, len(texts) // 4))
    texts = _in_turn(texts) if len(texts) >= 3 * others else _many(_in_turn(texts), 3 * others)
    test, mix, own = texts[:others], texts[others : 2 * others], texts[2 * others :]
    units = [f"made-up-{number}" for number in range(terms.unit.public_count) for _ in range(each)]
    _frame(contract, units, _many(own, len(units))).to_parquet(folder / SOURCE, index=False)
    for name, rows in ((TEST, test), (MIX, mix)):
        _frame(contract, [f"made-up-{name}-{number}" for number in range(len(rows))], rows).to_parquet(
            folder / name, index=False
        )
    return each


def records_of_a_unit(contract: Contract) -> int:
    """How many records each made-up unit has."""
    return min(contract.privacy.unit.max_records, MOST_RECORDS)


def of_base_model(contract: Contract, folder: Path, progress: Callable[[int, int], None]) -> Texts:
    """Texts of the contract's base model, asked for each label combination as the contract asks.

    Raises:
        BaseModelError, WriterError, GenerationError: it cannot be had, or writes nothing that is fit.
    """
    from dpsynth_assets.language.generation import generate_corpus
    from dpsynth_assets.language.untouched import untouched

    place = folder / "base_model"
    place.mkdir()
    untouched(contract, place)
    rows = max(_ASKED, 3 * len(contract.cells))
    frame = generate_corpus(contract, place, dict.fromkeys(contract.cells, 1), rows=rows, progress=progress)
    return _texts(frame, contract)


def of_file(contract: Contract, file: Path) -> Texts:
    """Texts of a public file, with its labels where it has the contract's label columns, else under each in turn.

    Raises:
        BadInput: it is the contract's source, or holds no text as the contract describes one.
        SourceError: it cannot be read, or holds records of a source that was read here.
    """
    from dpsynth_assets.gate.sources import is_protected, source_of
    from resources.home import Home
    from resources.places import stored_at
    from resources.sensitive_store import SensitiveStore
    from resources.source import Layout
    from resources.stated_columns import stated_columns
    from resources.tabular import as_rows, present, table_at

    if not file.is_file():
        raise BadInput(f"--rows {file} is no file: name one with public texts, no pattern and no folder")
    if is_protected(str(file.absolute()), contract, Home.at().sensitive):
        raise BadInput(
            f"--rows {file} is the contract's source, or a copy of it: a rehearsal never reads that. Give public rows, "
            "or leave --rows out and the base model writes some"
        )
    terms, columns = contract.privacy, source_of(contract).columns
    place, plain = str(file.absolute()), Layout()  # it need not be written as the source is
    there = stated_columns(stored_at(place, {})[0], plain)
    # A column may be called as in the contract, or as in its source.
    stored = {name: own for name, own in columns.stored.items() if own in there and name not in there}
    if terms.text.column not in {*there, *stored}:
        own = columns.stored.get(terms.text.column)
        raise BadInput(
            f"--rows {file} has no column `{terms.text.column}`{f' or `{own}`' if own else ''}, in which the contract "
            "has its text"
        )
    labels = tuple(label for label in columns.labels if label.column in {*there, *stored})
    kept = replace(columns, unit=None, block=None, labels=labels, stored=stored)
    table = table_at(place, {}, kept, plain)
    home = Home.at()
    if os.path.isdir(home.sensitive / "known"):  # noqa: PTH112 (else an account that may not look would fail)
        texts = present(table, terms.text.column)
        SensitiveStore(home=str(home.root)).require_new(texts, f"--rows {file}")
    rows = as_rows(table, kept)
    if rows.empty:
        raise BadInput(f"--rows {file} holds no row with a text and a declared value of every label")
    if len(labels) == len(columns.labels):
        return _texts(rows.rename(columns={"text": terms.text.column}), contract)
    return list(zip(itertools.cycle(contract.cells), rows["text"], strict=False))


def _texts(frame: pd.DataFrame, contract: Contract) -> Texts:
    labels = [label.column for label in contract.privacy.labels]
    cells = frame[labels].itertuples(index=False, name=None) if labels else itertools.repeat(())
    return list(zip(map(tuple, cells), frame[contract.privacy.text.column], strict=False))


def _in_turn(texts: Texts) -> Texts:
    """The texts of one label combination after the other's, so that any few of them have all."""
    by_cell: dict[tuple[str, ...], list[tuple[tuple[str, ...], str]]] = {}
    for cell, text in texts:
        by_cell.setdefault(cell, []).append((cell, text))
    return [each for together in itertools.zip_longest(*by_cell.values()) for each in together if each is not None]


def _many(texts: Texts, number: int) -> Texts:
    """So many texts: each as it is, then again with its words moved on, which leaves it as long."""
    found: list[tuple[tuple[str, ...], str]] = []
    for turn in itertools.count():
        for cell, text in texts:
            if len(found) == number:
                return found
            words = text.split(" ")
            at = turn % len(words)
            found.append((cell, " ".join((*words[at:], *words[:at]))))
    raise AssertionError("the loop above has no end of its own")


def _frame(contract: Contract, units: Sequence[str], texts: Texts) -> pd.DataFrame:
    terms = contract.privacy
    rows = [
        ((unit,) if terms.unit.column else ()) + (text, *cell) for unit, (cell, text) in zip(units, texts, strict=True)
    ]
    return pd.DataFrame(rows, columns=columns_of(terms))
