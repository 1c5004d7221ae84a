"""Incidents: an audit refuted what a release claims, and the chain says so.

A charge says what its mechanism costs at most. An empirical audit of the code that ran may show, with some confidence,
that more was given away. An *incident* is the entry that says so about one charge. It charges nothing and gives nothing
back: the budget is of what was charged, and nobody knows by how much that was too little. From then on nothing that
carries the charge is sealed (`sealing`), so that none of it is published. What was sealed before stays in the chain,
and `Sealing.incidents_against` says what stands against it.

The ledger believes its caller about the finding, as it does about what ran: it has seen no audit. A wrong incident
costs a new release and no privacy. What is entered is public: no figure or file of it may show what was not released.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledger import chain
from ledger.chain import Draft, Record
from ledger.errors import LedgerError, ProtocolError, SealError
from ledger.journal import REFUTABLE, released_as, reservation_id, reservation_of
from ledger.protocol import history_of
from ledger.records import words
from ledger.seals import checked_files
from ledger.store import Store
from ledger.transaction import Transaction

_FIGURES = ("claimed_epsilon", "lower_bound", "confidence", "delta")
_PAYLOAD = frozenset({*_FIGURES, "files", "reason", "artifact_digest"})


@dataclass(frozen=True)
class Finding:
    """What an audit found, in public figures, and the files that say how.

    Attributes:
        claimed_epsilon: what the release claims at `delta`.
        lower_bound: what the audit found its epsilon to be at least, at the same `delta`: more than is claimed.
        confidence: of that bound, such as 0.95.
        files: SHA-256 of each file of the audit's result, by its name.

    Raises:
        LedgerError: a figure is no finite number or out of its range, the bound refutes nothing, or there is no file.
    """

    claimed_epsilon: float
    lower_bound: float
    confidence: float
    delta: float
    files: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in _FIGURES:
            value = getattr(self, name)
            if type(value) not in (float, int) or not abs(value) < math.inf or value < 0:
                raise LedgerError(f"{name} of a finding is {value!r}: give a finite number, and not below 0")
            object.__setattr__(self, name, _float(name, value))
        if not 0.0 < self.confidence < 1.0:
            raise LedgerError(f"confidence of a finding is {self.confidence!r}: it must lie between 0 and 1")
        if not self.delta < 1.0:
            raise LedgerError(f"delta of a finding is {self.delta!r}: it must be less than 1")
        if not self.claimed_epsilon < self.lower_bound:
            raise LedgerError(
                f"the audit's lower bound is {self.lower_bound!r} and {self.claimed_epsilon!r} is claimed: only a "
                "bound above the claim refutes it, so there is no incident"
            )
        if not isinstance(self.files, Mapping) or not self.files:
            raise LedgerError("a finding names no file: give the SHA-256 of the audit's result, by the file's name")
        object.__setattr__(self, "files", checked_files(dict(self.files)))


def _float(name: str, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise LedgerError(f"{name} of a finding is too large for a number of 64 bits") from None


@dataclass(frozen=True)
class Incident:
    """An entry that says that an audit refuted a release's guarantee.

    `artifact_digest` is that of the files the release was committed with, or None where it was still running.
    """

    seq: int
    time: str
    hash: str
    reservation: str
    release: str
    population: str
    owner: str
    reason: str
    finding: Finding
    artifact_digest: str | None


class Incidents:
    """Write down that an audit refuted a release, and find such entries again."""

    _store: Store

    def incident(self, reservation_id: str, finding: Finding, *, reason: str) -> Incident:
        """Write down that an audit refuted the guarantee of a release. Nothing that carries its charge is sealed after.

        Anybody who has the ledger open may say so, as with `forfeit`; it stands under the run that owns the charge. The
        same finding about the same charge is entered once: said again, the entry that stands is returned.

        Args:
            reason: one public sentence, such as which audit it was.

        Raises:
            LedgerError: `finding` is none, or `reason` is not one line.
            ProtocolError: there is no such charge, its rows could not be read yet, or it ended without a release.
        """
        words("reason", reason)
        if not isinstance(finding, Finding):
            raise LedgerError(f"an incident is about a finding, not about {type(finding).__name__}: give a `Finding`")
        with self._store.transaction() as book:
            history = history_of(book, reservation_id)
            for record in history:
                if record.kind == "incident" and (stands := incident_of(book.ledger_id, record)).finding == finding:
                    return stands
            held = reservation_of(book.ledger_id, history)
            if held.state not in REFUTABLE:
                raise ProtocolError(
                    f"the charge {held.id} ({held.release}) is {held.state}: only a release that could read rows, and "
                    "was not given up, can be refuted. Name the reservation of the release that was audited"
                )
            record = book.append(
                Draft(
                    kind="incident",
                    population=held.population,
                    release=held.release,
                    owner=held.owner,
                    reservation=history[0].seq,
                    payload={
                        "reason": reason,
                        **{name: getattr(finding, name) for name in _FIGURES},
                        "files": dict(finding.files),
                        "artifact_digest": released_as(history),
                    },
                )
            )
            return incident_of(book.ledger_id, record)

    def incidents(self, population: str | None = None) -> list[Incident]:
        """All incidents, or those of one population's releases, oldest first."""
        with self._store.transaction() as book:
            found = book.find(kinds=("incident",), population=population)
            return [incident_of(book.ledger_id, record) for record in found]


def incident_of(ledger_id: str, record: Record) -> Incident:
    """The incident that an entry states; LedgerError if it is not exactly as docs/journal.md says."""
    said, payload = record.said, record.payload
    if payload.keys() != _PAYLOAD:
        raise LedgerError(f"the payload of an incident is not exactly {', '.join(sorted(_PAYLOAD))}")
    digest = payload["artifact_digest"]
    if record.reservation is None or not isinstance(digest, str | None):
        raise LedgerError("an incident does not say which charge it is about, or which files")
    return Incident(
        seq=record.seq,
        time=said["time"],
        hash=record.hash,
        reservation=reservation_id(ledger_id, record.reservation),
        release=said["release"],
        population=said["population"],
        owner=said["owner"],
        reason=words("reason", payload["reason"]),
        finding=Finding(**{name: chain.real(payload[name]) for name in _FIGURES}, files=payload["files"]),
        artifact_digest=digest,
    )


def against(book: Transaction, charges: Iterable[int]) -> list[Incident]:
    """The incidents about any of these charges."""
    carried = {*charges}
    return [incident_of(book.ledger_id, r) for r in book.find(kinds=("incident",)) if r.reservation in carried]


def require_unrefuted(book: Transaction, name: str, charges: Iterable[int]) -> None:
    """SealError where an audit refuted one of the charges that an artifact of this name would carry."""
    for incident in against(book, charges):
        found = incident.finding
        raise SealError(
            f"{name} is not sealed: it rests on the release {incident.release} ({incident.reservation}), and an audit "
            f"refuted that release's guarantee on {incident.time} (entry {incident.seq}: {found.claimed_epsilon:g} is "
            f"claimed, ε is at least {found.lower_bound:g} with confidence {found.confidence:g}, at δ = "
            f"{found.delta:g}). What was made from it cannot be published. Mend what the audit found, then make a "
            "new release of the contract, and what is made from it, anew"
        )
