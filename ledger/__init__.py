"""A privacy ledger: it decides, durably and before anything is read, whether a release still fits a budget.

    ledger = Ledger.create("privacy/ledger.duckdb")
    ledger.register(Scope("customers", "customer", "add_or_remove_one_unit", epsilon=8.0, delta=1e-6,
                          planned=(event,)), actor="data-owner@example.org")
    ledger.bind_source("customers", fingerprint)                     # keyed by the caller
    reservation = ledger.reserve("customers", event, release="adapter", key=..., owner=run_id, plan_digest=...)
    grant = ledger.activate(reservation)                             # from here on it is spent
    ledger.redeem(grant, population="customers", fingerprint=fingerprint)
    ...                                                              # read the rows, run the mechanism
    ledger.commit(grant, artifact_digest=..., event=event)

Admission is by a Renyi filter over weighted orders (`ledger.renyi_filter` has rule and proof), so it holds when
releases are chosen after seeing earlier ones. The package knows mechanisms and numbers; it holds nothing that depends
on data and uses duckdb, filelock and dp_accounting, each imported when first needed. What is not imported here is not
public, except `ledger.accounting` (calibrate, epsilon) and `ledger.events` (from_json).
"""

from ledger.audit import Statement
from ledger.book import Ledger
from ledger.errors import (
    BudgetRefused,
    InvalidEvent,
    LedgerBroken,
    LedgerBusy,
    LedgerError,
    LedgerMissing,
    ProtocolError,
    TermsConflict,
)
from ledger.events import Composed, DiscreteLaplace, Event, Gaussian, Laplace, PoissonSampledGaussian
from ledger.quoting import quote_unregistered
from ledger.records import (
    NEIGHBOURING_RELATION,
    Balance,
    Entry,
    Grant,
    Line,
    Quote,
    Reservation,
    Scope,
)

__all__ = [
    "NEIGHBOURING_RELATION",
    "Balance",
    "BudgetRefused",
    "Composed",
    "DiscreteLaplace",
    "Entry",
    "Event",
    "Gaussian",
    "Grant",
    "InvalidEvent",
    "Laplace",
    "Ledger",
    "LedgerBroken",
    "LedgerBusy",
    "LedgerError",
    "LedgerMissing",
    "Line",
    "PoissonSampledGaussian",
    "ProtocolError",
    "Quote",
    "Reservation",
    "Scope",
    "Statement",
    "TermsConflict",
    "quote_unregistered",
]
