"""What `dpsynth plan` says of texts that a model is asked for in words: how many, what it reads for them, how long that
takes. Of an evolution and of key phrases; what an adapter is trained with, `privacy.signal` and the plan itself say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpsynth_assets.cli.console import BadInput, say
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.language.writing import Request
    from dpsynth_assets.privacy.evolution import EvolutionPlan


@dataclass(frozen=True)
class Writing:
    """What a model is asked for, the table's texts included.

    Attributes:
        texts: how many.
        tokens_written: at most, if each is fit at once.
        tokens_read: of chosen texts, at most, if each is fit at once.
        characters_asked: what is asked for a text and shown before it, at most, without chosen texts.
        requests_at_most: what is unfit, there already or without its key phrase is asked for again, so often in all.
            What is asked before a charge, to see that the model can write, is not counted, nor what is sent again to
            a server that failed.
    """

    texts: int
    tokens_written: int
    tokens_read: int
    characters_asked: int
    requests_at_most: int


def writes(contract: Contract) -> bool:
    """Whether there is something to say of the contract."""
    releases = contract.privacy.releases
    return releases.get(EVOLUTION) is not None or releases.get(KEY_PHRASES) is not None


def writing_of(contract: Contract, size: float) -> Writing:
    """What is asked for a contract that `writes`, of that share of its units."""
    from dpsynth_assets.language.generation import ROUNDS
    from dpsynth_assets.synthesis.candidates import rows_drawn
    from dpsynth_assets.synthesis.population import TRIES

    releases, longest = contract.privacy.releases, contract.privacy.generation.max_new_tokens
    plan, rows = _evolution(contract, size), rows_drawn(contract, size)
    texts, at_first = (rows, rows) if plan is None else (plan.written(rows), len(plan.cells) * plan.texts)
    phrases = releases.get(KEY_PHRASES)
    again = (phrases.tries if phrases else 1) * _blank(contract)
    return Writing(
        texts,
        texts * longest,
        _read(contract, texts - at_first),
        max(sum(len(turn["content"]) for turn in request.turns()) for request in _requests(contract)),
        ((texts - rows) * TRIES + rows * ROUNDS) * again,
    )


def _requests(contract: Contract) -> Iterator[Request]:
    """One request of each kind that is made for the contract and of each label combination, with the longest topic or
    phrase, and nothing in the place of each chosen text."""
    from dpsynth_assets.synthesis.key_phrases import KeyPhrases, longest_phrase, worded
    from dpsynth_assets.synthesis.population import Requests, Wanted

    phrases, evolution = contract.privacy.releases.get(KEY_PHRASES), contract.privacy.releases.get(EVOLUTION)
    about = None
    if phrases is not None:
        about = longest_phrase(phrases.words)
    elif evolution is not None:
        about = max(evolution.topics, key=len, default=None)
    if evolution is None:
        yield from (worded(contract, cell, about) for cell in contract.cells)
        return
    chosen = ("",) * (evolution.shown if evolution.variation == "examples" else 0)
    own = [Wanted(cell, topic=about) for cell in contract.cells]
    varied = [Wanted(cell, parent="", examples=chosen) for cell in contract.cells]
    yield from Requests(contract, None if phrases is None else KeyPhrases({})).asked([*own, *varied])


def say_writing(contract: Contract, size: float, *, timed: bool) -> None:
    """What a contract that `writes` asks of its model.

    Args:
        timed: ask the model for a few texts, and say how long all of them will take.
    """
    plan, told = _evolution(contract, size), writing_of(contract, size)
    rounds = ""
    if plan is not None:
        rounds = f"The evolution votes {plan.mechanism.rounds} times on {len(plan.cells) * plan.texts:,} texts. "
    phrases = contract.privacy.releases.get(KEY_PHRASES)
    chosen = f"reads {told.tokens_read:,} of chosen texts at most" if plan is not None else "reads no chosen texts"
    shown = " and shown" if phrases and phrases.demonstrations else ""
    again = "is unfit, is there already or lacks its key phrase" if phrases else "is unfit or there already"
    say(
        f"{rounds}The model is asked for some {told.texts:,} texts, the table's included. If each is fit at once, it "
        f"writes at most {told.tokens_written:,} tokens, and {chosen}, and before each text what it is asked{shown}, "
        f"{told.characters_asked:,} characters at most. A text that {again} is asked for again: at the very worst "
        f"{told.requests_at_most:,} are asked for, and a few before the first charge to see that it can write."
        f"{_failing(contract)}",
        style="dim",
    )
    if timed:
        say(f"Writing them all takes about {_duration(contract, size)}, reckoned from a few texts.", style="dim")


def _evolution(contract: Contract, size: float) -> EvolutionPlan | None:
    from dpsynth_assets.privacy.evolution import evolution_plan

    return None if contract.privacy.releases.get(EVOLUTION) is None else evolution_plan(contract, EVOLUTION, size)


def _blank(contract: Contract) -> int:
    """How often a model is asked for a text that comes back blank."""
    if contract.privacy.base_model.endpoint is None:
        return 1
    from dpsynth_assets.language.endpoint import TURNS

    return TURNS


def _failing(contract: Contract) -> str:
    """What comes on top where a server is asked."""
    if contract.privacy.base_model.endpoint is None:
        return ""
    from dpsynth_assets.language.endpoint import Patience

    return f" Where the server fails or is too slow, each is sent up to {1 + Patience().retries} times."


def _duration(contract: Contract, size: float) -> str:
    from dpsynth_assets.language.model_places import BaseModelError
    from dpsynth_assets.language.prompts import PromptError
    from dpsynth_assets.language.writing import WriterError
    from dpsynth_assets.synthesis.candidates import rows_drawn
    from dpsynth_assets.synthesis.trial import seconds

    say("Asking for a few texts.", style="dim")
    try:
        minutes = seconds(contract, _evolution(contract, size), rows_drawn(contract, size)) / 60
    except (WriterError, BaseModelError, PromptError) as error:
        raise BadInput(f"how long it takes cannot be said: {error}") from None
    if minutes < 1:
        return "a minute"
    return f"{minutes:,.0f} minutes" if minutes < 120 else f"{minutes / 60:,.0f} hours"


def _read(contract: Contract, varied: int) -> int:
    """How many tokens of chosen texts a model reads for so many variations, at most."""
    terms, longest = contract.privacy.releases.get(EVOLUTION), contract.privacy.generation.max_new_tokens
    if terms is None:
        return 0
    texts = {"examples": terms.shown, "continue": terms.kept, "paraphrase": 1.0}[terms.variation]
    return round(varied * texts * longest)
