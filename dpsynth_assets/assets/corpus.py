"""`corpus`: synthetic rows drawn from the adapter, and the blocking quality checks on them. Free."""

from collections.abc import Iterator

import dagster as dg

from dpsynth_assets.assets.common import asset_key, contract_asset, plain_failures
from dpsynth_assets.assets.figures import column_schema, preview, receipts_metadata
from dpsynth_assets.assets.label_histogram import released_counts
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.contract import Contract
from resources.artifact_store import Artifact, ArtifactMissingError, ArtifactStore

ROWS = "corpus.parquet"
VERDICT = "verdict.json"


def corpus_asset(contract: Contract) -> dg.AssetsDefinition:
    """The corpus asset of a contract."""

    @contract_asset(
        contract,
        "corpus",
        description=(
            "Synthetic records drawn from the adapter label by label, as many of each as the noisy histogram says. "
            "Not for use before its quality checks have passed: `synthetic` publishes it then."
        ),
        kinds={"pytorch", "parquet"},
        after=("adapter", "label_histogram"),
    )
    def corpus(context: dg.AssetExecutionContext, artifact_store: ArtifactStore) -> dg.MaterializeResult[None]:
        from dpsynth_assets.language.generation import generate_corpus

        with plain_failures(ArtifactMissingError):
            adapter = artifact_store.latest(contract.id, "adapter")
            histogram = artifact_store.latest(contract.id, "label_histogram")
        rows = max(1, round(contract.privacy.generation.rows * float(adapter.receipt["about"].get("size", 1.0))))
        progress = reporter(context, "Generating synthetic records")
        made_of = (adapter.id, histogram.id, contract.digest, str(rows))
        with (
            artifact_store.unfinished(contract.id, "corpus", *made_of) as shards,
            artifact_store.draft(contract.id, "corpus") as draft,
        ):
            counts = released_counts(histogram)
            frame = generate_corpus(contract, adapter.folder, counts, rows=rows, progress=progress, shards=shards)
            frame.to_parquet(draft.folder / ROWS, index=False)
            artifact = artifact_store.seal(
                draft,
                charges=[*histogram.receipts, *adapter.receipts],
                about={"adapter": adapter.id, "label_histogram": histogram.id},
            )
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(frame),
                "dagster/column_schema": column_schema(contract),
                "dagster/uri": str(artifact.folder / ROWS),
                "preview": preview(frame),
                **receipts_metadata(artifact.receipts),
            }
        )

    return corpus


def quality_checks(contract: Contract) -> dg.AssetChecksDefinition:
    """The contract's quality rules as asset checks on the corpus; the verdict is stored beside it."""
    from dpsynth_assets.quality.rules import rules_of

    specs = [
        dg.AssetCheckSpec(
            rule.name,
            asset=asset_key(contract, "corpus"),
            blocking=rule.blocking,
            description=rule.description or None,
        )
        for rule in rules_of(contract)
    ]

    @dg.multi_asset_check(specs=specs, name=f"{contract.id.replace('-', '_')}__quality")
    def quality(context: dg.AssetCheckExecutionContext, artifact_store: ArtifactStore) -> Iterator[dg.AssetCheckResult]:
        from dpsynth_assets.quality.rules import evaluate

        with plain_failures(ArtifactMissingError):
            corpus = artifact_store.latest(contract.id, "corpus")
        import pandas as pd

        verdict = evaluate(pd.read_parquet(corpus.folder / ROWS), contract)
        with artifact_store.draft(contract.id, "verdict") as draft:
            verdict.save(draft.folder / VERDICT)
            artifact_store.seal(draft, charges=corpus.receipts, about={"corpus": corpus.id})
        severities = {True: dg.AssetCheckSeverity.ERROR, False: dg.AssetCheckSeverity.WARN}
        for result in verdict.results:
            yield dg.AssetCheckResult(
                check_name=result.name,
                asset_key=asset_key(contract, "corpus"),
                passed=result.passed,
                severity=severities[result.blocking],
                description=result.description or None,
                metadata={"expectation": result.expectation, **dict(result.observed)},
            )

    return quality


def standing_verdict_of(artifacts: ArtifactStore, corpus: Artifact) -> Artifact:
    """The verdict on that very corpus, from storage and not from the graph.

    Raises:
        ArtifactMissingError: the corpus has not been checked since it was made.
    """
    verdict = artifacts.find(corpus.contract, "verdict")
    if verdict is None or verdict.receipt["about"].get("corpus") != corpus.id:
        raise ArtifactMissingError(
            f"the corpus {corpus.id} of {corpus.contract} has no quality verdict: run its checks "
            f"(materialize {corpus.contract}/corpus with its checks, or Execute checks in the UI)"
        )
    return verdict
