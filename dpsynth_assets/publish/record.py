"""What is published with a corpus: the guarantee of its seal, and the charges that it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from dpsynth_assets.publish.release import PublishRefused, ReleaseRecord
from ledger import Charge, Composed, Seal
from ledger.accounting import epsilon

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract


class Sealed(Protocol):
    """An artifact as the ledger sealed it, with its receipt and the charges that it rests on."""

    @property
    def seal(self) -> Seal: ...

    @property
    def receipt(self) -> Mapping[str, Any]: ...

    @property
    def charges(self) -> Sequence[Charge]: ...

    @property
    def receipts(self) -> Sequence[Mapping[str, Any]]: ...


def release_record(contract: Contract, corpus: Sealed, rows: int) -> ReleaseRecord:
    """What the warehouse keeps about a published corpus: the guarantee that it was sealed with. A variant without
    privacy has none, and no delta.

    Raises:
        PublishRefused: the contract promises privacy and its corpus has no guarantee, or one of another population.
    """
    terms, sealed = contract.privacy, corpus.seal.guarantee
    if not contract.without_privacy:
        composed_epsilon(contract, corpus)
        due = (terms.population, 0.0 if contract.reads_nothing else terms.budget.delta)
        if sealed is None or (sealed.population, sealed.delta) != due:
            raise PublishRefused(
                f"the corpus {corpus.seal.id} of {contract.id} was not sealed with the population and delta that the "
                "contract has now: make its releases anew"
            )
    promised = None if contract.without_privacy else sealed
    return ReleaseRecord(
        id=corpus.seal.id,
        contract=contract.id,
        contract_version=contract.version,
        table=contract.table,
        population=terms.population,
        unit=terms.unit.name,
        neighbouring_relation=terms.unit.neighbouring_relation,
        epsilon=promised.epsilon if promised else None,
        delta=promised.delta if promised else None,
        rows=rows,
        created=str(corpus.receipt["created"]),
        receipts=tuple(corpus.receipts),
    )


def composed_epsilon(contract: Contract, *artifacts: Sealed) -> float:
    """The epsilon, at the budget's delta, of everything that some artifacts were made from, composed, by the entries of
    their charges in the ledger.

    Raises:
        PublishRefused: something that one was made from was made without privacy: no epsilon holds. Or one rests on no
            charge, and the contract is none that reads nothing.
    """
    for artifact in artifacts:
        if artifact.seal.guarantee is None or not (artifact.charges or contract.reads_nothing):
            raise PublishRefused(
                f"the {artifact.seal.kind} {artifact.seal.id} of {contract.id} rests on a release that was made "
                "without privacy or was never charged, so no epsilon can be stated: make the contract's releases anew"
            )
    if contract.reads_nothing and not any(artifact.charges for artifact in artifacts):
        return 0.0
    charges = {charge.reservation: charge.event for artifact in artifacts for charge in artifact.charges}
    return float(epsilon(Composed(tuple(charges.values())), contract.privacy.budget.delta))
