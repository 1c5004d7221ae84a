"""What the figures of one check run are taken from: the synthetic rows, public references, an encoder, a base model.

Rows are given; what has to be computed from them is computed when a figure first asks, and kept for the others. Who
makes a `Materials` answers for it that corpus and references are synthetic or public: it cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dpsynth_assets.quality.metrics.words import MetricError, sample

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

TEXTS = 2_000
"""At most so many texts of each side are embedded or scored, the same ones every time: this bounds the time."""
SHOWN = 1_000
"""So many are embedded where no rule asks for vectors, and only the report shows figures of them."""


class Materials:
    """The two sides of a comparison. All frames have the synthetic table's columns.

    Args:
        synthetic: the corpus.
        text: the name of the text column.
        references: public rows by the name that rules give them.
        encode: sentence vectors, shape (texts, dimensions), of texts of the corpus (None) or of the reference named.
        score: the perplexity of texts under the base model.
        embedded: how many texts of each side are embedded at most.
    """

    def __init__(
        self,
        synthetic: pd.DataFrame,
        text: str,
        references: Mapping[str, pd.DataFrame] | None = None,
        encode: Callable[[Sequence[str], str | None], NDArray[Any]] | None = None,
        score: Callable[[Sequence[str]], float] | None = None,
        embedded: int = TEXTS,
    ) -> None:
        self.synthetic, self.text, self.references = synthetic, text, dict(references or {})
        self._encode, self._score, self._embedded = encode, score, embedded
        self._vectors: dict[str | None, NDArray[Any]] = {}

    def values(self, column: str, reference: str | None = None) -> list[str]:
        """A column of the corpus, or of the reference of that name, without missing values."""
        return [str(value) for value in self._frame(reference)[column].dropna()]

    def vectors(self, reference: str | None = None) -> NDArray[Any]:
        """Sentence vectors of at most `embedded` texts of the corpus or of a reference; each side is embedded once."""
        if reference not in self._vectors:
            if self._encode is None:
                raise MetricError("there is no encoder at hand")
            self._vectors[reference] = self._encode(
                sample(self.values(self.text, reference), self._embedded), reference
            )
        return self._vectors[reference]

    def perplexity(self) -> float:
        """The perplexity of at most `TEXTS` texts of the corpus under the base model."""
        if self._score is None:
            raise MetricError("there is no base model at hand")
        return self._score(sample(self.values(self.text), TEXTS))

    def _frame(self, reference: str | None) -> pd.DataFrame:
        if reference is None:
            return self.synthetic
        if reference not in self.references:
            raise MetricError(f"the reference {reference} is not at hand")
        return self.references[reference]
