"""Spelling tricks by which people slip past filters: to test a classifier with, and to train one against.

Deterministic for a seed. Every trick leaves a text that a person still reads.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_LOOK_ALIKES = str.maketrans("aeiost", "431057")
_WORD = re.compile(r"[A-Za-z]{4,}")


def look_alikes(word: str, rng: random.Random) -> str:
    """Digits for letters: `st0p 1t`."""
    return word.lower().translate(_LOOK_ALIKES)


def stretched(word: str, rng: random.Random) -> str:
    """A vowel drawn out: `stuuupid`."""
    vowels = [place for place, letter in enumerate(word) if letter.lower() in "aeiou"]
    place = rng.choice(vowels) if vowels else len(word) // 2
    return word[:place] + word[place] * 3 + word[place + 1 :]


def starred(word: str, rng: random.Random) -> str:
    """An inner letter hidden: `st*pid`."""
    place = rng.randrange(1, len(word) - 1)
    return f"{word[:place]}*{word[place + 1 :]}"


def spaced(word: str, rng: random.Random) -> str:
    """Letters apart: `s t u p i d`."""
    return " ".join(word)


def swapped(word: str, rng: random.Random) -> str:
    """Two inner letters the wrong way round: `stpuid`."""
    place = rng.randrange(1, len(word) - 2)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


TRICKS: tuple[Callable[[str, random.Random], str], ...] = (look_alikes, stretched, starred, spaced, swapped)


def disguised(text: str, seed: int, share: float = 0.3) -> str:
    """The text with a share of its longer words (one at least, if there is one) spelled otherwise."""
    rng = random.Random(f"{seed}\0{text}")
    places = [match.span() for match in _WORD.finditer(text)]
    if not places:
        return text
    chosen = sorted(rng.sample(places, max(1, round(share * len(places)))), reverse=True)
    for start, end in chosen:
        text = text[:start] + rng.choice(TRICKS)(text[start:end], rng) + text[end:]
    return text
