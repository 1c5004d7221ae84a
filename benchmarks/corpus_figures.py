"""What each figure of a corpus says: of another sample of the same public texts, and of samples that were spoilt.

    python -m benchmarks.corpus_figures --source ../shared/data/ag_news.parquet --rows 1000

The reference is a sample of a public labelled file's train split. Beside it stand a sample that shares no row with it,
which is as good as a corpus can be, and that sample with one thing wrong at a time. No figure that a contract can
name is left out.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from dpsynth_assets import markdown
from dpsynth_assets.classify.encoder import MiniLM
from dpsynth_assets.contract.expectations import FIGURES
from dpsynth_assets.language.base_model import load_base_model
from dpsynth_assets.quality.metrics.materials import Materials
from dpsynth_assets.quality.metrics.measuring import measure
from dpsynth_assets.quality.metrics.perplexity import perplexity

_MAX_TOKENS = 64


def corpora(good: pd.DataFrame, reference: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and rows; each of the spoilt ones has as many rows as the good one."""
    rng = random.Random(0)
    words = [word for text in good["text"] for word in text.split()]
    yield "another sample", good
    yield "one label only", _repeated(good[good["label"] == good["label"].iloc[0]], len(good))
    yield "100 texts, repeated", _repeated(good.head(100), len(good))
    yield "first half of each text", good.assign(text=[_half(text) for text in good["text"]])
    yield "words in another order", good.assign(text=[_shuffled(text, rng) for text in good["text"]])
    yield "words drawn one by one", good.assign(text=[" ".join(rng.choices(words, k=30)) for _ in range(len(good))])
    yield "the reference itself", reference


def _repeated(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    return pd.concat([frame] * (rows // len(frame) + 1), ignore_index=True).head(rows)


def _half(text: str) -> str:
    words = text.split()
    return " ".join(words[: len(words) // 2])


def _shuffled(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join(rng.sample(words, len(words)))


def figures(
    frame: pd.DataFrame, reference: pd.DataFrame, encoder: Any, base: tuple[Any, Any]
) -> dict[str, tuple[float, float]]:
    """By name, each figure and how many seconds it took; embedding counts for the one that asks first."""

    def encode(texts: Sequence[str], of: str | None) -> Any:
        return encoder.encode(texts)

    materials = Materials(
        frame, "text", {"test_split": reference}, encode, lambda texts: perplexity(*base, texts, _MAX_TOKENS)
    )
    found = {}
    for expectation, figure in FIGURES.items():
        name = expectation.removeprefix("expect_column_").removesuffix("_to_be_between")
        column = "label" if name == "label_distance" else "text"
        begun = time.perf_counter()
        value = measure(figure, materials, column, **({"reference": "test_split"} if figure.compares else {}))
        found[name] = value, time.perf_counter() - begun
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--source", required=True, help="a public Parquet file with text, label and split")
    arguments.add_argument("--rows", type=int, default=1_000)
    given = arguments.parse_args()
    table = pd.read_parquet(given.source)
    rows = table[table["split"] == "train"].sample(2 * given.rows, random_state=0).reset_index(drop=True)
    good, reference = rows.head(given.rows), rows.tail(given.rows).reset_index(drop=True)
    encoder, base = MiniLM(), load_base_model("embedded")
    columns = {name: figures(frame, reference, encoder, base) for name, frame in corpora(good, reference)}
    lines = [
        [name, *(f"{column[name][0]:.3g}" for column in columns.values()), f"{seconds:.1f}"]
        for name, (_, seconds) in next(iter(columns.values())).items()
    ]
    print(markdown.table(["figure", *columns, "seconds"], lines, "lr"))


if __name__ == "__main__":
    main()
