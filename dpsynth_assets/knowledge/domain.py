"""The domain of a seed: invented machines, and what is true of each. All of it is drawn; none of it means anything.

Every value of an attribute is true of equally many machines. So whoever knows only which values there are, or takes
some for likelier than others, is right as often as one who guesses.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from dpsynth_assets.knowledge.attributes import ATTRIBUTES, KINDS, Attribute

CHOICES = 4  # values of each attribute: who guesses is right for a quarter

# Of names: beginnings and ends. No two names of a domain begin alike, and no two of a sort end alike.
_NAMES = {
    "machine": (
        ("Brab", "Drog", "Feln", "Grik", "Hulm", "Jorv", "Kelp", "Murz", "Nefd", "Polg", "Quov", "Silk"),
        ("ax", "ir", "ox", "yl", "emo", "unt", "ari", "ef"),
    ),
    "town": (("Ost", "Ram", "Wil", "Lan", "Erm", "Cor", "Tul", "Dag"), ("umfeld", "eckby", "oshaven", "alund")),
    "inventor": (("Petr", "Mal", "Zan", "Kow", "Ing", "Fab", "Sch", "Abr"), ("ewitz", "asson", "ini", "ovar")),
}


@dataclass(frozen=True)
class Fact:
    """`kind` is the machine's, which has one name; `choices` are the attribute's values."""

    kind: str
    name: str
    attribute: Attribute
    value: str
    choices: tuple[str, ...]


def facts(seed: int) -> list[Fact]:
    """All that is true, machine by machine."""
    rng = random.Random(f"knowledge {seed}")
    names = dict(zip(KINDS, _names("machine", len(KINDS), rng), strict=True))
    found = {}
    for attribute in ATTRIBUTES:
        pool = attribute.values or _names(attribute.name, CHOICES, rng)
        choices = tuple(rng.sample(pool, CHOICES))
        values = list(choices) * (len(KINDS) // CHOICES)
        rng.shuffle(values)
        for kind, value in zip(KINDS, values, strict=True):
            found[kind, attribute.name] = Fact(kind, names[kind], attribute, value, choices)
    return [found[kind, attribute.name] for kind in KINDS for attribute in ATTRIBUTES]


def _names(what: str, count: int, rng: random.Random) -> list[str]:
    """Invented names of a sort."""
    beginnings, ends = (rng.sample(parts, count) for parts in _NAMES[what])
    return [beginning + end for beginning, end in zip(beginnings, ends, strict=True)]
