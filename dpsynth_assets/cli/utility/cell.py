"""One cell of the grid: releases made in a home of their own, classifiers trained on what they left, judged on the test
split.

The way through is that of `dpsynth run`: snapshot, gate, ledger. Each cell has its own ledger, since all cells together
would be one large release about the same rows: which is why the source must be public. Homes stay, so that a killed
cell goes on, and so that anybody can look at what a cell's figures come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dpsynth_assets import variants
from dpsynth_assets.classify.contracted import load_teacher
from dpsynth_assets.classify.evaluation import evaluate
from dpsynth_assets.classify.recipes import RECIPES, load_classifier
from dpsynth_assets.classify.terms import terms_of
from dpsynth_assets.classify.training_rows import TrainingSet
from dpsynth_assets.classify.vectors import kept_in
from dpsynth_assets.cli.own_home import NotMadeError, made_in
from dpsynth_assets.cli.utility.grid import BAR, BAR_STEPS, REAL, REAL_DP, GridCell, GridError
from dpsynth_assets.contract.synthesis import Curation
from dpsynth_assets.gate.public_rows import public_rows, test_rows
from dpsynth_assets.language.contamination.facts import Facts
from dpsynth_assets.publish.record import composed_epsilon
from dpsynth_assets.quality.metrics.mauve import mauve
from dpsynth_assets.releases.classifiers import CLASSIFIER, ClassifierTerms
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.labeller import LABELLER
from dpsynth_assets.releases.registry import planned_names, writers
from dpsynth_assets.releases.votes import CANDIDATES, VOTES
from dpsynth_assets.synthesis.candidates import DRAWN, rows_wanted
from dpsynth_assets.synthesis.corpus import choose
from resources.home import Home
from resources.sensitive_store import SensitiveStore

if TYPE_CHECKING:
    from dpsynth_assets.classify.encoder import Remembered
    from dpsynth_assets.classify.evaluation import Classifier
    from dpsynth_assets.contract import Contract
    from resources.artifact_store import ArtifactStore

AS_DRAWN, CURATED = "as drawn", "curated"


@dataclass(frozen=True)
class Setup:
    """What all cells of a grid share.

    Attributes:
        source: another copy of the contract's source.
        size: share of the units, for a quick pass.
        kinds: of classifiers (`dpsynth_assets.classify.recipes`).
        seeds: classifiers of each kind on each corpus.
        encoder: keeps the vectors of public and synthetic texts from cell to cell.
        vectors: a folder that keeps those of the public ones from process to process.
        say: told what is going on.
    """

    contract: Contract
    source: str | None
    size: float | None
    kinds: Sequence[str]
    seeds: int
    encoder: Remembered
    vectors: Path
    say: Callable[[str], None] = lambda _: None


def measure(cell: GridCell, folder: Path, setup: Setup) -> dict[str, Any]:
    """The cell's figures: `accuracies`, one entry for each corpus, kind and seed, and what they come from.

    Raises:
        GridError: a release of the cell failed.
    """
    started = time.monotonic()
    ways = {REAL: _on_real, REAL_DP: _with_dp}
    facts, found = ways.get(cell.line.method, _on_synthetic)(cell, folder, setup)
    return {
        "contract": setup.contract.id,
        "line": cell.line.name,
        "run": cell.run,
        "size": setup.size or 1.0,
        "accuracies": list(found),
        "minutes": round((time.monotonic() - started) / 60, 1),
        **facts,
    }


Found = Iterator[dict[str, Any]]


def _on_synthetic(cell: GridCell, folder: Path, setup: Setup) -> tuple[dict[str, Any], Found]:
    """The variant's releases, its candidates as they were drawn, and as the contract has them curated."""
    contract = affording(variants.variant(setup.contract, cell.line.name), 2 * (cell.line.epsilon or 0.0))
    if contract.reads_nothing:  # nothing in it is random but the drawing
        contract = _drawn_by(contract, contract.privacy.generation.seed + cell.run)
    names = planned_names(contract)
    store = _made(contract, folder, (*names, CANDIDATES), setup)
    candidates, size = store.latest(contract.id, CANDIDATES), setup.size or 1.0
    terms = contract.privacy.curation
    corpora = {AS_DRAWN: pd.read_parquet(candidates.folder / DRAWN).head(rows_wanted(contract, size))}
    held = {name: store.latest(contract.id, name).folder for name in (LABELLER.name, VOTES.name) if name in names}
    writer = writers(contract)[0]
    facts: dict[str, Any] = {"epsilon_of_adapter": None, "epsilon_composed": None}
    if cell.line.epsilon is not None:  # of what was charged: a killed training paid for the steps that ran again
        composed = composed_epsilon(contract, *(store.latest(contract.id, name) for name in names))
        facts = {"epsilon_of_adapter": contract.privacy.releases[writer].epsilon, "epsilon_composed": composed}
    if compared := Facts.of(store.latest(contract.id, writer.name).folder):
        facts["contamination"] = vars(compared)
    if terms != Curation(drawn=terms.drawn):
        histogram = store.latest(contract.id, LABEL_HISTOGRAM.name)
        curated = choose(contract, candidates, histogram.folder, size, held, setup.encoder)
        corpora[CURATED] = curated.frame
        facts["curation"] = curated.facts

    test = _test(contract, folder)
    facts["mauve"] = {
        name: _likeness(frame[contract.privacy.text.column], test["text"], setup.encoder)
        for name, frame in corpora.items()
    }

    def found() -> Found:
        for name, frame in corpora.items():
            renamed = frame.rename(columns={contract.privacy.text.column: "text"})
            taught = name == CURATED and terms_of(contract).taught_by_labeller
            teacher = load_teacher(contract, held[LABELLER.name], setup.encoder) if taught else None
            yield from _trained(name, renamed, test, range(setup.seeds), setup, teacher)

    return facts, found()


def _likeness(ours: pd.Series[str], theirs: pd.Series[str], encoder: Remembered) -> float:
    """MAUVE of as many texts of a table as of the public test split."""
    number = min(len(ours), len(theirs))
    vectors = (encoder.encode(each.sample(number, random_state=0).tolist()) for each in (ours, theirs))
    return mauve(*vectors)


def _with_dp(cell: GridCell, folder: Path, setup: Setup) -> tuple[dict[str, Any], Found]:
    """A classifier of each kind that was trained on the real rows with DP-SGD, each with the whole epsilon."""

    def found() -> Found:
        for kind in (kind for kind in setup.kinds if kind in BAR):
            assert cell.line.epsilon is not None, "a line with DP has an epsilon"
            release = _baseline(kind, cell.line.epsilon, setup.contract.privacy.unit.public_count)
            afforded = affording(setup.contract, 2 * cell.line.epsilon)
            releases = afforded.privacy.releases.but(DP_BASELINE, release)
            contract = replace(afforded, privacy=afforded.privacy.model_copy(update={"releases": releases}))
            store = _made(contract, folder / kind, (DP_BASELINE.name,), setup)
            made, test = store.latest(contract.id, DP_BASELINE.name), _test(contract, folder / kind)
            encoder = setup.encoder if kind == "minilm" else None
            classifier = load_classifier(made.folder / CLASSIFIER, encoder)
            texts, labels = test["text"].tolist(), test[contract.privacy.target].tolist()
            accuracy = float(evaluate(classifier, texts, labels)["accuracy"])
            spent = composed_epsilon(contract, made)
            yield {"corpus": REAL_DP, "classifier": kind, "seed": 0, "accuracy": accuracy, "epsilon_composed": spent}

    return {}, found()


def _on_real(cell: GridCell, folder: Path, setup: Setup) -> tuple[dict[str, Any], Found]:
    """Classifiers of all the real rows, without privacy."""
    _made(setup.contract, folder, (), setup)
    rows = public_rows(setup.contract, SensitiveStore(home=str(_home(folder).root)))
    if setup.size is not None:
        rows = rows.sample(frac=setup.size, random_state=cell.run)
    test = _test(setup.contract, folder)
    seeds = range(cell.run * setup.seeds, (cell.run + 1) * setup.seeds)
    return {}, _trained(REAL, rows, test, seeds, setup)


def _trained(
    corpus: str,
    frame: pd.DataFrame,
    test: pd.DataFrame,
    seeds: Sequence[int],
    setup: Setup,
    teacher: Classifier | None = None,
) -> Found:
    """Classifiers of each kind and seed on a corpus, judged on the public test split."""
    privacy = setup.contract.privacy
    target = privacy.target
    texts, labels = frame["text"].tolist(), frame[target].tolist()
    training_set = TrainingSet(
        texts, labels, privacy.classes, targets=teacher.predict_proba(texts) if teacher else None
    )
    for kind in setup.kinds:
        for seed in seeds:
            setup.say(f"{corpus}: {kind}, seed {seed}, {len(texts):,} rows")
            classifier = RECIPES[kind].train(training_set, seed, encoder=setup.encoder)
            accuracy = float(evaluate(classifier, test["text"].tolist(), test[target].tolist())["accuracy"])
            yield {"corpus": corpus, "classifier": kind, "seed": seed, "accuracy": accuracy, "rows": len(texts)}


def _made(contract: Contract, folder: Path, names: Sequence[str], setup: Setup) -> ArtifactStore:
    """The cell's home, with its snapshot and the named assets in it: made, unless they are there."""
    setup.say(f"making {', '.join(names) or 'the snapshot'}, unless it is there")
    try:
        with kept_in(setup.vectors):
            return made_in(_home(folder).root, contract, names, source=setup.source, size=setup.size)
    except NotMadeError as error:
        raise GridError(str(error)) from error


def _home(folder: Path) -> Any:
    return Home.at(folder.absolute() / "home")


def _test(contract: Contract, folder: Path) -> pd.DataFrame:
    return test_rows(contract, SensitiveStore(home=str(_home(folder).root)))


def _drawn_by(contract: Contract, seed: int) -> Contract:
    """The contract with another seed of its texts."""
    generation = contract.privacy.generation.model_copy(update={"seed": seed % 2**32})
    return replace(contract, privacy=contract.privacy.model_copy(update={"generation": generation}))


def affording(contract: Contract, epsilon: float) -> Contract:
    """The contract with room for a cell: its people's budget is that of a ledger which is nobody's."""
    terms = contract.privacy
    budget = terms.budget.model_copy(update={"epsilon": terms.budget.epsilon + epsilon})
    base = contract.base and affording(contract.base, epsilon)
    return replace(contract, privacy=terms.model_copy(update={"budget": budget}), base=base)


def _baseline(kind: str, epsilon: float, units: int) -> ClassifierTerms:
    """DP training of a classifier with the grid's fixed settings."""
    batch, rate = BAR[kind]
    return ClassifierTerms(
        classifier="minilm" if kind == "minilm" else "word_cnn",
        epsilon=epsilon,
        expected_batch_size=min(batch, units // 8),
        steps=BAR_STEPS,
        learning_rate=rate,
    )
