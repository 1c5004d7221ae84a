"""Text of people, files and models as readers can see it: nothing in it is obeyed, hidden, or moved about.

Everything that is shown of such text passes here: the terminal (`dpsynth_assets.cli.console`), Markdown
(`dpsynth_assets.markdown`) and the reviewers' page (`ledger.report`). A terminal obeys an escape character, and a
bidirectional override makes a line read other than it is, in a terminal, a page and an editor alike.
"""

from __future__ import annotations

import re
import unicodedata

_OBEYED = frozenset(
    {"Cc", "Cf", "Cs", "Zl", "Zp"}
)  # controls, formats (bidirectional ones too), surrogates, separators
_JOINERS = "\u200c\u200d"  # of scripts and emoji; they move nothing but the two characters beside them
_OTHERS = re.compile(rf"[^ -~\n\t{_JOINERS}]")  # all but what most texts consist of


def visible(text: str) -> str:
    r"""The text with every character that a terminal obeys, or that reorders what is read, as its number.

    Line breaks and tabs stay. What comes out can be written in UTF-8, whatever came in.

    >>> print(visible("a\x1b[31mb\u202ec"))
    a\u001b[31mb\u202ec
    """
    return _OTHERS.sub(lambda found: _seen(found[0]), text)


def _seen(character: str) -> str:
    """Its number as JSON writes it, so that JSON stays JSON; itself where it is seen."""
    if unicodedata.category(character) not in _OBEYED:
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
