"""What two copies of one text have in common, whatever programs did to them on their way: their letters and digits.

Blanks, capitals, accents, punctuation and marks that nobody sees are left out, and other forms of a letter are the
letter (Unicode's NFKD, Unicode Standard Annex 15): a file that went through another system is known again, and one in
which somebody hid a mark in each text. Letters of another alphabet that only look alike are other letters.
"""

from __future__ import annotations

import re
import unicodedata

_REST = re.compile(r"[\W_\u115f\u1160\u3164\uffa0]+")  # the last four are letters that are drawn as nothing


def letters_of(text: str) -> str:
    """By which texts are compared; of a text without any letter or digit, all but its blanks."""
    plain = text if text.isascii() else unicodedata.normalize("NFKD", text)
    plain = plain.casefold() if text.isascii() else unicodedata.normalize("NFKD", plain.casefold())
    return _REST.sub("", plain) or "".join(text.split())
