"""The check that says whether the base model's corpus was compared with the source, and with what result where it may.

The comparison itself is part of the adapter's release (`language.contamination.comparison`). For a source that its
owner has declared public its figure is shown, and the check warns where it is large. For any other neither text nor
outcome of the check depends on it, nor what the adapter carries to the card.
"""

import dagster as dg

from dpsynth_assets.assets.common import asset_key, of_partition, partitions_of, plain_failures
from dpsynth_assets.contract import Contract
from dpsynth_assets.contract.base_models import KNOWN
from dpsynth_assets.contract.synthesis import EMBEDDED
from dpsynth_assets.language.contamination.facts import Facts
from dpsynth_assets.markdown import code, escaped
from dpsynth_assets.releases.registry import writers
from resources.artifact_store import ArtifactError, ArtifactStore

CHECK = "base_model_has_not_read_the_source"
TOLERATED = 0.01  # of the records of a public source, beyond chance, before the check warns


def contamination_check(declared: Contract) -> dg.AssetChecksDefinition:
    """The check on the release that writes texts. Reads the facts that it carries and no row: it can run by itself."""

    @dg.asset_check(
        asset=asset_key(declared, writers(declared)[0].name),
        name=CHECK,
        description="Warns where nothing says what the base model has read, or where it has read a public source.",
        partitions_def=partitions_of(declared),
    )
    def contamination(context: dg.AssetCheckExecutionContext, artifact_store: ArtifactStore) -> dg.AssetCheckResult:
        contract = of_partition(declared, context)
        with plain_failures(ArtifactError):
            facts = Facts.of(artifact_store.latest(contract.id, writers(contract)[0].name).folder)
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
    if facts is None and base.name == EMBEDDED and base.corpus is None:
        base = base.model_copy(update={"corpus": "the project's mix of public texts, named in its model card"})
    if facts is None:
        if base.undeclared:
            return (
                f"Warning: nothing says what the base model {code(base.name)} was trained on. If it has read the "
                "source, the synthetic table looks better than it is, and what it memorised is outside the guarantee. "
                "Declare `corpus` or `trained_before` in the contract."
            )
        known = KNOWN.get(base.name)
        corpus = base.corpus or (known and known.corpus)
        before = base.trained_before or (known and known.trained_before)
        said = [f"on {escaped(corpus.rstrip('.'))}"] if corpus else []
        said += [f"before {before}"] if before else []
        lacks = "rows, and none was read" if contract.reads_nothing else "its rows, and an index of that corpus"
        return (
            f"The base model {code(base.name)} is declared to have been trained {', '.join(said)}. It was not compared "
            f"with the source: that takes {lacks}. {_may_have_read(contract)}"
        )
    compared = (
        f"Every record was compared with what the base model {code(base.name)} was trained on "
        f"({escaped(facts.corpus)}). Each run of {facts.found_for_certain} words that both hold is found."
    )
    if facts.share is None or facts.by_chance is None:
        figure = "The figure is about sensitive records: it stays in the sensitive store, by the snapshot."
        return f"{compared} {figure} {_may_have_read(contract)}"
    warning = "Warning: the base model has read some of this source. " if _much(facts) else ""
    figures = f"{facts.share:.2%} of the records overlap; {facts.by_chance:.2%} at most would seem to by chance."
    return f"{warning}{compared} {figures}"


def _may_have_read(contract: Contract) -> str:
    """What follows from where the source lies."""
    if not contract.privacy.source_is_public:
        return "The source is not public, so a model that has read public texts only has not read it."
    return (
        "The source is public, so the model may have read it, test records too: what is remembered looks like what was "
        "learned. Only what a release adds to the same model without one is learned from these rows."
    )


def _much(facts: Facts | None) -> bool:
    if facts is None or facts.share is None or facts.by_chance is None:
        return False
    return facts.share - facts.by_chance > TOLERATED
