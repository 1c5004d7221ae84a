"""Plain-text headers of attributes in front of documents: conditional pre-training without any label.

Fine-tuning puts a record's labels before its text (`topic: card lost, safety: safe`). A base model that has never seen
such a line must be taught by DP-SGD what it is for, which spends budget on form. So a share of the public documents
begins with one: a few salient words that the document itself holds, under names as labels have them, sometimes its
register or its length. What a header says is true of the text that follows, and that is what the model learns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from dpsynth_assets.language.pretraining.recipe import REGISTERS

NAMES = ("topic", "topic", "label", "subject", "category", "about")
_WORD = re.compile(r"[A-Za-z][a-z]{2,}")
_LEAST_DOCUMENTS = 12  # rarer words are names and misspellings
_COMMON = 0.02  # words in a larger share of the documents say nothing about one


class Headers:
    """Makes headers; knows how many of a sample of documents hold each word."""

    def __init__(self, sample: Iterable[str]) -> None:
        self._holding: Counter[str] = Counter()
        documents = 0
        for text in sample:
            documents += 1
            self._holding.update(set(_words(text)))
        self._most = max(_LEAST_DOCUMENTS, _COMMON * documents)

    def header(self, text: str, source: str, rng: np.random.Generator) -> str:
        """A line such as `topic: refund flight, length: short`; empty where the text has no salient word."""
        found = list(dict.fromkeys(_words(text)))
        salient = [word for word in found if _LEAST_DOCUMENTS <= self._holding[word] <= self._most]
        if not salient:
            return ""
        chosen = rng.permutation(len(salient))[: rng.integers(1, 4)]
        attributes = [f"{NAMES[rng.integers(len(NAMES))]}: {' '.join(salient[i] for i in chosen)}"]
        if rng.random() < 0.3:
            attributes.append(f"register: {REGISTERS.get(source, 'other')}")
        if rng.random() < 0.3:
            attributes.append(f"length: {'short' if len(text) < 120 else 'medium' if len(text) < 350 else 'long'}")
        return ", ".join(attributes) + "\n"


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
