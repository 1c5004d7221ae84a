"""What a stored value is as text: one spelling for each value of a declared type.

Everything that is later compared (ids, labels, blocks, row filters) is compared in this spelling, so that `5` and `5.0`
are one person and `07` is another one than `7` only where ids are declared as text. The type is what the contract
declares, never what other values look like: each value is spelled by itself, and what cannot be spelled is missing.

No spelling is longer than `LONGEST`, so that no record can make what is done with all of them fail or run out of memory
by its length. The bound is one for all contracts: by their texts the records of one are known again in another.

Knows no file format and no contract.
"""

from __future__ import annotations

import re
from decimal import Decimal

TEXT = "text"  # the text itself: a number is no text
STRING = "string"
INTEGER, NUMBER, BOOLEAN = "integer", "number", "boolean"

LONGEST = 2**20  # bytes: 256 for each of the 4,096 tokens that a contract's texts may be cut to
_DIGITS = 100  # of a whole number; longer ones are no ids
_NUMBER = re.compile(rf"[+-]?[0-9]{{1,{_DIGITS}}}(?:\.[0-9]{{0,{_DIGITS}}})?(?:[eE][+-]?[0-9]{{1,3}})?", re.ASCII)
_TRUTH = {"0": "false", "1": "true"}


def spelled(value: object, kind: str) -> str | None:
    """The one spelling of a value of a declared type; None for what is missing or no such value.

    Args:
        value: as a format stores it: text, a number, a truth value, or anything else.
        kind: `text` takes text only, and cuts it to `LONGEST`. `string` takes text as it is, unless it is longer, and
            whole numbers in digits. `integer` and `number` take whole numbers (7, 7.0), text that spells one (007, 7.0,
            7e0), and truth values as 1 and 0. `boolean` takes truth values, the words true and false, and 1 and 0. Any
            other is taken for `string`.
    """
    if isinstance(value, str):
        if kind in (INTEGER, NUMBER):
            return _whole_in(value)
        if kind == BOOLEAN:
            word = value.strip().lower()
            return word if word in _TRUTH.values() else _TRUTH.get(_whole_in(value) or "")
        return _bounded(value, kind) if _is_unicode(value) else None
    if kind == TEXT:
        return None
    if isinstance(value, bool):
        return {INTEGER: str(int(value)), NUMBER: str(int(value)), BOOLEAN: str(value).lower()}.get(kind)
    if isinstance(value, int | float | Decimal):
        digits = _whole(Decimal(value))
        return _TRUTH.get(digits or "") if kind == BOOLEAN else digits
    return None


def cut(stored: bytes) -> bytes:
    """The beginning of a text's bytes, up to `LONGEST`, that ends with a whole character."""
    end = LONGEST
    while LONGEST - 4 < end < len(stored) and stored[end] & 0xC0 == 0x80:  # within a character
        end -= 1
    return stored[:end]


def _bounded(text: str, kind: str) -> str | None:
    if 4 * len(text) <= LONGEST:  # a character has at most four bytes
        return text
    stored = text.encode()
    if len(stored) <= LONGEST:
        return text
    return cut(stored).decode() if kind == TEXT else None


def _whole_in(text: str) -> str | None:
    text = text.strip()
    return _whole(Decimal(text)) if _NUMBER.fullmatch(text) else None


def _whole(number: Decimal) -> str | None:
    """The digits of a whole number; None for any other."""
    if not number.is_finite() or number.adjusted() >= _DIGITS:
        return None
    return str(int(number)) if number == int(number) else None


def _is_unicode(text: str) -> bool:
    """Whether text can be stored: one with half a surrogate pair, or with bytes that were no UTF-8, cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
