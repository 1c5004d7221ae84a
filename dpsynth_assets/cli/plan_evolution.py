"""What `dpsynth plan` says of an evolution: its rounds, what it asks of a model, and how long that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpsynth_assets.cli.console import BadInput, say
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.evolution import EvolutionPlan


def say_evolution(contract: Contract, size: float, *, timed: bool) -> None:
    """What the evolution does and what it asks of its writer.

    Args:
        timed: ask the writer for a few texts, and say how long all of them will take.
    """
    from dpsynth_assets.privacy.evolution import evolution_plan
    from dpsynth_assets.synthesis.candidates import rows_drawn

    plan, terms = evolution_plan(contract, EVOLUTION, size), contract.privacy
    texts, rows = len(plan.cells) * plan.texts, rows_drawn(contract, size)
    written, longest = plan.written(rows), terms.generation.max_new_tokens
    say(
        f"The evolution votes {plan.mechanism.rounds} times on {texts:,} texts. "
        f"The model is asked for some {written:,} texts, the table's included: it writes at most "
        f"{written * longest:,} tokens, and reads {_read(contract, written - texts):,} of chosen texts at most."
        f"{_again(contract)}",
        style="dim",
    )
    if timed:
        say(f"Writing them all takes about {_duration(contract, plan, rows)}, reckoned from a few texts.", style="dim")


def _again(contract: Contract) -> str:
    """How often a text is asked for that lacks its key phrase."""
    phrases = contract.privacy.releases.get(KEY_PHRASES)
    if phrases is None or phrases.tries == 1:
        return ""
    return f" For a text that lacks its key phrase it is asked again, up to {phrases.tries} times in all."


def _duration(contract: Contract, plan: EvolutionPlan, rows: int) -> str:
    from dpsynth_assets.language.model_places import BaseModelError
    from dpsynth_assets.language.prompts import PromptError
    from dpsynth_assets.language.writing import WriterError
    from dpsynth_assets.synthesis.trial import seconds

    say("Asking for a few texts.", style="dim")
    try:
        minutes = seconds(contract, plan, rows) / 60
    except (WriterError, BaseModelError, PromptError) as error:
        raise BadInput(f"how long it takes cannot be said: {error}") from None
    if minutes < 1:
        return "a minute"
    return f"{minutes:,.0f} minutes" if minutes < 120 else f"{minutes / 60:,.0f} hours"


def _read(contract: Contract, varied: int) -> int:
    """How many tokens of chosen texts a model reads for so many variations, at most."""
    terms, longest = contract.privacy.releases[EVOLUTION], contract.privacy.generation.max_new_tokens
    texts = {"examples": terms.shown, "continue": terms.kept, "paraphrase": 1.0}[terms.variation]
    return round(varied * texts * longest)
