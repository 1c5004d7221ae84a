"""The shape of one topic's phrase material. Knows nothing of how phrases become messages."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

Phrases = tuple[str, ...]


def phrases(block: str) -> Phrases:
    """One phrase per line; a line indented further continues the phrase above it.

    `(a|b|)` are alternatives of which one is taken, `{slot}` is filled by the grammar.
    """
    found: list[str] = []
    for line in textwrap.dedent(block).strip().splitlines():
        if line.startswith(" "):
            found[-1] += " " + line.strip()
        elif line:
            found.append(line.rstrip())
    return tuple(found)


def words(block: str) -> Phrases:
    """One phrase per word, for names and the like."""
    return tuple(block.split())


@dataclass(frozen=True)
class Topic:
    """What customers write about one concern, as whole sentences that can stand beside each other.

    `says` names the concern, `hints` describes it without its usual words, `tells` adds circumstances, `asks`
    requests something, `mentions` are passing remarks that belong in messages about *other* topics, and `scams`
    pretend to be about the concern in order to get money or secrets.
    """

    name: str
    says: Phrases
    hints: Phrases
    tells: Phrases
    asks: Phrases
    mentions: Phrases
    scams: Phrases
