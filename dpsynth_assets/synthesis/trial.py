"""How long an evolution's texts will take: a few are asked for, and the rest is reckoned from them. Reads no row."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from dpsynth_assets.language.writers import writer_of
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.synthesis.population import Asking, Population, Wanted, apportioned, first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.evolution import EvolutionPlan

_TEXTS = 16  # of each kind that are asked for


def seconds(contract: Contract, plan: EvolutionPlan, rows: int) -> float:
    """How long the writer will take for all texts of an evolution and for `rows` texts of a table, in seconds. It is
    asked for some first texts, and for as many variations of them. The base model writes as it comes, with an adapter
    about as fast. What is unfit and asked for again, and encoding the records, come on top.

    Raises:
        WriterError, BaseModelError, PromptError: the writer cannot be had.
    """
    generation = contract.privacy.generation.model_copy(update={"seed": secrets.randbits(31)})  # no answer is kept yet
    fresh = replace(contract, privacy=contract.privacy.model_copy(update={"generation": generation}))
    asking = Asking(fresh, writer_of(fresh, None, contract.privacy.releases[EVOLUTION].precision))
    wanted = first(contract.cells, -(-_TEXTS // len(contract.cells)), contract.privacy.releases[EVOLUTION].topics)
    wanted = wanted[:_TEXTS]
    asking.raw(wanted[:1], 0, lambda _: None)  # what is loaded, or woken, by the first one
    texts, each_first = _timed(asking, wanted)
    shown = Population.of(
        iter([(each.cell, text or "a text") for each, text in zip(wanted, texts, strict=True)]), contract.cells
    )
    given = dict.fromkeys(range(len(shown.texts)), 1)
    cells = [cell for cell, _ in shown.texts]
    varied = asking.after_examples(apportioned(shown, given, cells), shown, given, "trial")
    _, each_varied = _timed(asking, varied)
    at_first = len(plan.cells) * plan.texts
    return at_first * each_first + (plan.written(rows) - at_first) * each_varied


def _timed(asking: Asking, wanted: Sequence[Wanted]) -> tuple[list[str], float]:
    """The texts, and how long each took."""
    began = time.monotonic()
    texts = asking.raw(wanted, 1, lambda _: None)
    return texts, (time.monotonic() - began) / len(wanted)
