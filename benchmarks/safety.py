"""Safety classifiers by epsilon: trained on synthetic rows, beside the same student on real rows, with DP and without.

    python -m benchmarks.safety contracts/toxic_comments.odcs.yaml --source ../shared/data/toxic_comments.parquet \
        --epsilon 3 8 --out safety

The whole way is taken for each epsilon, from the snapshot to the exported folder and its evaluation on the public test
split. The synthetic table and the baseline get that epsilon each. Homes are thrown away afterwards: all runs together
would be one large release about the same rows, which only a *public* source can stand. Prints the tables; `--out` gets
figures, plots and the exported folders.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.public_source import public_contract
from dpsynth_assets.classify.results import FIGURES
from dpsynth_assets.cli.own_home import made_in
from dpsynth_assets.contract import Contract
from dpsynth_assets.contract.variants import VariantMethod, Variants
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.classifiers import ClassifierTerms
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.registry import planned_names
from dpsynth_assets.safety.figures import table
from dpsynth_assets.variants import variant

FREE = ("candidates", "corpus", "synthetic", "safety_classifier", "safety_evaluation")


def at_epsilon(contract: Contract, epsilon: float) -> Contract:
    """The contract with so much for the synthetic table, and as much again for the baseline."""
    terms, adapter = contract.privacy, contract.privacy.releases[ADAPTER]
    alone = Variants(
        methods=(VariantMethod(method=adapter.method, learning_rate=adapter.learning_rate),), epsilons=(epsilon,)
    )
    budget = terms.budget.model_copy(update={"epsilon": terms.budget.epsilon + 3 * epsilon})
    declared = replace(contract, privacy=terms.model_copy(update={"variants": alone, "budget": budget}))
    made = variant(declared, f"{adapter.method}-{epsilon:g}")
    baseline = ClassifierTerms(
        classifier="minilm",
        epsilon=epsilon,
        expected_batch_size=min(2_048, terms.unit.public_count // 5),
        steps=100,
        learning_rate=0.1,
    )
    releases = made.privacy.releases.but(DP_BASELINE, baseline)
    return replace(made, privacy=made.privacy.model_copy(update={"releases": releases}))


def run(contract: Contract, source: str | None, size: float | None, out: Path | None) -> str:
    """Everything once, in a home of its own; the results as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        store = made_in(Path(folder), contract, (*planned_names(contract), *FREE), source=source, size=size)
        evaluation = store.latest(contract.id, "safety_evaluation")
        synthetic = store.latest(contract.id, "synthetic")
        results = json.loads((evaluation.folder / FIGURES).read_text(encoding="utf-8"))
        if out is not None:
            shutil.copytree(evaluation.folder, out / "evaluation", dirs_exist_ok=True)
            shutil.copytree(store.latest(contract.id, "safety_classifier").folder, out / "exported", dirs_exist_ok=True)
        lines = [f"Synthetic table: epsilon {synthetic.receipt['about']['epsilon']:.3f}", "", table(results), ""]
        for result in (each for each in results if "latency" in each):
            lines.append(
                f"{result['classifier']}: {result['bytes'] / 1e6:.2f} MB, {result['latency']['median_ms']:.2f} ms a "
                f"text on one core (median; 95 %: {result['latency']['p95_ms']:.2f} ms), decides as torch does on "
                f"{result['parity']['agreement']:.2%} of {result['parity']['texts']:,} texts"
            )
            for suite in result["functional_tests"]:
                lines.append(
                    f"  {suite['suite']}: {suite['harmless_passed']:.0%} of harmless texts not blocked, "
                    f"{suite['harmful_caught']:.0%} of harmful ones blocked or sent to review"
                )
        return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contract", type=Path)
    parser.add_argument("--source", help="another copy of the source")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[3.0, 8.0])
    parser.add_argument("--size", type=float, help="share of the units, for a quick pass")
    parser.add_argument("--out", type=Path, help="a folder for figures, plots and exported classifiers")
    chosen = parser.parse_args()
    contract = public_contract(chosen.contract)
    if contract.privacy.safety_classifier is None:
        sys.exit(f"{contract.id} has no terms `safety_classifier`")
    for epsilon in chosen.epsilon:
        out = chosen.out / f"epsilon_{epsilon:g}" if chosen.out else None
        print(f"## epsilon {epsilon:g}\n\n{run(at_epsilon(contract, epsilon), chosen.source, chosen.size, out)}\n")


if __name__ == "__main__":
    main()
