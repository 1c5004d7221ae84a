"""A privacy ledger: it decides, durably and before anything is read, whether a release still fits a budget.

    ledger = Ledger.create("privacy/ledger.duckdb")
    scope = Scope("customers", "customer", "add_or_remove_one_unit", epsilon=8.0, delta=1e-6, planned=(event,))
    people = People(owners=("owner@example.org",), approvers=("privacy@example.org",))
    asked = ledger.propose(AddPopulation(scope, people), actor="owner@example.org", reason="to train a router")
    ledger.approve(asked, actor="privacy@example.org", reason="read and agreed")
    ledger.bind_source("customers", fingerprint)                     # keyed by the caller
    grant = ledger.charge("customers", event, source=fingerprint, release="monthly count", key=..., owner=run_id,
                          plan_digest=..., ready=check)              # from here on it is spent
    ledger.redeem(grant, population="customers", fingerprint=fingerprint)
    ...                                                              # read the rows, run the mechanism
    ledger.commit(grant, artifact_digest=..., event=event)

Admission is by a Renyi filter over weighted orders (`ledger.renyi_filter` has rule and proof), so it holds when
releases are chosen after seeing earlier ones; or by a closed plan of all releases. The package knows mechanisms and
numbers; it holds nothing that depends on data and uses duckdb, filelock, cryptography and dp_accounting, each imported
when first needed. What is not imported here is not public, except `ledger.accounting` (calibrate, epsilon) and
`ledger.events` (from_json). `ledger/replay.py` is a program of its own.
"""

from ledger.admission import Request
from ledger.book import Ledger
from ledger.checkpoints import Checkpoint
from ledger.errors import (
    BudgetRefused,
    InvalidEvent,
    LedgerBroken,
    LedgerBusy,
    LedgerError,
    LedgerMissing,
    ProtocolError,
    SealError,
    SourceTaken,
    TermsConflict,
)
from ledger.events import (
    Composed,
    DiscreteLaplace,
    Event,
    Gaussian,
    Laplace,
    MixtureOfGaussians,
    PoissonSampledGaussian,
    RepeatAndSelect,
    SelfComposed,
)
from ledger.incidents import Finding, Incident
from ledger.people import People, person
from ledger.quoting import quote_unregistered
from ledger.records import (
    NEIGHBOURING_RELATION,
    AddPopulation,
    Balance,
    BlockBalance,
    Change,
    Entry,
    Grant,
    Line,
    Proposal,
    Quote,
    RaiseCap,
    Reservation,
    Scope,
    SetPeople,
    SetTerms,
    Spending,
)
from ledger.scopes import EVERYTHING
from ledger.sealing import Charge
from ledger.seals import Guarantee, Seal
from ledger.statements import Statement

__all__ = [
    "EVERYTHING",
    "NEIGHBOURING_RELATION",
    "AddPopulation",
    "Balance",
    "BlockBalance",
    "BudgetRefused",
    "Change",
    "Charge",
    "Checkpoint",
    "Composed",
    "DiscreteLaplace",
    "Entry",
    "Event",
    "Finding",
    "Gaussian",
    "Grant",
    "Guarantee",
    "Incident",
    "InvalidEvent",
    "Laplace",
    "Ledger",
    "LedgerBroken",
    "LedgerBusy",
    "LedgerError",
    "LedgerMissing",
    "Line",
    "MixtureOfGaussians",
    "People",
    "PoissonSampledGaussian",
    "Proposal",
    "ProtocolError",
    "Quote",
    "RaiseCap",
    "RepeatAndSelect",
    "Request",
    "Reservation",
    "Scope",
    "Seal",
    "SealError",
    "SelfComposed",
    "SetPeople",
    "SetTerms",
    "SourceTaken",
    "Spending",
    "Statement",
    "TermsConflict",
    "person",
    "quote_unregistered",
]
