"""Words and the buckets that they hash to. Needs the standard library only: the network's exported form uses it too.

A vocabulary read off the texts would be an output of them; a hash is public, and a device needs no word list.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

_WORD = re.compile(r"\w+|[^\w\s]")


def buckets_of(texts: Sequence[str], buckets: int, max_words: int) -> list[list[int]]:
    """The bucket of each word of each text, from 1 to `buckets` (0 fills up), at most `max_words` of them.

    A word is a run of letters and digits, or any other visible sign by itself, in lower case; its bucket is one more
    than its UTF-8 bytes' CRC-32 modulo `buckets`.
    """

    def bucket(word: str) -> int:
        return zlib.crc32(word.encode("utf-8", "surrogatepass")) % buckets + 1

    return [[bucket(word) for word in _WORD.findall(text.lower())[:max_words]] for text in texts]
