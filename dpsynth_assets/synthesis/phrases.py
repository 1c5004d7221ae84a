"""The phrases of a text: words, or two or three of one sentence. A function of that text and of public constants alone.

Words are runs of letters with their marks, in small letters and in one form of Unicode; the commonest English ones, and
those of one or two letters, are no phrases. A language that writes without blanks has a whole sentence for a word here,
too long to be counted. Knows no other text, no label and no noise.

Whatever a text holds, it takes no more than its first thousand words, each of which is short before it is looked at: a
record that costs much more than others would show.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Collection
from itertools import combinations, islice

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from dpsynth_assets.folding import WORD, folded
from dpsynth_assets.releases.key_phrases import LONGEST

BETWEEN = " "  # of the words of a phrase

# Words of that list which say what a text is about.
_TELLING = frozenset(
    {"amount", "bill", "bottom", "call", "cry", "detail", "empty", "fire", "front", "interest", "mill", "serious"}
    | {"sincere", "system", "thick", "thin"}
)
_COMMONEST = ENGLISH_STOP_WORDS - _TELLING | {"don", "doesn", "didn", "isn", "wasn", "won", "let"}
_SENTENCE = re.compile(r"[.!?\n。！？]+")
_SHORTEST = 3  # letters
_LONGEST_RAW = 4 * LONGEST  # letters of a word as it stands; what is longer stays longer than a phrase
_MOST_WORDS = 1_000  # of a text, from its beginning
_MOST_OF_A_SENTENCE = 30  # that are combined: three of them in 4,060 ways


def phrases_of(text: str, words: int, each: int, without: Collection[str] = ()) -> tuple[str, ...]:
    """At most `each` phrases of a text, in the order of the alphabet.

    Where it has more, some are drawn, by chance that only the text decides, so that whoever else there is changes
    nothing. All have the same chance: the rarest of a text are mostly nobody else's, the commonest say little.

    Args:
        words: 1, 2 or 3. Words of a sentence are one phrase in whichever order they stand.
        without: words that are no phrases, in small letters; nor are they before an apostrophe, as in `smith's`.
    """
    left_out = {plain(word) for word in without}
    found: set[str] = set()
    left = _MOST_WORDS
    for sentence in _SENTENCE.split(text):
        said = [match.group() for match in islice(WORD.finditer(sentence), left)]
        left -= len(said)
        telling = sorted({word for word in map(plain, said) if _tells(word) and not {word, _of(word)} & left_out})
        found.update(map(BETWEEN.join, combinations(telling if words == 1 else telling[:_MOST_OF_A_SENTENCE], words)))
        if not left:
            break
    fit = sorted(phrase for phrase in found if len(phrase.encode()) <= LONGEST)
    if len(fit) <= each:
        return tuple(fit)
    own = random.Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return tuple(sorted(own.sample(fit, each)))


def plain(word: str) -> str:
    """A word in small letters and in one form of Unicode (NFKC_Casefold); nothing of one that is too long."""
    return "" if len(word) > _LONGEST_RAW else folded(word)


def _tells(word: str) -> bool:
    """Whether a word may be a phrase: what Unicode makes several words of is none."""
    if len(word) < _SHORTEST or len(word.encode()) > LONGEST or not WORD.fullmatch(word):
        return False
    return _of(word) not in _COMMONEST


def _of(word: str) -> str:
    """What stands before a word's apostrophe: `smith` of `smith's`, `don` of `don't`."""
    return word.partition("'")[0]
