"""Whether what names a column reads like a value of a record: then a source without a header may have lent its first.

A file's first row is taken for the names of its columns. Where it is a record, one person's words get into the
contract, SQL and the ledger, which forgets nothing. Looks at a name alone, knows no rows, and cannot know all: a name
or a single word of somebody reads like any column's. So what is found is a doubt, for somebody who may look. Years,
questions, and short numbers are common in headers and no doubt. Reasons never quote.
"""

from __future__ import annotations

import re

_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_SHORT_NUMBER = re.compile(r"[-/–]?\d{1,3}|\d{1,3}[-/–]\d{1,3}")
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.\w|https?://")
_TWO_SENTENCES = re.compile(r"[^\W\d_A-Z]{4,}[.!] +[^\W\d_a-z]\w+")
_IN_BRACKETS = re.compile(r"\([^()]*\)")
_MANY_DIGITS = 5  # but for years
_LONG, _LONG_QUESTION = 150, 300  # characters


def value_like(name: object) -> str | None:
    """In which respect a name, or a cell in place of one, reads like a value; None where it does not."""
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    if not isinstance(name, str | int) or isinstance(name, bool):
        return "a number or a date"
    plain = " ".join(str(name).split())
    if _ADDRESS.search(plain):
        return "an address"
    without_years = _YEAR.sub("", plain)
    digits = sum(map(str.isdigit, without_years))
    if digits >= _MANY_DIGITS:
        return "many digits"
    if digits and not any(map(str.isalpha, plain)) and not _SHORT_NUMBER.fullmatch(without_years):
        return "a number or a date"
    if len(plain) > (_LONG_QUESTION if "?" in plain else _LONG):
        return "a long text"
    return "a sentence" if _is_told(plain) else None


def _is_told(plain: str) -> bool:
    """Whether it is a statement, or several facts: headers ask, abbreviate and list single words."""
    words = [word for word in plain.split() if any(map(str.isalpha, word))]
    whole = [word for word in words[:-1] if not word.endswith(".")]  # others are abbreviations
    if (plain.endswith(".") and len(whole) >= 4) or (plain.endswith("!") and len(whole) >= 3):
        return True
    if len(words) >= 6 and _TWO_SENTENCES.search(plain):
        return True
    parts = _IN_BRACKETS.sub("", plain).split(", ")
    return len(parts) >= 3 and len(words) >= 2 * len(parts) and "?" not in plain
