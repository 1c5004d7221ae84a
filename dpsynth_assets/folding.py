"""One form of a word, whoever wrote it: so that words of rows, of released phrases and of drawn texts are compared."""

from __future__ import annotations

import unicodedata

import regex

# A word is a run of letters with their marks; an apostrophe or a hyphen may stand within.
WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*(?:['’-]\p{L}[\p{L}\p{M}]*)*")


def folded(text: str) -> str:
    """In small letters and one form of Unicode (NFKC_Casefold), with one kind of apostrophe; blanks and marks stay."""
    small = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return unicodedata.normalize("NFKC", small)
