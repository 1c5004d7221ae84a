"""`candidates`: texts drawn from the adapter or the evolution, label by label, for the corpus to be chosen from. Free.

Apart from the corpus, so that curating again draws nothing again, and so that a release may look at what was drawn.
"""

import dagster as dg

from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.enough import require_rows_by
from dpsynth_assets.assets.figures import preview, receipts_metadata
from dpsynth_assets.assets.privacy_audit import RefutedError, require_sound
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.approval import require_terms
from dpsynth_assets.language.writers import forget_answers
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.registry import writers
from dpsynth_assets.releases.release import AwayError
from dpsynth_assets.releases.votes import CANDIDATES
from dpsynth_assets.synthesis.candidates import DRAWN, draw, rows_drawn
from dpsynth_assets.synthesis.label_histogram import NoRowsError
from ledger import LedgerError
from resources.artifact_store import ArtifactError, ArtifactStore
from resources.ledger import LedgerResource
from resources.ray_workers import RayWorkers, WorkersError


def candidates_asset(declared: Contract) -> dg.AssetsDefinition:
    """The candidates asset of a contract."""

    terms, drawn_from = declared.privacy.curation, [release.name for release in writers(declared)]

    @contract_asset(
        declared,
        CANDIDATES,
        description=(
            f"Texts drawn from the {' and the '.join(drawn_from)} label by label, "
            + ("as many of each" if terms.proportions == "even" else "as many of each as the noisy histogram says")
            + ("" if terms.drawn == 1 else f", {terms.drawn:g} for every row that is wanted")
            + ". The corpus is chosen from them."
        ),
        kinds={"pytorch", "parquet"},
        after=(*drawn_from, LABEL_HISTOGRAM.name),
    )
    def candidates(
        context: dg.AssetExecutionContext,
        artifact_store: ArtifactStore,
        ledger: LedgerResource,
        ray_workers: RayWorkers,
    ) -> dg.MaterializeResult[None]:
        contract = of_partition(declared, context)
        with plain_failures(ArtifactError, LedgerError, NoRowsError, RefutedError):
            texts_of = {name: artifact_store.latest(contract.id, name) for name in drawn_from}
            require_terms(contract, ledger.open())  # which name the server that is asked, too
            require_sound(contract, texts_of, ledger)
            histogram = artifact_store.latest(contract.id, LABEL_HISTOGRAM.name)
            require_rows_by(contract, histogram)
        size = min(float(each.receipt["about"].get("size", 1.0)) for each in texts_of.values())
        from dpsynth_assets.language.generation import GenerationError  # torch: where texts are drawn only

        progress = reporter(context, "Generating synthetic records")
        made_from = {**texts_of, LABEL_HISTOGRAM.name: histogram}
        marks = (*(each.id for each in made_from.values()), contract.digest, str(rows_drawn(contract, size)))
        with (
            artifact_store.unfinished(contract.id, CANDIDATES, *marks) as shards,
            artifact_store.draft(contract.id, CANDIDATES) as draft,
        ):
            with plain_failures(AwayError, GenerationError, WorkersError), ray_workers.pool() as pool:
                frame = draw(contract, texts_of, histogram.folder, size, progress, shards, pool)
            frame.to_parquet(draft.folder / DRAWN, index=False)
            artifact = artifact_store.seal(draft, made_from=made_from, about={"size": size})
        forget_answers(contract)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(frame),
                "drawn_again": frame.attrs.get("drawn_again", 0),
                "dagster/uri": str(artifact.folder / DRAWN),
                "preview": preview(frame),
                **receipts_metadata(artifact),
            }
        )

    return candidates
