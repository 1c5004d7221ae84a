"""How often batches that are like the reference are called drifted, and what known differences come to.

    python -m benchmarks.drift --source ../shared/data/ag_news.parquet

The reference is a sample of a public labelled file's train split. Batches are samples of the rest of that split, where
whatever is found is chance, and of its test split, which need not be like it. No generator is between them. Then
batches of the test split with one thing wrong at a time.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable

import pandas as pd

from dpsynth_assets import markdown
from dpsynth_assets.classify.encoder import MiniLM
from dpsynth_assets.contract.monitoring import LABELS, LENGTHS, USUAL, VECTORS, WORDS
from dpsynth_assets.monitoring.comparison import Texts, compare, judge

LEVELS = (0.01, 0.1)
POOL = 3_000  # texts that batches are drawn from: few of two batches are the same
KEYS = ((LABELS, "label"), (LENGTHS, "text"), (WORDS, "text"), (VECTORS, "text"))
USUALLY = {key: USUAL[key[0]] for key in KEYS}


def side(rows: pd.DataFrame, encoder: MiniLM) -> Texts:
    texts = rows["text"].tolist()
    return Texts(texts, {"label": rows["label"].astype(str).tolist()}, encoder.encode(texts))


def part(whole: Texts, places: list[int]) -> Texts:
    assert whole.vectors is not None
    labels = {column: [values[place] for place in places] for column, values in whole.labels.items()}
    return Texts([whole.texts[place] for place in places], labels, whole.vectors[places])


def alarms(split: str, pool: Texts, reference: Texts, size: int, batches: int) -> list[list[str]]:
    """For each level how many batches are alarming, where nothing is allowed, and where what is usual is."""
    rng = random.Random(size)
    found = [
        compare(part(pool, rng.sample(range(len(pool.texts)), size)), reference, "text", LEVELS[0]).distances
        for _ in range(batches)
    ]
    lines = []
    for level in LEVELS:
        telling = [[key for key in KEYS if each[key].p_value <= level / len(KEYS)] for each in found]
        large = [
            [key for key in keys if each[key].size > USUALLY[key]] for keys, each in zip(telling, found, strict=True)
        ]
        counts = (f"{sum(map(bool, some))} of {batches}" for some in (telling, large))
        lines.append([split, str(size), f"{level:.0%}", *counts])
    return lines


def spoilt(rows: pd.DataFrame, size: int) -> dict[str, Callable[[], pd.DataFrame]]:
    """Batches with something wrong, by name."""
    label, good = rows["label"].iloc[0], rows.head(size)
    of_it, others = rows[rows["label"] == label], rows[rows["label"] != label]
    return {
        "as they are": lambda: good,
        "half of one label": lambda: pd.concat([of_it.head(size // 2), others.head(size - size // 2)]),
        "one label only": lambda: of_it.head(size),
        "labels at random": lambda: good.assign(label=good["label"].sample(frac=1, random_state=0).tolist()),
        "first half of each text": lambda: good.assign(text=[_half(text) for text in good["text"]]),
        "in capitals": lambda: good.assign(text=good["text"].str.upper()),
    }


def _half(text: str) -> str:
    words = text.split()
    return " ".join(words[: len(words) // 2])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--source", required=True, help="a public Parquet file with text, label and split")
    arguments.add_argument("--reference", type=int, default=1_000)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[50, 500])
    arguments.add_argument("--batches", type=int, default=100)
    given = arguments.parse_args()
    table = pd.read_parquet(given.source)
    train, test = (
        table[table["split"] == split].sample(count, random_state=0).reset_index(drop=True)
        for split, count in (("train", given.reference + POOL), ("test", POOL))
    )
    encoder = MiniLM(max_tokens=64)
    reference, rest = side(train.head(given.reference), encoder), side(train.tail(POOL), encoder)
    lines = [
        line
        for split, pool in (("train", rest), ("test", side(test, encoder)))
        for size in given.sizes
        for line in alarms(split, pool, reference, size, given.batches)
    ]
    names = ["batches of", "texts", "false_alarm", "drift, nothing allowed", "drift, as usual"]
    print(markdown.table(names, lines, "lrrrr"))
    rows = []
    for size in given.sizes:
        for name, make in spoilt(test, size).items():
            distances = compare(side(make(), encoder), reference, "text", LEVELS[0]).distances
            marks = {
                (each["expectation"], each["column"]): each["drifted"]
                for each in judge(distances, USUALLY, dict.fromkeys(KEYS, 0.0))
            }
            rows.append(
                [str(size), name, *(f"{distances[key].size:.2f}{' drift' if marks[key] else ''}" for key in KEYS)]
            )
    print(markdown.table(["texts", "batch", "labels", "lengths", "words", "meaning"], rows, "rlrrrr"))


if __name__ == "__main__":
    main()
