"""What of a drawn text is fit to be published: public rules on the text alone, so they cost no budget.

What has an end that can be seen is cut clean: turn markers, stops, markup, a character of which a part is missing. A
text that goes wrong in its middle, since it loops, holds half a character or a blank to fill in, is drawn again; where
that was done often enough, it ends before that place. Knows no model and no tokenizer.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from dpsynth_assets.contract.prompt import TURN_MARKER
from dpsynth_assets.releases.key_phrases import KEY_PHRASES

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.synthesis import Generation

HALF = "\N{REPLACEMENT CHARACTER}"  # what decoding makes of bytes that are no character

# A text loops that says the same four words three times within sixty: six times one word, four times two, three times a
# sentence. Of real reviews and news that does not hold of 1 in 100 (`tests/language/test_hygiene.py` has what does).
_WORDS, _TIMES, _WITHIN = 4, 3, 60

# What a terminal or a browser obeys instead of showing it: control characters, and marks that turn the direction.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_WORD = re.compile(r"\w+")
_REFERENCE = re.compile(r"&(?:#\d{1,6}|#x[0-9a-fA-F]{1,5}|[a-zA-Z]{2,30});")
# A tag is white space, as a line's end is; one that the text's end cuts off says nothing.
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|</?[a-zA-Z][^<>]{0,40}$")
# Chat models write Markdown. Stars within a word ("f**k") or about a number ("**1/2 of ****") are the text's own.
_MARKDOWN = re.compile(
    r"^ {0,3}#{1,6} +|(?<![\w*])(?:\*\*|__)(?=[^\W\d_])|(?<=[^\W\d_.!?:])(?:\*\*|__)(?![\w*])", re.MULTILINE
)
_CODE = re.compile(r"`{1,3}([^`\n]{1,80})`{1,3}")
# "[Your Name]", "[Name of the Bank]": a form for somebody else to fill in. Its words begin with capitals.
_BLANK = re.compile(r"\[[A-Z][\w'’/.-]*(?: (?:[A-Z][\w'’/.-]*|of|or|and|the)){1,5}\]|\[Name\]")


def usable(text: str, terms: Generation, *, mended: bool = False) -> str:
    """A drawn text up to its first stop or turn marker, on one line, without markup; empty if it is to be drawn again.

    Turn markers are looked for before tags, some of which they resemble, and once more at the end: what is taken away
    may put one together that was in parts.

    Args:
        mended: a text that goes wrong is not drawn again and ends before that.
    """
    stops = [at for stop in terms.stop if (at := text.find(stop)) >= 0]
    text = _REFERENCE.sub(lambda found: html.unescape(found[0]), text[: min(stops, default=None)])
    text = _CONTROL.sub("", text)
    text = _before_turn(_CODE.sub(r"\1", _MARKDOWN.sub("", text)))
    text = _before_turn(" ".join(_TAG.sub(" ", text).rstrip(HALF).split()))
    wrong = goes_wrong_at(text)
    if wrong is not None:
        text = text[:wrong].rstrip(" ,;:-") if mended else ""
    return text if len(text) >= terms.min_characters else ""


def shown_texts(contract: Contract) -> frozenset[str]:
    """The owner's own texts that a writer is shown, as they would be published: what repeats one is no drawn text."""
    phrases = contract.privacy.releases.get(KEY_PHRASES)
    shown = phrases.demonstrations if phrases else ()
    return frozenset(usable(each.text, contract.privacy.generation, mended=True) for each in shown)


def _before_turn(text: str) -> str:
    marker = TURN_MARKER.search(text)
    return text[: marker.start()].rstrip() if marker else text


def goes_wrong_at(text: str) -> int | None:
    """Where a text begins to loop, or holds half a character or a blank to fill in, whichever comes first; None if it
    is sound."""
    blank = _BLANK.search(text)
    places = [at for at in (loops_at(text), text.find(HALF), blank and blank.start()) if at is not None and at >= 0]
    return min(places, default=None)


def loops_at(text: str) -> int | None:
    """Where a text begins to say again what it goes on to say a third time; None if it does not.

    Words are what stands between blanks and punctuation, so a script without blanks is compared clause by clause.
    """
    words = [(found[0].casefold(), found.start()) for found in _WORD.finditer(text)]
    said: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place in range(len(words) - _WORDS + 1):
        places = said[tuple(word for word, _ in words[place : place + _WORDS])]
        places.append(place)
        if len(places) >= _TIMES and place + _WORDS - places[-_TIMES] <= _WITHIN:
            return words[places[1 - _TIMES]][1]
    return None
