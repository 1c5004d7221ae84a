"""`key_phrases`: which words people use, label by label, in noisy counts. Texts are then asked to be about them.

Nobody says beforehand which words those may be: names that are in no dictionary come out too, if enough people write
them. It needs no gradient, so any model that can be asked for a text will do. Where an adapter or an evolution is
planned beside it, that writes the texts; else the base model does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from dpsynth_assets.folding import WORD, folded
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.release import Release, by_labels
from dpsynth_assets.releases.terms import ReleaseTerms
from dpsynth_assets.term import Fault, Name, Terms, TermsError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.parts import Parts

LONGEST = 48  # bytes of a phrase
BY_PHRASES: Final = "key_phrases"  # how a variant asks for it
RULE = 1  # which phrases a text has, in `synthesis.phrases`: a part of the plan, another rule is another release


class Demonstration(Terms):
    """What the writer is shown before it is asked: a text with some words. Invented by whoever writes the contract, and
    never a record: it is public, and a model of this size now and then repeats it."""

    asked: Annotated[Name, Field(max_length=2000, description="what is asked for, as `prompt.template` does")]
    words: Annotated[
        tuple[Name, ...], Field(min_length=1, max_length=3, strict=False, description="which words the text has")
    ]
    text: Annotated[Name, Field(max_length=4000, description="an invented text of that kind that has these words")]

    @model_validator(mode="after")
    def _has_its_words(self) -> Demonstration:
        _require_words(self.words)
        for word in self.words:
            if word not in folded(self.text):
                raise TermsError(
                    f"the text of the demonstration lacks `{word}`", "A text that lacks its words shows the wrong thing"
                )
        return self


class KeyPhrasesTerms(ReleaseTerms):
    """Noisy counts of the words that records have, by label combination. All numbers are public constants."""

    mechanism: Annotated[Literal["gaussian_phrases"], Field(description="how the counts are made noisy")]
    words: Annotated[
        Literal[1, 2, 3],
        Field(description="1: single words; 2 or 3: so many words of one sentence, which say what belongs together"),
    ] = 1
    each: Annotated[
        int,
        Field(
            ge=1, le=256, description="how many phrases of a record count, drawn from its own; noise grows as the root"
        ),
    ] = 16
    without: Annotated[
        tuple[Name, ...],
        Field(strict=False, description="words that are no phrases, beside the commonest ones of English"),
    ] = ()
    begin: Annotated[
        bool, Field(description="whether each text begins with its phrase, and is not only asked to have its words")
    ] = False
    tries: Annotated[
        int,
        Field(ge=1, le=64, description="how often a text is asked for at most, until its phrase's words stand in it"),
    ] = 4
    demonstrations: Annotated[
        tuple[Demonstration, ...],
        Field(strict=False, max_length=8, description="invented texts with their words, which the writer sees first"),
    ] = ()
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Field(description="of the passes that write texts, if the base model does, on this machine"),
    ] = "float32"

    @field_validator("without")
    @classmethod
    def _are_words(cls, without: tuple[str, ...]) -> tuple[str, ...]:
        _require_words(without)
        return without


def _require_words(words: tuple[str, ...]) -> None:
    for word in words:
        if WORD.fullmatch(word) is None:
            raise TermsError(
                f"`{word}` is no word: words are runs of letters, and no text has this one",
                "Write each word by itself: `[smith, new, york]`",
            )
        if word != folded(word):
            raise TermsError(f"`{word}` is compared as `{folded(word)}`", f"Write `{folded(word)}`")


def _describe(contract: Contract) -> str:
    terms, unit = contract.privacy.releases[KEY_PHRASES], contract.privacy.unit
    what = "words" if terms.words == 1 else f"groups of {terms.words} words of one sentence"
    return (
        f"The {what} that many records have{by_labels(contract)}, with noisy counts (Gaussian noise): at most "
        f"{terms.each} of each record of a {unit.name}, of at most {LONGEST} bytes. Words of few people drown in the "
        "noise. Texts are asked to be about them."
    )


def _rules(parts: Parts) -> Iterator[Fault]:
    terms, base = parts.release(KEY_PHRASES), parts.base_model
    if terms is not None and terms.begin and base is not None and base.endpoint is not None:
        yield Fault(
            ("releases", KEY_PHRASES.name, "begin"),
            "a server is asked in a chat, which does not go on from a text's beginning",
            "Leave it out",
        )
    if terms is not None and parts.prompt is None:
        yield Fault(
            ("releases", KEY_PHRASES.name),
            "texts are asked in words to be about key phrases, and the contract has no `prompt` to ask in",
            "Add a `prompt`, or leave this release out",
        )


KEY_PHRASES = Release(
    name=BY_PHRASES,
    terms=KeyPhrasesTerms,
    meaning="which words people use, in noisy counts; texts are asked to be about them",
    title="Key phrases, in noisy counts",
    result="words of a sensitive source's records that many of them have, with noisy counts",
    describe=_describe,
    planner="dpsynth_assets.privacy.key_phrases:key_phrases_plan",
    work="dpsynth_assets.synthesis.key_phrases",
    technologies=frozenset({"huggingface"}),
    after=(LABEL_HISTOGRAM.name,),
    unread="dpsynth_assets.language.untouched:untouched",
    rules=_rules,
    examples={
        "": "{mechanism: gaussian_phrases, epsilon: 0.5}",
        "mechanism": "gaussian_phrases",
        "demonstrations.asked": "Write a letter about a lost card.",
        "demonstrations.words": "[airport]",
        "demonstrations.text": "I left my card at the airport, please block it.",
    },
)
