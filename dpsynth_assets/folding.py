"""One form of a word, whoever wrote it: so that words of rows, of released phrases and of drawn texts are compared."""

from __future__ import annotations

import unicodedata


def folded(text: str) -> str:
    """In small letters and one form of Unicode (NFKC_Casefold), with one kind of apostrophe; blanks and marks stay."""
    small = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return unicodedata.normalize("NFKC", small)
