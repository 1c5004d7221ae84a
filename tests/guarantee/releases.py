"""What each release's mechanism is given of the rows, record by record, as the release itself prepares it.

A release is a function from contract and rows to its *inputs*: for each record, in the order in which the mechanism has
them, the record's unit and everything that is computed from it before the mechanism begins. To put a new release
under the guarantee's tests, add such a function to `RELEASES`.

Vectors are not among them: texts stand here for what the encoder makes of them (`Tokens`), up to its token ids. Where
the encoder's vectors are the same bits whoever else is there, put it in the place of `Tokens`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from transformers import PretrainedConfig

from dpsynth_assets.classify import dp_training
from dpsynth_assets.classify.encoder import DIMENSION, MiniLM
from dpsynth_assets.contract import Contract
from dpsynth_assets.language import base_model, finetuning
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.releases import registry
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.synthesis.votes import Ballot

Input = tuple[str, bytes]
"""A unit, and what the mechanism is given of one of its records."""


class Reached(Exception):  # noqa: N818 - nothing went wrong
    """The mechanism was about to begin, with this data."""

    def __init__(self, data: Any) -> None:
        super().__init__()
        self.data = data


def _stop(model: Any, data: Any, *_: Any, **__: Any) -> None:
    raise Reached(data)


class Tokens:
    """Stands in for the encoder: a text's vector is its token ids."""

    def encode(self, texts: Sequence[str], batch_size: int = 32, progress: Any = None) -> np.ndarray:
        vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, tokens in enumerate(_encoder().tokenize(texts)):
            vectors[row, : len(tokens)] = tokens
        return vectors

    def cut_to(self, max_tokens: int) -> Tokens:
        return self


@cache
def _encoder() -> MiniLM:
    return MiniLM(max_tokens=12)


@cache
def _base(name: str) -> Any:
    return base_model.load_base_model(name)


def label_histogram(contract: Contract, rows: pd.DataFrame) -> list[Input]:
    """The cell that each record counts in."""
    return [(unit, repr(cell).encode()) for unit, cell in zip(rows["unit"], _cells(contract, rows), strict=True)]


def adapter(contract: Contract, rows: pd.DataFrame) -> list[Input]:
    """Token ids and supervised part of each record, unit by unit."""
    plan = TrainingPlan.from_contract(contract)
    _, tokenizer = _base("embedded")
    model = SimpleNamespace(to=lambda device: None, device="cpu", config=PretrainedConfig())
    with (
        mock.patch.object(finetuning, "load_base_model", return_value=(model, tokenizer)),
        mock.patch.object(finetuning, "attach_adapter", lambda model, plan: model),
        mock.patch.object(finetuning, "_verify"),
        mock.patch.object(finetuning, "train", _stop),
    ):
        data = _reached(lambda: finetuning.fine_tune(contract, plan, rows, None))  # type: ignore[arg-type]
    return _by_unit(rows, data, data._records)


def labeller(contract: Contract, rows: pd.DataFrame) -> list[Input]:
    """Vector and class of each record, unit by unit."""
    return _classifier(contract, rows, "labeller")


def dp_baseline(contract: Contract, rows: pd.DataFrame) -> list[Input]:
    """Hashed words and class of each record, unit by unit."""
    return _classifier(contract, rows, "dp_baseline")


def votes(contract: Contract, rows: pd.DataFrame) -> list[Input]:
    """The cell that each record votes for, on a ballot of made-up centres."""
    centres = np.random.default_rng(0).uniform(0, 20_000, (3, DIMENSION)).astype(np.float32)
    ballot = Ballot(centres, np.arange(3))
    cells = ballot.cast(_cells(contract, rows), rows["text"].tolist(), Tokens())
    return [(unit, repr(cell).encode()) for unit, cell in zip(rows["unit"], cells, strict=True)]


RELEASES: dict[str, Callable[[Contract, pd.DataFrame], list[Input]]] = {
    "rows": lambda contract, rows: [(row[0], repr(row[1:]).encode()) for row in rows.itertuples(index=False)],
    "label_histogram": label_histogram,
    "adapter": adapter,
    "labeller": labeller,
    "votes": votes,
    "dp_baseline": dp_baseline,
}


def exact_counts(contract: Contract, rows: pd.DataFrame) -> dict[tuple[str, ...], int]:
    """The histogram before noise, whose sensitivity is declared."""
    return LABEL_HISTOGRAM.plan(contract, 1.0).exact(_cells(contract, rows), rows["unit"].tolist())


def _cells(contract: Contract, rows: pd.DataFrame) -> list[tuple[str, ...]]:
    columns = [label.column for label in contract.privacy.labels]
    return list(rows[columns].itertuples(index=False, name=None))


def _classifier(contract: Contract, rows: pd.DataFrame, name: str) -> list[Input]:
    [plan] = [release.plan(contract, 1.0) for release in registry.releases() if release.name == name]
    encoder = Tokens() if plan.classifier == "minilm" else None
    with (
        mock.patch.object(dp_training, "train", _stop),
        mock.patch.object(dp_training, "_verify"),  # on made-up rows, two seconds of it
    ):
        data = _reached(lambda: dp_training.train_with_dp(plan, rows, None, encoder=encoder))  # type: ignore[arg-type]
    *examples, _ = (example.numpy().tobytes() for example in data._examples)  # the last stands in made-up rows
    *codes, _ = data._codes.tolist()
    return _by_unit(rows, data, list(zip(examples, codes, data.lengths, strict=True)))


def _reached(run: Callable[[], object]) -> Any:
    try:
        run()
    except Reached as reached:
        return reached.data
    raise AssertionError("the mechanism was never reached")


def _by_unit(rows: pd.DataFrame, data: Any, prepared: Sequence[Any]) -> list[Input]:
    units = rows["unit"].tolist()
    return [(units[record], repr(prepared[record]).encode()) for own in data.records_of for record in own]
