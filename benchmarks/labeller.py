"""Which settings suit a DP-trained head at which epsilon: accuracy on rows set aside from the train split.

    python -m benchmarks.labeller contracts/ag_news.odcs.yaml --source ../shared/data/ag_news.parquet \
        --epsilon 0.5 0.7 1 3 --try 1024:100:0.1 2048:100:0.1 2048:200:0.05:0.3

Answers what a labeller with part of a price costs in accuracy, beside a head with all of it. Each run trains through
the engine, with fresh batches and noise, and touches no ledger: *public* sources only. The test split is never read.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.public_source import public_contract, rows_of
from dpsynth_assets.classify.dp_plan import DpClassifierPlan
from dpsynth_assets.classify.dp_training import train_with_dp
from dpsynth_assets.classify.encoder import Remembered
from dpsynth_assets.classify.evaluation import evaluate
from dpsynth_assets.classify.recipes import load_classifier
from dpsynth_assets.classify.vectors import kept_in, public_encoder
from dpsynth_assets.markdown import row, table
from dpsynth_assets.releases.classifiers import ClassifierTerms

if TYPE_CHECKING:
    import pandas as pd


def accuracy(plan: DpClassifierPlan, train: pd.DataFrame, rest: pd.DataFrame, encoder: Remembered) -> float:
    """One run, judged by the rows set aside."""
    with tempfile.TemporaryDirectory() as folder:
        train_with_dp(plan, [train], Path(folder) / "head", encoder=encoder)
        head = load_classifier(Path(folder) / "head", encoder)
        return float(evaluate(head, rest["text"].tolist(), rest[plan.target].tolist())["accuracy"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contract", type=Path)
    parser.add_argument("--source", help="another copy of the source")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--try", dest="tried", nargs="+", required=True, metavar="BATCH:STEPS:RATE[:CLIP]")
    parser.add_argument("--aside", type=int, default=3_000, help="rows of the train split that judge")
    parser.add_argument("--runs", type=int, default=5, help="of each setting: noise and batches are fresh")
    parser.add_argument("--vectors", type=Path, help="a folder that keeps the encoder's vectors for the next time")
    chosen = parser.parse_args()
    with kept_in(chosen.vectors.absolute()) if chosen.vectors else nullcontext():
        compare(chosen)


def compare(chosen: argparse.Namespace) -> None:
    """Each setting at each epsilon, a line of a table."""
    contract = public_contract(chosen.contract, chosen.source)
    rows = rows_of(contract).sample(frac=1.0, random_state=0)
    rest, train = rows.head(chosen.aside), rows.iloc[chosen.aside :]
    unit = contract.privacy.unit.model_copy(update={"public_count": len(train)})
    contract = replace(contract, privacy=contract.privacy.model_copy(update={"unit": unit}))
    encoder = Remembered(public_encoder(contract.privacy.text.max_tokens))
    print(f"{len(train)} rows to train on, {len(rest)} set aside")
    settings = ["epsilon", "batch", "steps", "rate", "clip", "noise multiplier"]
    print(table([*settings, "accuracy, mean", "from", "to"], []), flush=True)
    for epsilon in chosen.epsilon:
        for setting in chosen.tried:
            batch, steps, rate, *clip = setting.split(":")
            release = ClassifierTerms(
                classifier="minilm",
                epsilon=epsilon,
                expected_batch_size=int(batch),
                steps=int(steps),
                learning_rate=float(rate),
                clipping_norm=float(clip[0] if clip else 1),
            )
            plan = DpClassifierPlan.of(contract, release)
            found = [accuracy(plan, train, rest, encoder) for _ in range(chosen.runs)]
            noise = f"{plan.mechanism.noise_multiplier:.2f}"
            accuracies = (f"{each:.2%}" for each in (statistics.mean(found), min(found), max(found)))
            cells = [f"{epsilon:g}", batch, steps, rate, f"{release.clipping_norm:g}", noise, *accuracies]
            print(row(cells), flush=True)


if __name__ == "__main__":
    main()
