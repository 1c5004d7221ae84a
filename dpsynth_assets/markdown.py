"""Text of people, files and models within Markdown: shown as it is, never as markup, a link or a picture."""

from __future__ import annotations

import re

_MEANT = re.compile(r"[\\`*\[\]|#~]|(?<!\w)_|_(?!\w)")  # an underscore within a word means nothing
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escaped(text: object) -> str:
    r"""The text on one line, with everything escaped by which Markdown or HTML would read more in it.

    >>> escaped("![x](https://example.org) | <b> card_lost")
    '!\\[x\\](https://example.org) \\| &lt;b&gt; card_lost'
    """
    return _MEANT.sub(lambda match: "\\" + match[0], " ".join(str(text).split())).translate(_ENTITIES)
