"""What each way of curating drawn texts is worth, at one epsilon of everything together.

    python -m benchmarks.curation contracts/ag_news.odcs.yaml --source ../shared/data/ag_news.parquet --epsilon 3 \
        --out curation

An adapter is trained for each home, through gate and ledger: one has the epsilon to itself (with the histogram), one
leaves `--labeller` of it to a labeller, one `--votes` of it to votes, and one both, so that all releases of each home
compose to the same. Texts are drawn once in each and curated in every way; classifiers of each corpus are judged on the
public test split. Repeated, it goes on where it was. Four adapters about the same rows are more than one: *public*
sources only.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dpsynth_assets.approval import planned_releases, sign
from dpsynth_assets.assets.candidates import CANDIDATES, proportions, rows_wanted
from dpsynth_assets.assets.common import releases_of
from dpsynth_assets.assets.dp_classifiers import CLASSIFIER
from dpsynth_assets.assets.label_histogram import released_counts
from dpsynth_assets.assets.votes import votes_on
from dpsynth_assets.classify.curation import CurationError, curate
from dpsynth_assets.classify.encoder import MiniLM, Remembered
from dpsynth_assets.classify.evaluation import evaluate
from dpsynth_assets.classify.recipes import RECIPES, load_classifier
from dpsynth_assets.classify.training_rows import Lesson
from dpsynth_assets.cli.running import materialize
from dpsynth_assets.contract import Contract, load_contract
from dpsynth_assets.contract.releases import ClassifierRelease, VotesRelease
from dpsynth_assets.contract.synthesis import Curation
from dpsynth_assets.privacy.apportionment import apportion
from ledger import Composed, Ledger
from ledger.accounting import epsilon as epsilon_of
from resources.artifact_store import ArtifactStore
from resources.home import Home
from resources.sensitive_store import SensitiveStore, test_rows

TAUGHT = "relabelled, the labeller's probabilities learned"
# With its own epsilon, and with what a labeller, votes, or both leave.
ALONE: dict[str, Curation] = {
    "as drawn": Curation(),
    "without near repetitions": Curation(near_duplicates=0.9),
    "as many of each label": Curation(proportions="even"),
}
LABELLED: dict[str, Curation] = {
    "as drawn, labeller unused": Curation(),
    "agreed": Curation(labels="agreed"),
    "relabelled": Curation(labels="relabelled"),
    "relabelled, surer than 0.7": Curation(labels="relabelled", confidence=0.7),
    "relabelled, without near repetitions": Curation(labels="relabelled", near_duplicates=0.9),
    "relabelled, as many of each label": Curation(labels="relabelled", proportions="even"),
    TAUGHT: Curation(labels="relabelled"),
}
VOTED: dict[str, Curation] = {
    "as drawn, votes unused": Curation(),
    "votes": Curation(proportions="votes"),
    "votes, without near repetitions": Curation(proportions="votes", near_duplicates=0.9),
}
BOTH: dict[str, Curation] = {
    "relabelled, votes": Curation(labels="relabelled", proportions="votes"),
    "relabelled, surer than 0.7, votes": Curation(labels="relabelled", confidence=0.7, proportions="votes"),
}


def within(contract: Contract, epsilon: float, labeller: float | None, votes: float | None, clusters: int) -> Contract:
    """The contract with the largest adapter release (to a hundredth) that composes to the epsilon with the others."""
    terms = contract.privacy
    ballot = votes and VotesRelease(mechanism="discrete_laplace_histogram", epsilon=votes, clusters=clusters)
    release = labeller and ClassifierRelease(
        classifier="minilm",
        epsilon=labeller,
        expected_batch_size=min(1_000, terms.unit.public_count // 10),
        steps=100,
        learning_rate=0.1,
    )
    budget = terms.budget.model_copy(update={"epsilon": 2 * epsilon})

    def at(share: float) -> Contract:
        adapter = terms.releases.adapter.model_copy(update={"epsilon": share, "share": None})
        planned = {"adapter": adapter, "labeller": release or None, "votes": ballot or None, "dp_baseline": None}
        releases = terms.releases.model_copy(update=planned)
        return replace(contract, privacy=terms.model_copy(update={"budget": budget, "releases": releases}))

    low, high = 1, round(100 * epsilon)
    while low < high:
        middle = (low + high + 1) // 2
        events = tuple(event for _, event in planned_releases(at(middle / 100)))
        low, high = (middle, high) if epsilon_of(Composed(events), budget.delta) <= epsilon else (low, middle - 1)
    return at(low / 100)


def released(contract: Contract, folder: Path, source: str | None, size: float | None) -> ArtifactStore:
    """The contract's releases in a home of their own, made unless they are there."""
    home = Home.at(str(folder))
    store = ArtifactStore(home=str(folder))
    wanted = [*releases_of(contract), "candidates"]
    if not home.ledger_file.exists():
        home.create()
        book = Ledger.create(home.ledger_file)
        for person in (contract.owners[0], contract.approvers[0]):
            sign(contract, book, actor=person, reason="a benchmark on a public source")
    missing = [name for name in wanted if store.find(contract.id, name) is None]
    if missing:
        outcome = materialize(contract, home, source=source, size=size, only=("source", *missing))
        if not outcome.success:
            sys.exit(f"a release failed: {outcome.failures}")
    return store


def lines(
    contract: Contract, folder: Path, arms: dict[str, Curation], chosen: argparse.Namespace, encoder: Remembered
) -> Iterator[str]:
    """A line of the table for each way of curating and kind of classifier."""
    store = released(contract, folder, chosen.source, chosen.size)
    terms, target = contract.privacy, contract.privacy.classifier.target
    test = test_rows(contract, SensitiveStore(home=str(folder)).latest(contract))
    counts = released_counts(store.latest(contract.id, "label_histogram"))
    rows = rows_wanted(contract, chosen.size or 1.0)
    candidates = store.latest(contract.id, "candidates")
    drawn = pd.read_parquet(candidates.folder / CANDIDATES)
    held = store.find(contract.id, "votes")
    votes = votes_on(contract, candidates, held) if held is not None else None
    judge = store.find(contract.id, "labeller")
    labeller = load_classifier(judge.folder / CLASSIFIER, encoder) if judge is not None else None
    for name, curation in arms.items():
        changed = replace(
            contract, privacy=terms.model_copy(update={"curation": curation.model_copy(update={"drawn": chosen.drawn})})
        )
        wanted = apportion(proportions(curation, counts), rows)
        try:
            curated = curate(changed, drawn, wanted, labeller=labeller, encoder=encoder, votes=votes)
        except CurationError as error:
            yield f"| {name} | cannot: {error} | | | | | | |"
            continue
        texts, labels = curated.frame[terms.text.column].tolist(), curated.frame[target].tolist()
        taught = labeller.predict_proba(texts) if labeller is not None and name == TAUGHT else None
        lesson = Lesson(texts, labels, terms.classes, targets=taught)
        for kind in chosen.kinds:
            found = []
            for seed in range(chosen.seeds):
                trained = RECIPES[kind].train(lesson, seed, encoder=encoder)
                found.append(float(evaluate(trained, test["text"].tolist(), test[target].tolist())["accuracy"]))
            agree = curated.facts.get("labeller_agrees")
            yield (
                f"| {name} | {kind} | {terms.releases.adapter.epsilon:.2f} | {len(texts):,} | "
                f"{'' if agree is None else f'{agree:.1%}'} | {statistics.mean(found):.2%} | "
                f"{min(found):.2%} | {max(found):.2%} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contract", type=Path)
    parser.add_argument("--source", help="another copy of the source")
    parser.add_argument("--epsilon", type=float, default=3.0)
    parser.add_argument("--labeller", type=float, default=0.5, help="what of it the labeller gets")
    parser.add_argument("--votes", type=float, default=0.3, help="what of it votes get")
    parser.add_argument("--clusters", type=int, default=50, help="into how many clusters they divide the candidates")
    parser.add_argument("--drawn", type=float, default=2.0, help="texts drawn for each row that is wanted")
    parser.add_argument("--rows", type=int, help="of each corpus; the contract's number unless given")
    parser.add_argument("--kinds", nargs="+", choices=list(RECIPES), default=["minilm", "word_cnn"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=float, help="share of the units, for a quick pass")
    parser.add_argument("--out", type=Path, required=True, help="a folder that keeps releases and drawn texts")
    chosen = parser.parse_args()
    contract = load_contract(chosen.contract)
    if not contract.privacy.source_is_public:
        sys.exit(f"the source of {contract.id} is not declared public: its people have one budget, not one a run")
    encoder = Remembered(MiniLM())
    print("| curation | classifier | adapter's epsilon | rows | labeller agrees | accuracy, mean | from | to |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    homes = ((None, None, ALONE), (chosen.labeller, None, LABELLED), (None, chosen.votes, VOTED))
    for labeller, votes, arms in (*homes, (chosen.labeller, chosen.votes, BOTH)):
        planned = within(contract, chosen.epsilon, labeller, votes, chosen.clusters)
        parts = (("labeller", labeller), ("votes", votes))
        name = "_".join(f"{part}_{epsilon:g}" for part, epsilon in parts if epsilon is not None) or "alone"
        folder = (chosen.out / name).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        terms = planned.privacy
        generation = terms.generation.model_copy(update={"rows": chosen.rows or terms.generation.rows})
        update = {"curation": Curation(drawn=chosen.drawn), "generation": generation}
        planned = replace(planned, privacy=terms.model_copy(update=update))
        for line in lines(planned, folder, arms, chosen, encoder):
            print(line, flush=True)


if __name__ == "__main__":
    main()
