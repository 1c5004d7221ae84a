"""How a text of a label is asked for in words. Knows no tokenizer: how words become tokens is `language.prompts`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from dpsynth_assets.contract.problems import choose_from
from dpsynth_assets.term import Fault, Name, Terms, TermsError

if TYPE_CHECKING:
    from dpsynth_assets.contract.source_terms import LabelColumn

# By which chat models tell apart who speaks: `<|im_end|>`, `</s>`, `[INST]`, `<start_of_turn>`. What follows one is
# another turn, in a prompt as in a drawn text.
TURN_MARKER = re.compile(r"<\|[^<>|\n]{0,40}\|>|</?s>|\[/?(?:INST|SYS)\]|<</?SYS>>|<(?:start|end)_of_turn>")
_PLACE = re.compile(r"\{([^{}]*)\}")


class Prompt(Terms):
    """How a text of a label is asked for in words. A public constant, the same in training and sampling.

    A base model that is asked for "a news report about sports" knows what sports are before any epsilon is spent.
    """

    template: Annotated[
        Name, Field(max_length=2000, description="what is asked, with each label's column in braces for its words")
    ]
    words: Annotated[
        dict[str, dict[str, str]],
        Field(default_factory=dict, description="for a label's column, the words that stand for each of its values"),
    ]
    turns: Annotated[
        Literal["auto", "never"],
        Field(description="auto: asked in a chat model's turns where the base model has them; never: as plain text"),
    ] = "auto"

    @field_validator("words", mode="before")
    @classmethod
    def _by_column(cls, words: Any) -> Any:
        if isinstance(words, dict) and any(isinstance(each, str) for each in words.values()):
            raise TermsError(
                "words stand under the column of their label", "Write for example `words: {label: {pos: loved it}}`"
            )
        return words

    def asking(self, said: Mapping[str, str]) -> str:
        """The template with a value of each label in it: its words, or the value itself with spaces in it."""
        words = {column: self.words.get(column, {}).get(each, each.replace("_", " ")) for column, each in said.items()}
        return _PLACE.sub(lambda place: words[place[1]], self.template)


def faults(prompt: Prompt, labels: Sequence[LabelColumn]) -> Iterator[Fault]:
    """What does not hold between a prompt and the labels: each label must be asked for, and otherwise than others."""
    place, columns = ("prompt", "template"), [label.column for label in labels]
    if not prompt.template.strip():
        yield Fault(place, "the template is blank: nothing is asked", "Write a sentence, or leave `prompt` out")
        return
    named = list(dict.fromkeys(_PLACE.findall(prompt.template)))
    unknown = [name for name in named if name not in columns]
    for name in unknown:
        yield Fault(place, f"`{{{name}}}` in the template is no label", choose_from(name, columns))
    for column in columns:
        if column not in named and not unknown:  # else it is the one that is misspelt
            what = f"the template does not say `{column}`: labels that differ in it would be asked for alike"
            yield Fault(place, what, f"Write `{{{column}}}` where its words are to stand")
    said: list[tuple[tuple[str | int, ...], str]] = [(place, prompt.template)]
    for label in labels:
        words = prompt.words.get(label.column)
        if words is not None:
            yield from _words(label, words)
            said += [(("prompt", "words", label.column, value), each) for value, each in words.items()]
    for column in prompt.words:
        if column not in columns:
            yield Fault(("prompt", "words", column), f"`{column}` is not a label", choose_from(column, columns))
    yield from markers(said)


def markers(said: Iterable[tuple[tuple[str | int, ...], str]]) -> Iterator[Fault]:
    """Turn markers in what is said, each with its place."""
    for where, text in said:
        if marker := TURN_MARKER.search(text):
            what = f"`{marker[0]}` is a chat model's turn marker, and would end what is asked or begin an answer"
            yield Fault(where, what, "Leave it out: `turns: auto` sets the base model's own")


def _words(label: LabelColumn, words: Mapping[str, str]) -> Iterator[Fault]:
    """What does not hold of one label's words."""
    place = ("prompt", "words", label.column)
    for value in label.values:
        if not words.get(value, "").strip():
            yield Fault(place, f"the label `{value}` has no words", f"Add `{value}: ...`, or leave all of them out")
    seen: dict[str, str] = {}
    for value, each in words.items():
        if value not in label.values:
            yield Fault((*place, value), f"`{value}` is not a value of the label", choose_from(value, label.values))
        elif each.strip() and each in seen:
            what = f"`{value}` and `{seen[each]}` have the same words, and would be asked for alike"
            yield Fault((*place, value), what, "Write other words")
        seen.setdefault(each, value)
