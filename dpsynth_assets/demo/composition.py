"""One message: which sentences a customer puts together, in what order, and in what register.

A message has a topic and is safe or unsafe; both are decided before, and the sentences follow from them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from dpsynth_assets.demo.customers import Customer
from dpsynth_assets.demo.grammar import Speaker, Split
from dpsynth_assets.demo.phrases import TOPICS, everyday, hostile
from dpsynth_assets.demo.phrases.topic import Topic
from dpsynth_assets.demo.style import lower_first, restyle

Kind = Literal["safe", "abusive", "scam"]

SLOTS = {**everyday.SLOTS, **hostile.SLOTS}

MIN_WORDS, MAX_WORDS = 8, 40

# Indirect first sentences and remarks that belong to another topic: the topic is not a matter of keywords.
HINT_SHARE = 0.18
MENTION_SHARE = 0.13

# After these a formal opening ("I am writing because ...") reads well.
_STATEMENT_STARTS = ("I ", "My ", "The ", "There ", "We ", "Our ", "Someone ", "Somebody ", "You ", "An ", "A ")


@dataclass(frozen=True)
class Habits:
    """How much a register says: the length it aims at, and how often it greets, closes and gives a detail."""

    words: tuple[int, int]
    greets: float
    closes: float
    details: float
    manner: Literal["plain", "chatty", "formal"] = "plain"


HABITS = {
    "plain": Habits(words=(9, 19), greets=0.25, closes=0.25, details=0.3),
    "terse": Habits(words=(8, 13), greets=0.0, closes=0.08, details=0.25),
    "chatty": Habits(words=(13, 25), greets=0.5, closes=0.4, details=0.25, manner="chatty"),
    "formal": Habits(words=(10, 19), greets=0.6, closes=0.6, details=0.4, manner="formal"),
    "hasty": Habits(words=(9, 19), greets=0.15, closes=0.12, details=0.25),
    "clumsy": Habits(words=(9, 19), greets=0.25, closes=0.25, details=0.3),
}


def compose(
    customer: Customer, topic: Topic, kind: Kind, *, follow_up: bool, split: Split, rng: random.Random
) -> str | None:
    """One message, or None where the draw came out too short or too long and another should be made."""
    speaker = Speaker(rng, split, SLOTS, customer.slots)
    if kind == "scam":
        text = " ".join(_scam(speaker, topic, rng))
    else:
        sentences = _body(speaker, customer, topic, follow_up=follow_up and kind == "safe", rng=rng)
        if kind == "abusive":
            sentences = _with_hostility(speaker, sentences, rng)
        else:
            sentences = _with_courtesy(speaker, customer, sentences, rng)
        text = restyle(sentences, customer.register, rng)
    return text if MIN_WORDS <= len(text.split()) <= MAX_WORDS else None


def _body(speaker: Speaker, customer: Customer, topic: Topic, *, follow_up: bool, rng: random.Random) -> list[str]:
    """The concern, with as many circumstances and requests as the register's length asks for."""
    habits = HABITS[customer.register]
    concern = speaker.sentence(topic.hints if rng.random() < HINT_SHARE else topic.says)
    suits_opening = concern.startswith(_STATEMENT_STARTS) and concern.endswith(".")
    if habits.manner == "formal" and suits_opening and rng.random() < 0.4:
        concern = f"{rng.choice(everyday.FORMAL_OPENINGS)} {lower_first(concern)}"
    before: list[str] = []
    after: list[str] = []
    if follow_up and rng.random() < 0.4:
        before.append(speaker.phrase(everyday.FOLLOW_UPS))
    if rng.random() < MENTION_SHARE:
        other = rng.choice([elsewhere for elsewhere in TOPICS if elsewhere is not topic])
        remark = speaker.sentence(other.mentions)
        start = rng.choice(everyday.ASIDE_STARTS)
        (before if not start and rng.random() < 0.4 else after).append(
            start + (lower_first(remark) if start else remark)
        )
    if rng.random() < habits.details:
        after.append(speaker.phrase(everyday.DETAILS))

    target = rng.randint(*habits.words)
    lists = rng.sample((topic.tells, topic.asks, topic.tells, everyday.FEELINGS, topic.asks), k=5)
    middle = [concern]
    for phrases in lists:
        if _length([*before, *middle, *after]) + 4 > target:
            break
        sentence = speaker.phrase(phrases) if phrases is everyday.FEELINGS else speaker.sentence(phrases)
        if phrases is topic.asks:
            after.insert(0, sentence)
        elif rng.random() < 0.15:
            middle.insert(0, sentence)
        else:
            middle.append(sentence)
    return [*before, *middle, *after]


def _with_courtesy(speaker: Speaker, customer: Customer, sentences: list[str], rng: random.Random) -> list[str]:
    habits = HABITS[customer.register]
    if rng.random() < habits.greets:
        greeting = speaker.phrase(everyday.GREETINGS[habits.manner])
        first = lower_first(sentences[0]) if greeting.endswith(",") else sentences[0]
        sentences = [greeting, first, *sentences[1:]]
    closings = everyday.CLOSINGS[habits.manner]
    if any(customer.name in sentence for sentence in sentences):
        closings = tuple(closing for closing in closings if "{name}" not in closing)
    if closings and rng.random() < habits.closes:
        sentences = [*sentences, speaker.phrase(closings)]
    return sentences


def _with_hostility(speaker: Speaker, sentences: list[str], rng: random.Random) -> list[str]:
    """Abuse or a threat, somewhere among the sentences; the concern itself stays recognisable."""
    outbursts = [speaker.sentence(rng.choice((hostile.ABUSE, hostile.ABUSE, hostile.THREATS)))]
    if rng.random() < 0.25:
        outbursts.append(speaker.sentence(hostile.THREATS))
    for outburst in outbursts:
        place = rng.choice((0, len(sentences), len(sentences), rng.randint(0, len(sentences))))
        sentences = [*sentences[:place], _louder(outburst, rng), *sentences[place:]]
    return sentences


def _louder(sentence: str, rng: random.Random) -> str:
    if sentence.endswith(".") and rng.random() < 0.4:
        sentence = sentence[:-1] + "!"
    return sentence.upper() if rng.random() < 0.08 else sentence


def _scam(speaker: Speaker, topic: Topic, rng: random.Random) -> list[str]:
    """Scams are written by strangers, so they carry no detail of a customer and no register."""
    sentences = [speaker.sentence(topic.scams)]
    if rng.random() < 0.6:
        greeting = speaker.phrase(hostile.SCAM_GREETINGS)
        if greeting.endswith(","):
            sentences[0] = lower_first(sentences[0])
        sentences.insert(0, greeting)
    for _ in range(rng.choice((0, 1, 1, 2))):
        sentences.append(speaker.phrase(hostile.SCAM_PRESSURE))
    return sentences


def _length(sentences: list[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)
