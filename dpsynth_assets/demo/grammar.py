"""From phrases to sentences: alternatives, slots, and which phrases the train split may not use.

Knows the notation of the phrase material, not what the sentences are about.
"""

from __future__ import annotations

import functools
import hashlib
import random
import re
from collections.abc import Mapping
from typing import Literal

from dpsynth_assets.demo.phrases.topic import Phrases

Split = Literal["train", "test"]

# So that the test split is not the train split's templates over again: of every list of sentences a quarter is never
# used in train, and the test split draws from that quarter one time in three.
HELD_OUT_SHARE = 0.25
HELD_OUT_USE = 0.35

_ALTERNATIVES = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")

# One message speaks of one merchant, one sum and so on; days and places may differ from sentence to sentence.
_ONCE_PER_MESSAGE = frozenset(
    {"merchant", "payee", "biller", "amount", "fee", "sum", "goods", "device", "project", "home", "years", "town"}
)


@functools.cache
def split_phrases(phrases: Phrases) -> tuple[Phrases, Phrases]:
    """(shown, held out) of a list. By the phrase's own hash, so that adding one does not move the others much."""
    by_hash = sorted(phrases, key=lambda phrase: hashlib.sha256(phrase.encode()).digest())
    held_out = set(by_hash[: round(len(phrases) * HELD_OUT_SHARE)])
    return (
        tuple(phrase for phrase in phrases if phrase not in held_out),
        tuple(phrase for phrase in phrases if phrase in held_out),
    )


class Speaker:
    """Draws and fills the phrases of one message, never the same phrase twice."""

    def __init__(self, rng: random.Random, split: Split, slots: Mapping[str, Phrases], own: Mapping[str, str]) -> None:
        self._rng = rng
        self._split = split
        self._slots = slots
        self._filled = dict(own)
        self._said: set[str] = set()

    def sentence(self, phrases: Phrases) -> str:
        """One sentence from a list of which a part is held out from the train split."""
        shown, held_out = split_phrases(phrases)
        use_held_out = self._split == "test" and self._rng.random() < HELD_OUT_USE
        return self.phrase(held_out if use_held_out else shown)

    def phrase(self, phrases: Phrases) -> str:
        """One phrase from a list, filled and with a capital letter."""
        fresh = [phrase for phrase in phrases if phrase not in self._said] or list(phrases)
        chosen = self._rng.choice(fresh)
        self._said.add(chosen)
        filled = self._fill(chosen)
        filled = filled[0].upper() + filled[1:]
        # "(Please|Can you) stop it." ends as its beginning asks for.
        if filled.startswith(("Can ", "Could ")):
            return filled[:-1] + "?"
        return filled[:-1] + "." if filled.startswith("Please ") else filled

    def _fill(self, phrase: str) -> str:
        while _ALTERNATIVES.search(phrase):
            phrase = _ALTERNATIVES.sub(lambda found: self._rng.choice(found[1].split("|")), phrase, count=1)
        phrase = _SLOT.sub(lambda found: self._value(found[1]), phrase)
        return " ".join(phrase.split())

    def _value(self, slot: str) -> str:
        if slot in self._filled:
            return self._filled[slot]
        made = _MADE_UP.get(slot)
        value = made(self._rng) if made else self._fill(self._rng.choice(self._slots[slot]))
        if slot in _ONCE_PER_MESSAGE:
            self._filled[slot] = value
        return value


def _amount(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return f"${rng.randrange(6, 400)}.{rng.randrange(100):02d}"
    return f"${rng.choice((20, 35, 40, 60, 75, 80, 90, 120, 150, 180, 240, 300, 450, 620, 700, 850, 980)):,}"


def _fee(rng: random.Random) -> str:
    return rng.choice(("$2.50", "$3", "$4.95", "$5", "$6.90", "$8", "$9.50", "$12", "$15", "$18", "$25", "$30", "$35"))


def _sum(rng: random.Random) -> str:
    return f"${rng.choice((3, 5, 6, 8, 9, 12, 14, 15, 18, 20, 22, 25, 30, 35, 40)):,},000"


_MADE_UP = {"amount": _amount, "fee": _fee, "sum": _sum}
