"""Shapes of text that should not stand in a published corpus: card numbers, IBANs, e-mail addresses, phone numbers.

These are look-alike detectors for the quality gate. They are no privacy mechanism: the guarantee comes from training,
and a text that none of them matches may still describe a person. A generator also invents look-alikes, which is why the
gate counts them against a threshold instead of demanding none. Card numbers and IBANs must satisfy their checksum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

# Lookaheads, so that overlapping candidates are all seen: the digits before a card number must not hide it.
_CARD = re.compile(
    r"(?<!\d)(?=("
    r"\d{4}([ -]?)\d{4}\2\d{4}\2\d{4}(?:\2\d{1,3})?"  # 4-4-4-4, and the 19 digits of some debit cards
    r"|3\d{3}[ -]?\d{6}[ -]?\d{4,5}"  # 4-6-5 and 4-6-4
    r"|\d{13,19}"
    r")(?!\d))"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30})(?![A-Za-z0-9]))")
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
_PHONE = re.compile(
    r"(?<![\d+])(?:"
    r"\+\d{1,3}(?:[ ().-]{0,3}\d){7,12}"  # +49 30 1234 5678
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}"  # (555) 123-4567
    r"|\d{3}[ .-]\d{3}[ .-]\d{4}"  # 555-123-4567
    r"|0\d{2,5}[ /-]\d{3,4}[ -]?\d{3,6}"  # 020 7946 0958
    r"|0\d{9,10}"
    r")(?!\d)"
)


def luhn_valid(digits: str) -> bool:
    """The checksum of payment card numbers; one random number in ten satisfies it."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_valid(text: str) -> bool:
    """The checksum of IBANs (ISO 7064, modulo 97); one random candidate in ninety-seven satisfies it."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(letter, 36)) for letter in compact[4:] + compact[:4])) % 97 == 1


def has_card_number(text: str) -> bool:
    """Whether the text holds 13 to 19 digits that pass the Luhn check and start as payment cards do (2 to 6)."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group(1))
        if digits[0] in "23456" and len(set(digits)) > 1 and luhn_valid(digits):
            return True
    return False


def has_iban(text: str) -> bool:
    """Whether the text holds an IBAN with a valid checksum, in groups or in one piece."""
    for match in _IBAN.finditer(text):
        # The candidate may run into a following capitalised word or number, so its shorter prefixes count too.
        pieces = match.group(1).split(" ")
        if any(iban_valid(" ".join(pieces[:end])) for end in range(1, len(pieces) + 1)):
            return True
    return False


def has_email(text: str) -> bool:
    """Whether the text holds an e-mail address."""
    return _EMAIL.search(text) is not None


def has_phone(text: str) -> bool:
    """Whether the text holds a phone number in a common international, North American or trunk-prefix form."""
    return _PHONE.search(text) is not None


DETECTORS: dict[str, Callable[[str], bool]] = {
    "card_number": has_card_number,
    "iban": has_iban,
    "email": has_email,
    "phone": has_phone,
}


def contains_any(text: str, patterns: Iterable[str]) -> bool:
    """Whether one of the named detectors matches."""
    return any(DETECTORS[name](text) for name in patterns)
