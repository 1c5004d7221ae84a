"""The one body of all assets that read sensitive rows: what a release says, put through the gate. Spends budget.

Knows no release by name but the label histogram: what comes after it stops where that counts next to nothing. What is
computed is the release's business, when it may be the gate's.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import dagster as dg

from dpsynth_assets.assets.common import asset_key, contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.enough import require_rows_of
from dpsynth_assets.assets.figures import receipts_metadata
from dpsynth_assets.assets.nothing import made_of_nothing
from dpsynth_assets.assets.privacy_audit import require_sound
from dpsynth_assets.assets.progress import reporter
from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.adoption import adopted
from dpsynth_assets.gate.again import earlier_runs
from dpsynth_assets.gate.ahead import snapshot_of
from dpsynth_assets.gate.gate import release_gate
from dpsynth_assets.gate.passage import Stores
from dpsynth_assets.gate.public_rows import require_public_rows
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.gate.spec import release_name, spec_keys
from dpsynth_assets.gate.standing import inputs, standing_release
from dpsynth_assets.language.writers import require_writer
from dpsynth_assets.markdown import escaped
from dpsynth_assets.program import require_unchanged
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.registry import inputs_of, planned
from dpsynth_assets.releases.release import Markdown, Plan, Release, Workspace
from ledger import LedgerError
from resources.artifact_store import Artifact, ArtifactError, ArtifactStore
from resources.ledger import LedgerResource
from resources.ranks import RankLauncher, RanksError
from resources.ray_workers import RayWorkers, WorkersError
from resources.sensitive_store import SensitiveStore
from resources.snapshots import Snapshot
from resources.tabular import SourceError


def release_asset(declared: Contract, release: Release[Any]) -> dg.AssetsDefinition:
    """The asset of a release that the contract plans."""
    names = {each.name for each in planned(declared)}

    @contract_asset(
        declared,
        release.name,
        description=escaped(_described(declared, release)),
        kinds=set(release.technologies),
        spends=True,
        after=("source", *(name for name in release.after if name in names), *inputs_of(declared, release)),
        partitioned=release.in_variants,
    )
    def body(
        context: dg.AssetExecutionContext,
        ledger: LedgerResource,
        sensitive_store: SensitiveStore,
        artifact_store: ArtifactStore,
        rank_launcher: RankLauncher,
        ray_workers: RayWorkers,
    ) -> dg.MaterializeResult[None]:
        contract = of_partition(declared, context) if release.in_variants else declared
        name, run = release_name(context, contract), context.run.run_id
        with plain_failures(SourceError, ArtifactError, LedgerError, RanksError, WorkersError):
            launch = rank_launcher.of(context)
            ray_workers.require()  # of what comes after this release: it would be paid in vain
            snapshot = snapshot_of(ledger.open, sensitive_store, source_of(contract), name, run)
            if contract.reads_nothing:
                return made_of_nothing(contract, release, artifact_store, snapshot.size)
            made_from = inputs(contract, release, artifact_store)
        plan = release.plan(contract, snapshot.size)
        stores = Stores(ledger, sensitive_store, artifact_store)
        if (found := _found(context, contract, release, plan, snapshot.size, stores, made_from)) is not None:
            return found
        progress = reporter(context, release.title)
        ready: list[Any] = []

        def check(snapshot: Snapshot) -> None:
            with _before_rows(contract, release):
                require_unchanged()
                if LABEL_HISTOGRAM.name in release.after:
                    require_rows_of(contract, snapshot, artifact_store)
                require_public_rows(contract, sensitive_store)
                require_sound(contract, made_from, ledger)
                require_writer(contract)  # of every release: what comes before its texts would be paid in vain
                ready.append(release.computes.check(contract, plan, made_from, progress, launch))

        with release_gate(
            context,
            contract,
            plan,
            stores,
            ready=check,
            replay=getattr(plan, "replay", None),
            made_from=made_from,
            later=_later(context, contract, release, snapshot.size),
        ) as gate:
            keep = partial(sensitive_store.keep_figures, source_of(contract))
            work = Workspace(gate.folder, gate.checkpoints, keep, progress, launch)
            ran = release.computes.run(contract, plan, gate.rows(), ready.pop(), work)
            gate.finish(ran.event, ran.replayed)
        if ran.warning is not None:
            context.log.warning(ran.warning)
        more = {} if ran.warning is None else {"warning": ran.warning}
        return _materialized(contract, plan, gate.artifact, {**ran.facts, **more})

    return body


def _found(
    context: dg.AssetExecutionContext,
    contract: Contract,
    release: Release[Any],
    plan: Plan,
    size: float,
    stores: Stores,
    made_from: Mapping[str, Artifact],
) -> dg.MaterializeResult[None] | None:
    """What an earlier run paid for, and this one goes on with; None where nothing was."""
    if contract.without_privacy:
        return None
    keys = spec_keys(release_name(context, contract), plan)
    if (found := adopted(context, contract, keys, stores, made_from)) is not None:
        text = f"An earlier run finished and paid for {found.id}: it is sealed now, and nothing was charged."
    elif earlier_runs(context) and (found := standing_release(contract, release, plan, stores.artifacts, size)):
        text = f"{found.id} stands, and this run was launched in place of another: it is used, and nothing was charged."
    else:
        return None
    context.log.info(text)
    return _materialized(contract, plan, found, {"adopted": text})


def _described(declared: Contract, release: Release[Any]) -> str:
    if declared.reads_nothing:
        return f"What stands in the place of {release.name} where no row is read: {release.name} is not released."
    return release.describe(declared)


def _materialized(
    contract: Contract, plan: Plan, artifact: Artifact, facts: Mapping[str, Any]
) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(
        metadata={
            **_promised(plan, contract),
            **{name: _shown(fact) for name, fact in facts.items()},
            "dagster/uri": str(artifact.folder),
            **receipts_metadata(artifact),
        }
    )


def _later(
    context: dg.AssetExecutionContext, contract: Contract, release: Release[Any], size: float
) -> list[tuple[str, Plan]]:
    """What this run charges after this release, by the names that it is charged under."""
    order = list(planned(contract))
    if contract.without_privacy or release not in order:
        return []
    of_this_run = context.op_execution_context.job_def.asset_layer.executable_asset_keys
    after = order[order.index(release) + 1 :]
    return [
        (f"{contract.id}/{each.name}", each.plan(contract, size))
        for each in after
        if asset_key(contract.declared, each.name) in of_this_run
    ]


@contextmanager
def _before_rows(contract: Contract, release: Release[Any]) -> Iterator[None]:
    """What fails in here has seen no row, so it may say why."""
    try:
        yield
    except Exception as error:
        why = str(error) or type(error).__name__
        text = f"{contract.id}/{release.name} cannot be computed, and nothing was charged for it by this run: {why}"
        raise dg.Failure(text, allow_retries=False) from error


def _promised(plan: Plan, contract: Contract) -> dict[str, Any]:
    """The guarantee and the plan. Where there is no guarantee it says so: infinity is not JSON."""
    stated = json.loads(json.dumps(plan.describe()).replace("Infinity", '"none"'))
    return {
        "epsilon": "none: computed without privacy" if contract.without_privacy else plan.epsilon,
        "delta": contract.privacy.budget.delta,
        "plan": dg.MetadataValue.json(stated),
    }


def _shown(fact: Any) -> Any:
    if isinstance(fact, Markdown):
        return dg.MetadataValue.md(fact)
    return dg.MetadataValue.json(dict(fact)) if isinstance(fact, Mapping) else fact
