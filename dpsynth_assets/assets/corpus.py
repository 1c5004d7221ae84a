"""`corpus`: synthetic rows chosen from the candidates, and the blocking quality checks on them. Free.

The checks also leave an observation of the corpus: figures as numbers, which Dagster plots over time, and a picture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.assets.common import asset_key, contract_asset, of_partition, partitions_of, plain_failures
from dpsynth_assets.assets.figures import column_schema, page_of, picture, preview, receipts_metadata
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.contract import Contract
from dpsynth_assets.contract.synthesis import Curation
from dpsynth_assets.publish.quality import REPORT, save
from dpsynth_assets.quality.metrics.measuring import figures_of
from dpsynth_assets.quality.rules import judge, rules_of
from dpsynth_assets.quality.verdict import VERDICT, Verdict
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.labeller import LABELLER
from dpsynth_assets.releases.registry import writers
from dpsynth_assets.releases.votes import CANDIDATES, VOTES
from dpsynth_assets.synthesis.errors import CurationError, VotesError
from dpsynth_assets.variants import name_of
from resources.artifact_store import ArtifactError, ArtifactStore
from resources.ray_workers import RayWorkers, WorkersError
from resources.sensitive_store import GrantRequiredError, SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.quality.metrics.materials import Materials


def corpus_asset(declared: Contract) -> dg.AssetsDefinition:
    """The corpus asset of a contract."""

    terms = declared.privacy.curation

    @contract_asset(
        declared,
        "corpus",
        description=(
            f"Synthetic records chosen from the candidates{_said(terms)}. "
            "Not for use before its quality checks have passed: `synthetic` publishes it then."
        ),
        kinds={"parquet"},
        after=(CANDIDATES, *_judges(terms)),
        asks=False,
    )
    def corpus(
        context: dg.AssetExecutionContext, artifact_store: ArtifactStore, ray_workers: RayWorkers
    ) -> dg.MaterializeResult[None]:
        from dpsynth_assets.classify.pooled import PooledEncoder
        from dpsynth_assets.synthesis.corpus import ROWS, choose

        contract = of_partition(declared, context)
        with plain_failures(ArtifactError, CurationError, VotesError, WorkersError), ray_workers.pool() as pool:
            candidates = artifact_store.latest(contract.id, CANDIDATES)
            asked = {name: artifact_store.latest(contract.id, name) for name in _judges(contract.privacy.curation)}
            drawn_from, texts_of = candidates.receipt["about"], [release.name for release in writers(contract)]
            histogram = artifact_store.get(contract.id, LABEL_HISTOGRAM.name, drawn_from[LABEL_HISTOGRAM.name])
            folders = {name: artifact.folder for name, artifact in asked.items()}
            encoder = None if pool is None else PooledEncoder(pool)  # of candidates: texts that were drawn
            curated = choose(contract, candidates, histogram.folder, float(drawn_from["size"]), folders, encoder)
        frame, complaint = curated.frame, curated.complaint
        if complaint is not None:
            context.log.warning(complaint)
        with artifact_store.draft(contract.id, "corpus") as draft:
            frame.to_parquet(draft.folder / ROWS, index=False)
            artifact = artifact_store.seal(
                draft,
                made_from={CANDIDATES: candidates, **asked},
                about={
                    **{name: drawn_from[name] for name in (*texts_of, LABEL_HISTOGRAM.name)},
                    **({} if complaint is None else {"complaint": complaint}),
                },
            )
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(frame),
                "dagster/column_schema": column_schema(contract),
                "dagster/uri": str(artifact.folder / ROWS),
                "preview": preview(frame),
                **{name: value for name, value in curated.facts.items() if name != "rows"},
                **({} if complaint is None else {"fewer_rows_than_wanted": complaint}),
                **receipts_metadata(artifact),
            }
        )

    return corpus


def _judges(terms: Curation) -> tuple[str, ...]:
    """The releases that are asked which candidates to keep."""
    return (*((LABELLER.name,) if terms.needs_labeller else ()), *((VOTES.name,) if terms.needs_votes else ()))


def _said(terms: Curation) -> str:
    """What the description says of curation."""
    parts = [
        {
            "histogram": ", as many of each label as the noisy histogram says",
            "even": ", as many of each label",
            VOTES.name: ", as many of each label as the noisy histogram and of each cluster as noisy votes say",
        }[terms.proportions],
        {"asked": "", "agreed": ", kept where the labeller agrees", "relabelled": ", labelled by the labeller"}[
            terms.labels
        ],
        "" if terms.near_duplicates is None else ", without near repetitions",
    ]
    return "".join(parts)


def quality_checks(declared: Contract) -> dg.AssetChecksDefinition:
    """The contract's quality rules as asset checks on the corpus; the verdict is stored beside it."""
    specs = [
        dg.AssetCheckSpec(
            rule.name,
            asset=asset_key(declared, "corpus"),
            blocking=rule.blocking,
            description=rule.description or None,
            partitions_def=partitions_of(declared),
        )
        for rule in rules_of(declared)
    ]

    @dg.multi_asset_check(specs=specs, name=f"{declared.id.replace('-', '_')}__quality")
    def quality(
        context: dg.AssetCheckExecutionContext,
        artifact_store: ArtifactStore,
        sensitive_store: SensitiveStore,
        ray_workers: RayWorkers,
    ) -> Iterator[dg.AssetCheckResult]:
        from dpsynth_assets.assets.materials import materials_for
        from dpsynth_assets.quality.report import quality_report
        from dpsynth_assets.synthesis.corpus import rows_of

        contract = of_partition(declared, context)
        with (
            plain_failures(ArtifactError, SourceError, GrantRequiredError, WorkersError),
            ray_workers.pool() as pool,
        ):
            corpus = artifact_store.latest(contract.id, "corpus")
            progress = reporter(context.op_execution_context, "Embedding texts for the quality rules")
            frame = rows_of(corpus.folder)
            materials = materials_for(contract, corpus, frame, artifact_store, sensitive_store, progress, pool)
            verdict = judge(materials, contract)
            report = quality_report(contract, materials, verdict)
        with artifact_store.draft(contract.id, "verdict") as draft:
            verdict.save(draft.folder / VERDICT)
            save(report, draft.folder, release=corpus.id)
            judged = artifact_store.seal(draft, made_from={"corpus": corpus})
        context.op_execution_context.log_event(
            dg.AssetObservation(
                asset_key(declared, "corpus"),
                metadata={
                    **_observed(contract, materials, verdict),
                    "quality_report": page_of(judged, REPORT),
                },
                partition=name_of(contract) if partitions_of(declared) else None,
            )
        )
        severities = {True: dg.AssetCheckSeverity.ERROR, False: dg.AssetCheckSeverity.WARN}
        for result in verdict.results:
            yield dg.AssetCheckResult(
                check_name=result.name,
                asset_key=asset_key(declared, "corpus"),
                passed=result.passed,
                severity=severities[result.blocking],
                description=result.description or None,
                metadata={"expectation": result.expectation, **dict(result.observed)},
            )

    return quality


def _observed(contract: Contract, materials: "Materials", verdict: Verdict) -> dict[str, dg.MetadataValue | float]:
    """Every figure that a rule bounds, by the rule's name, and a picture of the corpus: all synthetic or public."""
    from dpsynth_assets.quality.pictures import portrait

    figures = figures_of(verdict)
    labels = {} if contract.privacy.classifier is None else {contract.privacy.target: contract.privacy.classes}
    if not {materials.text, *labels} <= set(materials.synthetic.columns):
        return {**figures}  # the blocking rule about columns says what is wrong
    reference = next(iter(materials.references), None)
    drawn = picture(portrait(materials, labels, reference), "lengths and labels of the synthetic rows")
    return {**figures, "lengths_and_labels": drawn}
