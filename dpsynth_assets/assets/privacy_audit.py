"""The blocking check that holds what was learned of an adapter's canaries against what the adapter promises.

Where the promise is refuted it stops whatever comes after in the run, writes an incident to the ledger, which from then
on seals nothing that carries the adapter's charge, and `require_not_refuted` stops runs that begin later. It reads the
result that was sealed with the adapter, and no row, so it can run again by itself.
"""

import io
from collections.abc import Mapping

import dagster as dg

from dpsynth_assets.assets.common import asset_key, of_partition, partitions_of, plain_failures
from dpsynth_assets.assets.figures import picture
from dpsynth_assets.audit.result import FILE, AuditResult
from dpsynth_assets.contract import Contract
from dpsynth_assets.releases.adapter import ADAPTER
from ledger import Finding, LedgerError
from resources.artifact_store import Artifact, ArtifactError, ArtifactStore
from resources.ledger import LedgerResource

CHECK = "privacy_audit"


class RefutedError(RuntimeError):
    """A release that does not keep its promise, or was not audited as was asked: nothing may be made of it."""


def privacy_audit_check(declared: Contract) -> dg.AssetChecksDefinition:
    """The check on the adapter of a contract that asks for canaries."""

    @dg.asset_check(
        asset=asset_key(declared, ADAPTER.name),
        name=CHECK,
        blocking=True,
        description=(
            "An attack on the training run: made-up units were put in by coins and guessed from the noisy sums. Fails, "
            "and blocks what comes after, if the guesses are right more often than the promised privacy allows."
        ),
        partitions_def=partitions_of(declared),
    )
    def privacy_audit(
        context: dg.AssetCheckExecutionContext, artifact_store: ArtifactStore, ledger: LedgerResource
    ) -> dg.AssetCheckResult:
        contract = of_partition(declared, context)
        with plain_failures(ArtifactError, LedgerError):
            adapter = artifact_store.latest(contract.id, ADAPTER.name)
            result = AuditResult.of(adapter.folder)
            if result is not None and result.refuted:
                _enter(adapter, result, ledger)
        if result is None:
            return dg.AssetCheckResult(
                passed=_may_go_unaudited(contract),
                severity=dg.AssetCheckSeverity.ERROR,
                description=_not_audited(contract),
            )
        seen = result.steps >= result.planned
        return dg.AssetCheckResult(
            passed=seen and not result.refuted,
            severity=dg.AssetCheckSeverity.ERROR if result.refuted else dg.AssetCheckSeverity.WARN,
            description=audit_sentence(result),
            metadata={
                "promised_epsilon": result.epsilon,
                "lower_bound": result.lower_bound,
                "confidence": result.confidence,
                "canaries": result.canaries,
                "steps_attacked": result.steps,
                "area_under_curve": result.area_under_curve.estimate,
                "true_positive_rate_at_1_percent": result.true_positive_rate.estimate,
                "promised_and_measured": picture(_drawn(result), "promised epsilon and the measured lower bound"),
            },
        )

    return privacy_audit


def require_not_refuted(contract: Contract, adapter: Artifact, ledger: LedgerResource) -> None:
    """Pass if nothing speaks against making texts of this adapter. Where its audit does, the incident is in the ledger
    afterwards, whether or not the check came to it.

    Raises:
        RefutedError: its audit refuted what it promises, or there is none where the contract asks for one.
        LedgerError: the ledger cannot be used.
    """
    result = AuditResult.of(adapter.folder)
    if result is None and not _may_go_unaudited(contract):
        raise RefutedError(
            f"{_not_audited(contract)} So nothing is made of {adapter.id}. "
            f"`dpsynth run CONTRACT --again {ADAPTER.name}` pays for one that is"
        )
    if result is not None and result.refuted:
        _enter(adapter, result, ledger)
        raise RefutedError(
            f"{adapter.id} of {adapter.contract} does not keep its promise, so nothing is made of it. "
            f"{audit_sentence(result)} Find the fault before anything else is trained on these people; then "
            f"`dpsynth run CONTRACT --again {ADAPTER.name}` pays for another"
        )
    require_no_incident({ADAPTER.name: adapter}, ledger)


def require_sound(contract: Contract, made_from: Mapping[str, Artifact], ledger: LedgerResource) -> None:
    """Pass if nothing that something is to be made from was refuted. Raises as `require_not_refuted` does."""
    if (adapter := made_from.get(ADAPTER.name)) is not None:
        require_not_refuted(contract, adapter, ledger)
    require_no_incident(made_from, ledger)


def audited(contract: Contract) -> bool:
    """Whether the contract asks for an audit of what it trains."""
    adapter = contract.privacy.releases.get(ADAPTER)
    return adapter is not None and adapter.canaries > 0


def require_no_incident(made_from: Mapping[str, Artifact], ledger: LedgerResource) -> None:
    """Pass if no incident stands against what something is to be made from, which could not be sealed: nothing is spent
    on it.

    Raises:
        RefutedError: one does.
        LedgerError: the ledger cannot be used.
    """
    book = ledger.open()
    for artifact in made_from.values():
        for incident in book.incidents_against(artifact.seal):
            raise RefutedError(
                f"{artifact.kind} {artifact.id} rests on {incident.release}, and an audit refuted that release's "
                f"guarantee (entry {incident.seq} of the ledger). What is made of it cannot be sealed, so nothing is. "
                f"`dpsynth run CONTRACT --again {ADAPTER.name}` pays for another adapter"
            )


def audit_sentence(result: AuditResult) -> str:
    """What the audit found, for the check and the card."""
    found = (
        f"An attack on {result.canaries:,} canaries in the noisy sums of training finds epsilon to be at least "
        f"{result.lower_bound:.2f}, at {result.confidence:.0%} confidence and delta {result.delta:g}. Training alone "
        f"promises {result.epsilon:.2f}, counted as tightly as can be (by privacy loss distributions)."
    )
    if result.refuted:
        return f"The promise is refuted. {found}"
    if result.steps < result.planned:
        found += f" Warning: it saw {result.steps} of {result.planned} steps, since what it had seen before was lost."
    return f"{found} A bound below the promise proves nothing; it says how far this attack got."


def _may_go_unaudited(contract: Contract) -> bool:
    """Whether an adapter of the contract may go on without an audit."""
    return not audited(contract) or contract.without_privacy or contract.reads_nothing


def _not_audited(contract: Contract) -> str:
    if contract.reads_nothing:
        return "No row was read, so there is nothing to attack."
    if contract.without_privacy:
        return "Trained without privacy: nothing is promised, so nothing can be refuted."
    return f"The contract asks for canaries, and the adapter has no {FILE}: it was not audited."


def _enter(adapter: Artifact, result: AuditResult, ledger: LedgerResource) -> None:
    """The incident in the ledger, once."""
    own = adapter.charges[-1]
    claim = Finding(
        claimed_epsilon=result.epsilon,
        lower_bound=result.lower_bound,
        confidence=result.confidence,
        delta=result.delta,
        files={FILE: adapter.seal.files[FILE]},
    )
    ledger.open().incident(own.reservation, claim, reason=f"The audit of {adapter.id} refutes what it promises.")


def _drawn(result: AuditResult) -> bytes:
    """Promise and bound as bars, with the line that the bound must not pass."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 1.8), dpi=80, layout="constrained")
    axes = figure.subplots()
    colour = "#b22222" if result.refuted else "#1f77b4"
    axes.barh(["measured, at least", "promised"], [result.lower_bound, result.epsilon], color=[colour, "#c7c7c7"])
    axes.axvline(result.epsilon, color="#444444", linewidth=1, linestyle="--")
    axes.set_xlabel(f"epsilon at delta {result.delta:g}")
    for place, value in enumerate((result.lower_bound, result.epsilon)):
        axes.annotate(f"{value:.2f}", (value, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
