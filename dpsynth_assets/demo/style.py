"""How a person writes: rewriting rules that turn plain sentences into a register.

Applied to whole messages after composition. Personal details (anything with a capital inside a sentence, a digit or
an @) are never misspelled, so that a planted detail can be looked for verbatim, apart from case.
"""

from __future__ import annotations

import random
import re

from dpsynth_assets.demo.customers import Register
from dpsynth_assets.demo.phrases.everyday import SLOTS
from dpsynth_assets.demo.phrases.people import FIRST_NAMES

_CONTRACTIONS = [
    (re.compile(pattern), short)
    for pattern, short in (
        (r"(?<!here )\bI am\b(?! (and|or)\b)", "I'm"),
        (r"\b([Cc])an ?not\b", r"\1an't"),
        (r"\b(do|does|did|is|was|has|have|could|should|would)\b not\b", r"\1n't"),
        (r"\b(Do|Does|Did|Is|Was|Has|Have|Could|Should|Would)\b not\b", r"\1n't"),
        (r"\bwill not\b", "won't"),
        (
            r"\bI have (?=(been|had|lost|tried|never|already|changed|kept|done|moved|forgotten|checked|turned|come)\b)",
            "I've ",
        ),
        (r"\bI will\b", "I'll"),
        (r"\bI would\b", "I'd"),
        (r"\b([Ii])t is\b(?=\s\w)", r"\1t's"),
        (r"\b([Tt])hat is\b(?=\s\w)", r"\1hat's"),
        (r"\b([Tt])here is\b(?=\s\w)", r"\1here's"),
        (r"\bYou are\b", "You're"),
        (r"\byou are\b", "you're"),
        (r"\bWe are\b", "We're"),
    )
]

_TERSE = [
    (re.compile(pattern), short)
    for pattern, short in (
        (r"^I (have |think I |seem to have |must have )?(?=(lost|left|tried|dropped|forgot|got|sent|bought)\b)", ""),
        (r"^I (would like|want|wish|need|have) to (?=(ask|apply|report|borrow|change|reset|dispute)\b)", "Want to "),
        (r"^(Could|Can) you please (.*)\?$", r"Please \2."),
        (r"^(Could|Can) you (.*)\?$", r"Please \2."),
        (r"^There is (?=(a|an|no)\b)", ""),
        (r"^(It is|This is) ", ""),
        (r"\b(right away|at once)\b", "now"),
        (r"\bI have been (?=with you|a customer)", "Been "),
    )
]

_SHORTHAND = [
    (re.compile(pattern), short)
    for pattern, short in (
        (r"\bplease\b", "pls"),
        (r"\bthank you\b|\bthanks\b", "thx"),
        (r"\bare you\b", "are u"),
        (r"\bcan you\b", "can u"),
        (r"\bi'm\b", "im"),
        (r"n't\b", "nt"),
        (r"\bbecause\b", "cause"),
        (r"\btomorrow\b", "tmrw"),
    )
]

_FILLERS = (
    *("To be honest, ", "Well, ", "Anyway, ", "The thing is, ", "So, ", "Honestly, ", "You see, ", "Funny enough, "),
    *("Long story short: ", "As I said, ", "I guess ", "Just so you know, ", "Believe it or not, "),
)

_KEEP_CAPITAL = frozenset(
    {"I", "PIN", "IT", "P", *FIRST_NAMES}
    | {value.split()[0] for slot in ("day", "month", "town", "merchant") for value in SLOTS[slot]}
)

_MISSPELLED = {
    "account": "acount", "because": "becuase", "received": "recieved", "receive": "recieve", "statement": "statment",
    "payment": "payemnt", "the": "teh", "password": "pasword", "transfer": "transfere", "address": "adress",
    "believe": "beleive", "with": "wiht", "money": "mony", "charged": "chraged", "again": "agian", "their": "there",
    "your": "you're", "really": "realy", "tomorrow": "tommorow", "wrong": "worng", "month": "moth", "that": "taht",
}  # fmt: skip


def restyle(sentences: list[str], register: Register, rng: random.Random) -> str:
    """One message in a register, from its sentences in order."""
    if register != "formal" and rng.random() < (0.9 if register in ("chatty", "hasty") else 0.5):
        sentences = [_rewrite(sentence, _CONTRACTIONS) for sentence in sentences]
    if register == "terse":
        sentences = [_capital(_rewrite(sentence, _TERSE)) for sentence in sentences]
    elif register == "chatty":
        sentences = _with_filler(sentences, rng)
    text = " ".join(sentences)
    if register == "hasty":
        return _hasty(text, rng)
    if register == "clumsy":
        return _clumsy(text, rng)
    return text


def lower_first(sentence: str) -> str:
    """The sentence as it stands after an opening or a comma; "I", names and abbreviations keep their capital."""
    first = re.split(r"\W", sentence, maxsplit=1)[0]
    return sentence if first in _KEEP_CAPITAL else sentence[0].lower() + sentence[1:]


def _rewrite(text: str, rules: list[tuple[re.Pattern[str], str]]) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _with_filler(sentences: list[str], rng: random.Random) -> list[str]:
    """A filler before one sentence, but not before one that says who the writer is."""
    places = [
        place
        for place, sentence in enumerate(sentences)
        if re.match(r"(I|My|The|It|There|We|Nobody|Somebody|Someone)\b.*\.$", sentence)
        and not re.search(r"\d{4}|@|My name", sentence)
    ]
    if places and rng.random() < 0.6:
        place = rng.choice(places)
        filled = rng.choice(_FILLERS) + lower_first(sentences[place])
        return [*sentences[:place], filled, *sentences[place + 1 :]]
    return sentences


def _hasty(text: str, rng: random.Random) -> str:
    text = _rewrite(text.lower(), [rule for rule in _SHORTHAND if rng.random() < 0.6])
    if rng.random() < 0.5:
        text = re.sub(r"(?<=[a-z]{2})\. ", rng.choice((", ", " .. ")), text)
    return text.rstrip(".")


def _clumsy(text: str, rng: random.Random) -> str:
    tokens = text.split(" ")
    places = [place for place, token in enumerate(tokens) if re.fullmatch(r"[a-z]{3,}[.,?]?", token)]
    for place in rng.sample(places, k=min(len(places), rng.choice((1, 2, 2, 3)))):
        tokens[place] = _misspell(tokens[place], rng)
    text = " ".join(tokens)
    return text.replace("'", "") if rng.random() < 0.5 else text


def _misspell(token: str, rng: random.Random) -> str:
    word = token.rstrip(".,?")
    rest = token[len(word) :]
    if word in _MISSPELLED:
        return _MISSPELLED[word] + rest
    if len(word) < 5:
        return token
    place = rng.randrange(1, len(word) - 2)
    if rng.random() < 0.5:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :] + rest
    return word[:place] + word[place + 1 :] + rest
