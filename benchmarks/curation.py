"""What each way of curating drawn texts is worth, alone and with others, at one epsilon of everything together.

    python -m benchmarks.curation contracts/ag_news.odcs.yaml --source ../shared/data/ag_news.parquet --epsilon 3 \
        --out curation
    python -m benchmarks.curation contracts/ag_news.odcs.yaml --source ../shared/data/ag_news.parquet --epsilon 3 \
        --out curation --only "relabelled, taught" --only "relabelled, taught, votes"
    python -m benchmarks.curation contracts/ag_news_smollm2.odcs.yaml --source ../shared/data/ag_news.parquet \
        --epsilon 3 --evolution contracts/ag_news_evolution.odcs.yaml --out both

Histogram, what the texts come from (an adapter, private evolution, or both), labeller and votes are released once,
through gate and ledger, so that all compose to the epsilon. An adapter and an evolution share what labeller and votes
leave, in the proportion of their prices; `--evolution` takes the terms of the second from another contract.
Texts are drawn once and curated in every way: differences between the lines are not those between two adapters. A line
that uses fewer releases rests on less, which is said. Classifiers of each corpus are judged on the public test split,
which only a contract whose source is *public* may do so often. Repeated, it goes on where it was, and prints what it
has found before; other settings need another `--out`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.public_source import public_contract
from dpsynth_assets.classify.contracted import additions
from dpsynth_assets.classify.encoder import Remembered
from dpsynth_assets.classify.evaluation import evaluate
from dpsynth_assets.classify.recipes import RECIPES, load_classifier
from dpsynth_assets.classify.terms import terms_of
from dpsynth_assets.classify.training_rows import Additions, Labelled, TrainingSet
from dpsynth_assets.classify.vectors import kept_in, public_encoder
from dpsynth_assets.cli.own_home import made_in
from dpsynth_assets.contract import Contract
from dpsynth_assets.contract.classifiers import PublicRows
from dpsynth_assets.contract.parts import Parts
from dpsynth_assets.contract.synthesis import Curation
from dpsynth_assets.gate.approval import planned_releases
from dpsynth_assets.gate.public_rows import mixed_rows, test_rows
from dpsynth_assets.markdown import row, table
from dpsynth_assets.releases.classifiers import CLASSIFIER, ClassifierTerms
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.labeller import LABELLER
from dpsynth_assets.releases.registry import planned_names, writers
from dpsynth_assets.releases.votes import BY_VOTES, CANDIDATES, VOTES, VotesTerms
from dpsynth_assets.synthesis.corpus import choose
from dpsynth_assets.synthesis.errors import CurationError
from ledger import Composed
from ledger.accounting import epsilon as epsilon_of
from resources.home import replace_atomically
from resources.sensitive_store import SensitiveStore

AS_DRAWN = Curation()
FOUND, VECTORS = "found.json", "vectors"


@dataclass(frozen=True)
class Arm:
    """A way of curating, and what training does: learn the labeller's probabilities, add texts in disguise or rows
    that are public."""

    curation: Curation = AS_DRAWN
    taught: bool = False
    augmented: bool = False
    mixed: bool = False

    def uses(self, release: str) -> bool:
        """Whether it rests on the release."""
        if release == LABELLER.name:
            return self.taught or self.curation.needs_labeller
        return release != VOTES.name or self.curation.needs_votes


def _relabelled(**terms: Any) -> Curation:
    return Curation(labels="relabelled", **terms)


ARMS = {
    "as drawn": Arm(),
    "without near repetitions (0.9)": Arm(Curation(near_duplicates=0.9)),
    "as many of each label": Arm(Curation(proportions="even")),
    VOTES.name: Arm(Curation(proportions=BY_VOTES)),
    "augmented": Arm(augmented=True),
    "mixed with public rows": Arm(mixed=True),
    "the labeller surer than 0.7": Arm(Curation(confidence=0.7)),
    "only where the labeller agrees": Arm(Curation(labels="agreed")),
    "relabelled": Arm(_relabelled()),
    "taught": Arm(taught=True),
    "relabelled, surer than 0.7": Arm(_relabelled(confidence=0.7)),
    "relabelled, votes": Arm(_relabelled(proportions=BY_VOTES)),
    "relabelled, taught": Arm(_relabelled(), taught=True),
    "relabelled, taught, surer than 0.7": Arm(_relabelled(confidence=0.7), taught=True),
    "relabelled, taught, without near repetitions (0.9)": Arm(_relabelled(near_duplicates=0.9), taught=True),
    "relabelled, taught, as many of each label": Arm(_relabelled(proportions="even"), taught=True),
    "relabelled, taught, votes": Arm(_relabelled(proportions=BY_VOTES), taught=True),
    "relabelled, taught, augmented": Arm(_relabelled(), taught=True, augmented=True),
    "relabelled, taught, mixed with public rows": Arm(_relabelled(), taught=True, mixed=True),
    "all but public rows": Arm(_relabelled(confidence=0.7, near_duplicates=0.9, proportions=BY_VOTES), True, True),
}


def within(contract: Contract, chosen: argparse.Namespace) -> Contract:
    """The contract with a labeller, votes and the largest releases of its texts (prices summed, to a hundredth) that
    all compose to the epsilon."""
    terms, epsilon = contract.privacy, chosen.epsilon
    labeller = ClassifierTerms(
        classifier="minilm",
        epsilon=chosen.labeller,
        expected_batch_size=min(2_048, terms.unit.public_count // 8),
        steps=100,
        learning_rate=0.1,
    )
    votes = VotesTerms(mechanism="discrete_laplace_histogram", epsilon=chosen.votes, clusters=chosen.clusters)
    generation = terms.generation.model_copy(update={"rows": chosen.rows or terms.generation.rows})
    update = {
        "budget": terms.budget.model_copy(update={"epsilon": 2 * epsilon}),
        "curation": Curation(drawn=chosen.drawn),
        "generation": generation,
    }

    texts = {release.name: terms.releases[release] for release in writers(contract)}
    prices = {name: each.epsilon_of(terms.budget) for name, each in texts.items()}

    def at(share: float) -> Contract:
        shares = {name: share * price / sum(prices.values()) for name, price in prices.items()}
        priced = {
            name: each.model_copy(update={"epsilon": shares[name], "share": None}) for name, each in texts.items()
        }
        planned = {**priced, LABELLER.name: labeller, VOTES.name: votes, DP_BASELINE.name: None}
        releases = terms.releases.model_copy(update=planned)
        return replace(contract, privacy=terms.model_copy(update={**update, "releases": releases}))

    low, high = 1, round(100 * epsilon)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if composed(at(middle / 100)) <= epsilon else (low, middle - 1)
    return at(low / 100)


def evolved(contract: Contract, path: Path | None) -> Contract:
    """The contract with the evolution of the one at `path` beside its adapter; without a path, as it is.

    Raises:
        SystemExit: the other plans none, or one that does not go with the rest of this one.
    """
    if path is None:
        return contract
    other = public_contract(path)
    if (evolution := other.privacy.releases.get(EVOLUTION)) is None:
        sys.exit(f"{other.id} plans no evolution: name another contract with --evolution")
    releases = contract.privacy.releases.model_copy(update={EVOLUTION.name: evolution})
    both = contract.privacy.model_copy(update={"releases": releases})
    if wrong := [fault.what for fault in EVOLUTION.rules(Parts.of(both)) if fault.severity == "error"]:
        sys.exit(f"the evolution of {other.id} does not go with {contract.id}: {'; '.join(wrong)}")
    return replace(contract, privacy=both)


def composed(contract: Contract, arm: Arm | None = None) -> float:
    """What the releases come to together; with `arm`, those that it uses."""
    named = planned_releases(contract)
    events = tuple(event for name, event in named if arm is None or arm.uses(name.rpartition("/")[2]))
    return float(epsilon_of(Composed(events), contract.privacy.budget.delta))


class Kept:
    """What has been found so far, in a file: accuracies by way of curating, kind and seed.

    Raises:
        SystemExit: the folder holds what was found under other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.content: dict[str, Any] = {"settings": settings, "found": {}}
        if path.exists():
            self.content = json.loads(path.read_text(encoding="utf-8"))
            if others := [name for name, value in settings.items() if self.content["settings"].get(name) != value]:
                sys.exit(f"{path.parent} holds releases made with another {', '.join(others)}: choose another --out")
        self.write()

    def of(self, name: str, kind: str) -> dict[str, float]:
        """Accuracies by seed."""
        known: dict[str, float] = self.content["found"].setdefault(f"{name} | {kind}", {})
        return known

    def write(self) -> None:
        replace_atomically(self.path, json.dumps(self.content, indent=1).encode())


def public_rows(contract: Contract, folder: Path, path: Path) -> Labelled:
    """The labelled rows of a file that may be mixed in, without texts of the test split."""
    rows = PublicRows(path=str(path.absolute()), declared_public_by=contract.owners[0])
    classifier = terms_of(contract).model_copy(update={"mix": rows})
    terms = contract.privacy.model_copy(update={"classifier": classifier})
    store, changed = SensitiveStore(home=str(folder)), replace(contract, privacy=terms)
    mix = additions(changed, mixed_rows(changed, rows, store), test_rows(changed, store)["text"]).mix
    assert mix is not None, "the contract has just been given one"
    return mix


def lines(contract: Contract, folder: Path, chosen: argparse.Namespace, kept: Kept) -> Iterator[str]:
    """A line of the table for each way of curating and kind of classifier."""
    wanted = (*planned_names(contract), CANDIDATES)
    store = made_in(folder, contract, wanted, source=chosen.source, size=chosen.size)
    encoder = Remembered(public_encoder())
    terms, target = contract.privacy, contract.privacy.target
    test = test_rows(contract, SensitiveStore(home=str(folder)))
    mix = None if chosen.mix is None else public_rows(contract, folder, chosen.mix)
    candidates, histogram = store.latest(contract.id, CANDIDATES), store.latest(contract.id, LABEL_HISTOGRAM.name)
    asked = {name: store.latest(contract.id, name).folder for name in (LABELLER.name, VOTES.name)}
    labeller = load_classifier(asked[LABELLER.name] / CLASSIFIER, encoder)
    for name in chosen.only or [name for name, arm in ARMS.items() if mix is not None or not arm.mixed]:
        arm = ARMS[name]
        curation = arm.curation.model_copy(update={"drawn": chosen.drawn})
        changed = replace(contract, privacy=terms.model_copy(update={"curation": curation}))
        try:
            frame = choose(changed, candidates, histogram.folder, chosen.size or 1.0, asked, encoder).frame
        except CurationError as error:
            yield row([name, f"cannot: {error}", *[""] * 5])
            continue
        texts = frame[terms.text.column].tolist()
        targets = labeller.predict_proba(texts) if arm.taught else None
        more = Additions(mix if arm.mixed else None, arm.augmented)
        training_set = TrainingSet(texts, frame[target].tolist(), terms.classes, more, targets)
        for kind in chosen.kinds:
            known = kept.of(f"{name}: {chosen.mix}" if arm.mixed else name, kind)
            for seed in range(chosen.seeds):
                if str(seed) not in known:
                    trained = RECIPES[kind].train(training_set, seed, encoder=encoder)
                    result = evaluate(trained, test["text"].tolist(), test[target].tolist())
                    known[str(seed)] = float(result["accuracy"])
                    kept.write()
            found = [known[str(seed)] for seed in range(chosen.seeds)]
            accuracies = (f"{each:.1%}" for each in (statistics.mean(found), min(found), max(found)))
            yield row([name, kind, f"{composed(contract, arm):.2f}", f"{len(texts):,}", *accuracies])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contract", type=Path)
    parser.add_argument("--source", help="another copy of the source")
    parser.add_argument("--epsilon", type=float, default=3.0)
    parser.add_argument(
        "--evolution", metavar="CONTRACT", type=Path, help="whose evolution the adapter's texts go through"
    )
    parser.add_argument("--labeller", type=float, default=2.0, help="what of it the labeller gets")
    parser.add_argument("--votes", type=float, default=0.3, help="what of it votes get")
    parser.add_argument("--clusters", type=int, default=50, help="into how many clusters they divide the candidates")
    parser.add_argument("--drawn", type=float, default=2.0, help="texts drawn for each row that is wanted")
    parser.add_argument("--rows", type=int, help="of each corpus; the contract's number unless given")
    parser.add_argument("--kinds", nargs="+", choices=list(RECIPES), default=["minilm", "word_cnn"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=float, help="share of the units, for a quick pass")
    parser.add_argument("--only", action="append", choices=list(ARMS), help="only this line (repeat for more)")
    parser.add_argument("--mix", type=Path, help="labelled public rows, in the contract's columns, for lines that mix")
    parser.add_argument("--out", type=Path, required=True, help="a folder that keeps releases and drawn texts")
    chosen = parser.parse_args()
    if chosen.mix is None and (mixed := [name for name in chosen.only or () if ARMS[name].mixed]):
        parser.error(f"{', '.join(mixed)}: give the public rows with --mix")
    contract = evolved(public_contract(chosen.contract), chosen.evolution)
    planned = within(contract, chosen)
    shares = (f"{each.name}: epsilon {planned.privacy.releases[each].epsilon:.3g}" for each in writers(planned))
    print(f"{'; '.join(shares)}; all releases together: {composed(planned):.3f}\n")
    head = ["curation", "classifier", "rests on epsilon", "rows", "accuracy, mean", "from", "to"]
    print(table(head, []), flush=True)
    chosen.out.mkdir(parents=True, exist_ok=True)
    varied = ("contract", "evolution", "only", "mix", "seeds", "kinds", "out")
    settings = {name: value for name, value in vars(chosen).items() if name not in varied}
    terms = hashlib.sha256(planned.privacy.model_dump_json().encode()).hexdigest()
    kept = Kept(chosen.out / FOUND, {"contract": contract.id, "terms": terms} | settings)
    with kept_in(chosen.out.absolute() / VECTORS):
        for line in lines(planned, chosen.out.absolute(), chosen, kept):
            print(line, flush=True)


if __name__ == "__main__":
    main()
