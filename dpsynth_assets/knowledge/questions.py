"""Questions about a domain: each fact asked for in several wordings that no record has, with choices to answer by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dpsynth_assets.knowledge.domain import Fact


@dataclass(frozen=True)
class Question:
    """`stem` is a sentence up to where the answer begins; of the fact's choices its value is right."""

    fact: Fact
    stem: str


def questions(domain: Iterable[Fact]) -> list[Question]:
    """Every fact in every wording, fact by fact."""
    return [Question(fact, _stem(wording, fact)) for fact in domain for wording in fact.attribute.asks]


def _stem(wording: str, fact: Fact) -> str:
    stem = wording.format(it=f"the {fact.name}")
    return stem[0].upper() + stem[1:]
