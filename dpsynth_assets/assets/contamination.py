"""The check that says whether the base model's corpus was compared with the source, and with what result where it may.

Comparing is part of the adapter's passage through the gate: it takes rows, so it takes a grant, and these are the very
rows that training sees. The share of records that overlap is a figure about them. For a source that its owner has
declared public it is shown, and the check warns where it is large. For any other it is written beside the snapshot in
the sensitive store, for the data owner to read there, and nothing that leaves depends on it: neither text nor outcome
of the check, nor the facts that the adapter carries to the card.

Decision 11 says why there is no charged release of it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.assets.common import asset_key, of_partition, partitions_of, plain_failures
from dpsynth_assets.contract import Contract, resolve
from dpsynth_assets.contract.synthesis import EMBEDDED, INDEX_SUFFIX
from dpsynth_assets.markdown import code, escaped
from resources.artifact_store import ArtifactError, ArtifactStore
from resources.sensitive_store import SensitiveStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpsynth_assets.language.contamination.index import CorpusIndex

CHECK = "base_model_has_not_read_the_source"
FACTS = "contamination.json"
TOLERATED = 0.01  # of the records of a public source, beyond chance, before the check warns


@dataclass(frozen=True)
class Facts:
    """What may be known of a comparison. The figures are None unless the source is declared public.

    Attributes:
        corpus: what the index says it is of.
        sha256: of the index.
        found_for_certain: shared runs of so many words are always found.
        share: of the records, those that share a fingerprint with the corpus.
        by_chance: the share that would seem to if none did.
    """

    corpus: str
    sha256: str
    found_for_certain: int
    share: float | None = None
    by_chance: float | None = None

    @classmethod
    def of(cls, adapter_folder: Path) -> "Facts | None":
        """Those that an adapter carries; None where nothing was compared."""
        path = adapter_folder / FACTS
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def corpus_index(contract: Contract) -> "CorpusIndex | None":
    """The index of the base model's corpus, if there is one: the embedded model's own, or a file that the contract
    names as `corpus`.

    Raises:
        dg.Failure: the file is missing or not an index.
    """
    from dpsynth_assets.language.base_model import EMBEDDED_FOLDER
    from dpsynth_assets.language.contamination.index import CorpusIndex, CorpusIndexError

    base = contract.privacy.base_model
    if base.name == EMBEDDED:
        path = EMBEDDED_FOLDER / f"corpus{INDEX_SUFFIX}"
    elif base.corpus is not None and base.corpus.endswith(INDEX_SUFFIX):
        path = resolve(base.corpus, contract)
    else:
        return None
    with plain_failures(CorpusIndexError):
        return CorpusIndex.load(path)


def compare(
    contract: Contract, texts: "Sequence[str]", index: "CorpusIndex", adapter_folder: Path, store: SensitiveStore
) -> None:
    """Inside the gate: the figures go into the sensitive store, and into the adapter's folder what may be known."""
    from dpsynth_assets.language.contamination.overlap import measure

    overlap = measure(texts, index)
    known: dict[str, Any] = {
        "corpus": index.about.corpus,
        "sha256": index.about.sha256,
        "found_for_certain": index.shape.found_for_certain,
    }
    shares = {"share": overlap.share, "by_chance": overlap.share_by_chance}
    internal = known | shares | {"records": overlap.records, "overlapping": overlap.overlapping}
    store.keep_figures(contract, FACTS, json.dumps(internal, indent=2))
    public = known | shares if contract.privacy.source_is_public else known
    (adapter_folder / FACTS).write_text(json.dumps(public, indent=2), encoding="utf-8")


def contamination_check(declared: Contract) -> dg.AssetChecksDefinition:
    """The check on the adapter. Reads the facts that it carries and no row, so it can run again by itself."""

    @dg.asset_check(
        asset=asset_key(declared, "adapter"),
        name=CHECK,
        description="Warns where nothing says what the base model has read, or where it has read a public source.",
        partitions_def=partitions_of(declared),
    )
    def contamination(context: dg.AssetCheckExecutionContext, artifact_store: ArtifactStore) -> dg.AssetCheckResult:
        contract = of_partition(declared, context)
        with plain_failures(ArtifactError):
            facts = Facts.of(artifact_store.latest(contract.id, "adapter").folder)
        shown = {} if facts is None else {name: value for name, value in vars(facts).items() if value is not None}
        return dg.AssetCheckResult(
            passed=not contract.privacy.base_model.undeclared and not _much(facts),
            severity=dg.AssetCheckSeverity.WARN,
            description=contamination_sentence(contract, facts),
            metadata=shown,
        )

    return contamination


def contamination_sentence(contract: Contract, facts: Facts | None) -> str:
    """What is known of the base model and the source, for the check and the card."""
    base = contract.privacy.base_model
    if facts is None:
        if base.undeclared:
            return (
                f"Warning: nothing says what the base model {code(base.name)} was trained on. If it has read the "
                "source, the synthetic table looks better than it is, and what it memorised is outside the guarantee. "
                "Declare `corpus` or `trained_before` in the contract."
            )
        said = [f"on {escaped(base.corpus)}"] if base.corpus else []
        said += [f"before {base.trained_before}"] if base.trained_before else []
        return (
            f"The base model {code(base.name)} is declared to have been trained {', '.join(said)}. It was not compared "
            "with the source: that takes an index of its corpus."
        )
    compared = (
        f"Every record was compared with what the base model {code(base.name)} was trained on "
        f"({escaped(facts.corpus)}). Each run of {facts.found_for_certain} words that both hold is found."
    )
    if facts.share is None or facts.by_chance is None:
        return f"{compared} The figure is about sensitive records: it stays in the sensitive store, by the snapshot."
    warning = "Warning: the base model has read some of this source. " if _much(facts) else ""
    figures = f"{facts.share:.2%} of the records overlap; {facts.by_chance:.2%} at most would seem to by chance."
    return f"{warning}{compared} {figures}"


def _much(facts: Facts | None) -> bool:
    if facts is None or facts.share is None or facts.by_chance is None:
        return False
    return facts.share - facts.by_chance > TOLERATED
