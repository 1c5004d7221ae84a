"""`evolution`: texts of a model that nobody trained, chosen and varied by noisy votes of the sensitive records.

Private Evolution (Lin et al. 2024, arXiv 2305.15560; for texts Xie et al. 2024, arXiv 2403.01749). It needs no
gradient, so any model that can be asked for a text will do: one behind an endpoint too. Where an adapter is planned
beside it, that writes the texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, model_validator

from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.release import Release, by_labels
from dpsynth_assets.releases.terms import ReleaseTerms
from dpsynth_assets.term import Fault, Name, TermsError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.parts import Parts

VOTED: Final = "private_evolution"  # how a variant asks for it
TEXT = "{text}"  # stands in a paraphrase's template for the text that it is of
_MOST_TEXTS = 100_000  # of all label combinations together


class EvolutionTerms(ReleaseTerms):
    """Rounds of votes on texts: the chosen ones are varied and voted on again. All numbers are public constants."""

    mechanism: Annotated[Literal["gaussian_votes"], Field(description="how the votes are made noisy")]
    rounds: Annotated[int, Field(ge=1, le=100, description="how often is voted; all rounds share the price")]
    texts: Annotated[
        int, Field(ge=2, le=10_000, description="how many texts of each label combination are voted on in a round")
    ]
    survivors: Annotated[
        float,
        Field(gt=0, le=1, allow_inf_nan=False, description="the part of a label's texts that go on to the next round"),
    ] = 0.25
    variation: Annotated[
        Literal["examples", "continue", "paraphrase"],
        Field(
            description="examples: one more is asked for after some chosen ones; continue: a text's beginning is kept "
            "and written on; paraphrase: one like it is asked for"
        ),
    ] = "examples"
    shown: Annotated[
        int, Field(ge=1, le=32, description="how many chosen texts of its label `examples` shows before a new one")
    ] = 3
    kept: Annotated[
        float,
        Field(gt=0, lt=1, allow_inf_nan=False, description="the most of a text's words that `continue` keeps, a part"),
    ] = 0.3
    paraphrase: Annotated[
        Name | None,
        Field(max_length=2000, description="what asks for a text like another one, which stands where `{text}` does"),
    ] = None
    topics: Annotated[
        tuple[Name, ...],
        Field(strict=False, description="public words: each of the first texts is asked to be about one of them"),
    ] = ()
    lookahead: Annotated[
        int, Field(ge=0, le=16, description="by how many variations of a text its place is judged; 0: by itself")
    ] = 0
    fresh: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            allow_inf_nan=False,
            description="the part of the table's texts that is asked for in words alone, as the first ones were; with "
            "`votes` and `curation` rows are chosen from both kinds",
        ),
    ] = 0.0
    threshold: Annotated[
        float,
        Field(ge=0, le=100, allow_inf_nan=False, description="votes count from so many deviations of their noise on"),
    ] = 2.0
    precision: Annotated[
        Literal["float32", "bfloat16"], Field(description="of the passes that write texts, if a local model does")
    ] = "float32"

    @model_validator(mode="after")
    def _the_variation_s_own_terms(self) -> EvolutionTerms:
        if self.variation == "paraphrase" and (self.paraphrase is None or self.paraphrase.count(TEXT) != 1):
            raise TermsError(
                f"a paraphrase is asked for in words, with `{TEXT}` in them once",
                f"Write for example `paraphrase: 'Write another news report like this one: {TEXT}'`",
                "paraphrase",
            )
        for name, variation in (("shown", "examples"), ("kept", "continue"), ("paraphrase", "paraphrase")):
            if name in self.model_fields_set and self.variation != variation:
                raise TermsError(
                    f"`{name}` says nothing to the variation `{self.variation}`",
                    f"Remove it, or write `variation: {variation}`",
                    name,
                )
        if len(set(self.topics)) != len(self.topics):
            raise TermsError("a topic is named twice", "Keep each once", "topics")
        return self


def _describe(contract: Contract) -> str:
    terms = contract.privacy.releases[EVOLUTION]
    unit = contract.privacy.unit
    own = " of its own label" if contract.privacy.labels else ""
    each = "one vote" if unit.max_records == 1 else f"at most {unit.max_records} votes"
    return (
        f"{terms.texts} texts{by_labels(contract, 'for each')}, written by base model "
        f"{contract.privacy.base_model.name} and chosen in {terms.rounds} rounds by noisy votes (Gaussian noise): each "
        f"{unit.name} has {each} a round, for the text{own} that is nearest. The chosen ones are varied "
        "and voted on again. No model is trained."
    )


def _rules(parts: Parts) -> Iterator[Fault]:
    terms = parts.release(EVOLUTION)
    if terms is None:
        if parts.named and not any(parts.stands(each) for each in (EVOLUTION, ADAPTER, KEY_PHRASES)):
            yield Fault(
                ("releases",),
                "no release writes texts",
                "Plan `releases.adapter` (a model that is trained), `releases.evolution` (texts that are voted on) or "
                "`releases.key_phrases` (words that texts are asked to be about)",
            )
        return
    place = ("releases", EVOLUTION.name)
    cells = math.prod(len(label.values) for _, label in parts.labels)
    if cells <= _MOST_TEXTS < cells * terms.texts:
        yield Fault(
            (*place, "texts"),
            f"{terms.texts} texts of each of {cells} label combinations are more than {_MOST_TEXTS:,}",
            f"Write at most {_MOST_TEXTS // cells}",
        )
    if len(terms.topics) > terms.texts:
        yield Fault(
            (*place, "topics"),
            f"{len(terms.topics)} topics are more than the {terms.texts} texts of a label that are asked for",
            f"Write at most {terms.texts} topics, or more `texts`",
        )
    if terms.topics and parts.stands(KEY_PHRASES):
        yield Fault(
            (*place, "topics"),
            "what the first texts are about, `releases.key_phrases` says",
            "Leave `topics` out, or that release",
        )
    base = parts.base_model
    if base is not None and base.endpoint is not None and terms.variation == "continue":
        yield Fault(
            (*place, "variation"),
            "a server is asked in a chat, which does not go on from a text's beginning",
            "Write `variation: examples`",
        )
    asked = [name for name in ("paraphrase", "topics") if getattr(terms, name)]
    if asked and parts.prompt is None:
        yield Fault(
            (*place, asked[0]),
            "this is asked for in words, and the contract has no `prompt` to ask in",
            "Add a `prompt`, or remove it",
        )


EVOLUTION = Release(
    name="evolution",
    terms=EvolutionTerms,
    meaning="texts that nobody trained a model for, chosen and varied by noisy votes",
    title="Private evolution, by noisy votes",
    result="texts of a language model that a sensitive source's records have voted for",
    describe=_describe,
    planner="dpsynth_assets.privacy.evolution:evolution_plan",
    work="dpsynth_assets.synthesis.evolution",
    technologies=frozenset({"huggingface"}),
    after=(LABEL_HISTOGRAM.name,),
    made_from=(ADAPTER.name, KEY_PHRASES.name),
    unread="dpsynth_assets.language.untouched:untouched",
    rules=_rules,
    examples={
        "": "{mechanism: gaussian_votes, epsilon: 1.0, rounds: 5, texts: 100}",
        "mechanism": "gaussian_votes",
        "rounds": "5",
        "texts": "100",
    },
)
