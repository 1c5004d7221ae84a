"""`votes`: which of the candidates' clusters the sensitive records are nearest to, released with noise. Spends budget.

The clusters are made of released texts before a row is read; what the gate lets out is a histogram over label
combinations and clusters, and nothing else of the records. `dpsynth_assets.classify.votes` states the guarantee.
"""

import dagster as dg

from dpsynth_assets.assets.candidates import CANDIDATES
from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.gate import release_gate
from dpsynth_assets.assets.passage import Rooms
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.classify.votes import Votes, VotesError
from dpsynth_assets.contract import Contract
from resources.artifact_store import Artifact, ArtifactError, ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore


def votes_asset(declared: Contract) -> dg.AssetsDefinition:
    """The votes of a contract that plans them."""
    release = declared.privacy.releases.votes
    assert release is not None, "the factory makes this asset only where the contract plans the release"
    columns = [label.column for label in declared.privacy.labels]

    @contract_asset(
        declared,
        "votes",
        description=(
            f"Noisy counts of sensitive records per combination of {', '.join(columns)} and per nearest of "
            f"{release.clusters} clusters of the candidates (discrete Laplace noise). They say which candidates become "
            "the corpus. Held on the standing candidates: other ones need other votes."
        ),
        kinds={"huggingface", "scikitlearn"},
        spends=True,
        after=("source", "candidates"),
    )
    def votes(
        context: dg.AssetExecutionContext,
        ledger: LedgerResource,
        sensitive_store: SensitiveStore,
        artifact_store: ArtifactStore,
    ) -> dg.MaterializeResult[None]:
        import pandas as pd

        from dpsynth_assets.classify.encoder import EncoderError
        from dpsynth_assets.classify.votes import Ballot, encoder_for
        from dpsynth_assets.privacy.histogram import HistogramPlan

        contract = of_partition(declared, context)
        with plain_failures(ArtifactError, EncoderError, VotesError):
            candidates = _fresh_candidates(contract, artifact_store)
            encoder = encoder_for(contract)
            drawn = pd.read_parquet(candidates.folder / CANDIDATES)[contract.privacy.text.column].tolist()
            progress = reporter(context, "Embedding candidates")
            ballot = Ballot.of(drawn, release.clusters, contract.privacy.generation.seed, encoder, progress)
        plan = HistogramPlan.of_votes(contract)
        rooms = Rooms(ledger, sensitive_store, artifact_store)
        with release_gate(context, contract, plan, rooms, made_from={"candidates": candidates}) as gate:
            rows = gate.read()
            cells = ballot.cast(list(rows[columns].itertuples(index=False, name=None)), rows["text"].tolist(), encoder)
            counts = plan.release(cells, rows["unit"].tolist())
            Votes(counts, plan.scale, ballot, candidates.digest).save(gate.folder)
            gate.finish(None if contract.without_privacy else plan.event())
        return dg.MaterializeResult(
            metadata={
                "clusters": release.clusters,
                "candidates": len(drawn),
                "epsilon": "none" if contract.without_privacy else plan.epsilon,
                "noise_scale": plan.scale,
                "dagster/uri": str(gate.artifact.folder),
                **receipts_metadata(gate.artifact),
            }
        )

    return votes


def votes_on(contract: Contract, candidates: Artifact, held: Artifact) -> Votes:
    """The votes of an artifact.

    Raises:
        VotesError: they were held on other candidates than these, or on another number of clusters.
    """
    release = contract.privacy.releases.votes
    assert release is not None, "terms that ask for votes plan them"
    found = Votes.load(held.folder)
    found.require_of(candidates.digest, release.clusters)
    return found


def _fresh_candidates(contract: Contract, artifacts: ArtifactStore) -> Artifact:
    """The standing candidates, which must be of the standing adapter and histogram: nothing is spent on others."""
    candidates = artifacts.latest(contract.id, "candidates")
    for name in ("adapter", "label_histogram"):
        if candidates.receipt["about"][name] != artifacts.latest(contract.id, name).id:
            raise VotesError(
                f"the standing candidates of {contract.id} were drawn from another {name} than the standing one: "
                f"materialize {contract.id}/candidates first. Nothing was charged"
            )
    return candidates
