"""The bar for synthetic data: classifiers trained on the real rows with DP-SGD, by epsilon, each with a fresh ledger.

    python -m benchmarks.baseline contracts/ag_news.odcs.yaml --source ../shared/data/ag_news.parquet \
        --classifier minilm --epsilon 0.5 1 3 10 --batch 1024 --steps 100 --rate 0.1

The whole way is taken: the source is snapshotted, the release `dp_baseline` passes the gate and is charged, and what it
left is judged on the declared public test split. Every epsilon and every run has a home of its own, thrown away
afterwards: all of them together would be one large release about the same rows, which only a *public* source, about
which nothing is promised, can stand.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.public_source import public_contract
from dpsynth_assets.classify.dp_plan import DpClassifierPlan
from dpsynth_assets.classify.evaluation import evaluate
from dpsynth_assets.classify.recipes import load_classifier
from dpsynth_assets.cli.own_home import made_in
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.public_rows import test_rows
from dpsynth_assets.markdown import row, table
from dpsynth_assets.releases.classifiers import CLASSIFIER, ClassifierTerms
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from resources.sensitive_store import SensitiveStore


def with_baseline(contract: Contract, release: ClassifierTerms) -> Contract:
    """The contract with this baseline, and room for it beside what it plans already."""
    terms = contract.privacy
    assert release.epsilon is not None
    budget = terms.budget.model_copy(update={"epsilon": terms.budget.epsilon + 2 * release.epsilon})
    releases = terms.releases.but(DP_BASELINE, release)
    return replace(contract, privacy=terms.model_copy(update={"budget": budget, "releases": releases}))


def accuracy(contract: Contract, source: str | None, size: float) -> float:
    """One release in a home of its own, judged on the public test split."""
    with tempfile.TemporaryDirectory() as folder:
        made = made_in(Path(folder), contract, (DP_BASELINE.name,), source=source, size=size)
        rows = test_rows(contract, SensitiveStore(home=folder))
        classifier = load_classifier(made.latest(contract.id, DP_BASELINE.name).folder / CLASSIFIER)
        labels = rows[contract.privacy.target].tolist()
        return float(evaluate(classifier, rows["text"].tolist(), labels)["accuracy"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contract", type=Path)
    parser.add_argument("--source", help="another copy of the source")
    parser.add_argument("--classifier", choices=["minilm", "word_cnn"], default="minilm")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--size", type=float, default=1.0, help="share of the units, for a quick pass")
    parser.add_argument("--runs", type=int, default=1, help="runs of each epsilon: noise and batches are fresh")
    chosen = parser.parse_args()
    contract = public_contract(chosen.contract)
    print(table(["epsilon", "noise multiplier", "accuracy, mean", "from", "to"], []), flush=True)
    for epsilon in chosen.epsilon:
        release = ClassifierTerms(
            classifier=chosen.classifier,
            epsilon=epsilon,
            expected_batch_size=chosen.batch,
            steps=chosen.steps,
            clipping_norm=chosen.clip,
            learning_rate=chosen.rate,
        )
        planned = with_baseline(contract, release)
        noise = DpClassifierPlan.of(
            planned, planned.privacy.releases[DP_BASELINE], chosen.size
        ).mechanism.noise_multiplier
        found = [accuracy(planned, chosen.source, chosen.size) for _ in range(chosen.runs)]
        accuracies = (f"{each:.2%}" for each in (statistics.mean(found), min(found), max(found)))
        print(row([f"{epsilon:g}", f"{noise:.2f}", *accuracies]), flush=True)


if __name__ == "__main__":
    main()
