"""How long it will take to have texts written that nobody trained a model for: a few are asked for, and the rest is
reckoned from them. Reads no row, and no release."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from dpsynth_assets.language.writers import forget_answers, writer_of
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.synthesis.key_phrases import KeyPhrases, worded
from dpsynth_assets.synthesis.phrases import BETWEEN
from dpsynth_assets.synthesis.population import Asking, Population, apportioned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.language.writing import Request, Writer
    from dpsynth_assets.privacy.evolution import EvolutionPlan

# Texts of each kind that are asked for. A model here writes many at once in hardly more time than a few.
_OF_A_SERVER, _OF_A_MODEL = 16, 64
_WORDS = ("question", "tomorrow", "evening")  # in place of those that will be released


def seconds(contract: Contract, plan: EvolutionPlan | None, rows: int) -> float:
    """How long the writer will take for `rows` texts of a table, and for all texts of an evolution if one is planned,
    in seconds. It is asked for some texts of their own, and for an evolution for as many variations. Where the contract
    plans key phrases they are to have made-up ones: of how many have them follows how often the others will be asked
    for. The base model writes as it comes, with an adapter about as fast. What is unfit and asked for again, and
    encoding the records, come on top.

    Raises:
        WriterError, BaseModelError, PromptError: the writer cannot be had.
    """
    generation = contract.privacy.generation.model_copy(update={"seed": secrets.randbits(31)})  # no answer is kept yet
    privacy = contract.privacy.model_copy(update={"generation": generation})
    fresh = replace(contract, id=f"{contract.id}--timed", privacy=privacy)
    try:
        return _of_a_table(fresh, rows) if plan is None else _of_an_evolution(fresh, plan, rows)
    finally:
        forget_answers(fresh)


def _of_a_table(contract: Contract, rows: int) -> float:
    phrases = contract.privacy.releases[KEY_PHRASES]
    writer = writer_of(contract, None, phrases.precision)
    phrase, cells = ", ".join(_WORDS[: phrases.words]), contract.cells
    asked = [worded(contract, cells[place % len(cells)], phrase) for place in range(min(_asked(contract), rows))]
    _woken(writer, asked)
    return rows * _timed(writer, asked)[1]


def _of_an_evolution(contract: Contract, plan: EvolutionPlan, rows: int) -> float:
    terms, cells = contract.privacy.releases[EVOLUTION], contract.cells
    phrases = contract.privacy.releases.get(KEY_PHRASES)
    made_up = None
    if phrases is not None:
        phrase = BETWEEN.join(_WORDS[: phrases.words])
        made_up = KeyPhrases({cell: {phrase: 1.0} for cell in cells})
    writer = writer_of(contract, None, terms.precision)
    asking = Asking(contract, writer, made_up)
    wanted = asking.first(-(-_asked(contract) // len(cells)))[: _asked(contract)]
    _woken(writer, asking.asked(wanted))
    texts, each_own = _timed(writer, asking.asked(wanted))
    shown = Population.of(
        iter([(each.cell, text or "a text") for each, text in zip(wanted, texts, strict=True)]), cells
    )
    given = dict.fromkeys(range(len(shown.texts)), 1)
    varied = asking.after_examples(apportioned(shown, given, [cell for cell, _ in shown.texts]), shown, given, "trial")
    _, each_varied = _timed(writer, asking.asked(varied))
    own = len(plan.cells) * plan.texts + rows * terms.fresh
    return own * each_own + (plan.written(rows) - own) * each_varied


def _asked(contract: Contract) -> int:
    return _OF_A_MODEL if contract.privacy.base_model.endpoint is None else _OF_A_SERVER


def _woken(writer: Writer, asked: Sequence[Request]) -> None:
    """What is loaded, or woken, by the first text."""
    writer.write([replace(asked[0], tries=1)], 0)


def _timed(writer: Writer, asked: Sequence[Request]) -> tuple[list[str], float]:
    """The texts, each asked for once, and how long one takes that is asked for until it has its words."""
    began = time.monotonic()
    texts = writer.write([replace(each, tries=1) for each in asked], 1)
    once = (time.monotonic() - began) / len(asked)
    lacking = sum(not each.is_met_by(text) for each, text in zip(asked, texts, strict=True)) / len(asked)
    return texts, once * sum(lacking**turn for turn in range(asked[0].tries))
