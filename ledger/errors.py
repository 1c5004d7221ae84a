"""What the ledger says when it says no.

    LedgerError                 base of everything below; catching it catches every refusal
    ├── LedgerMissing           there is no ledger file where one was expected (never created silently)
    ├── LedgerBusy              another process kept the ledger's lock for too long
    ├── LedgerBroken            the file is unreadable, of an unknown version, or its chain does not hold
    ├── InvalidEvent            an event with a parameter, name or version that the ledger cannot account for
    ├── SignatureRefused        a key or signature that is not what it must be (ledger/signatures.py)
    ├── TermsConflict           a scope's terms, or a source's population, would have to change
    ├── ProtocolError           a step out of order: a second activation, a spent token, a commit of something else
    ├── SealError               a seal that is none, that another key signed, or that an audit stands against
    └── BudgetRefused           the charge does not fit into the budget; the refusal itself is an entry

The names say what happened, without the suffix Error, because each is a refusal and not a fault of the program.
Messages name public things only: populations, releases, mechanisms, budgets. They must never quote data.
"""

from __future__ import annotations

from typing import Any


class LedgerError(Exception):
    """The ledger refused; the message says what was wrong, where, and what to do."""


class LedgerMissing(LedgerError):  # noqa: N818
    """No ledger at the path. Access without a ledger would be unmetered, so the caller must stop."""


class LedgerUnsure(LedgerError):  # noqa: N818
    """Whether a change took place is not known: it may still do so. Nothing may be concluded from not finding it."""


class LedgerBusy(LedgerError):  # noqa: N818
    """The lock file stayed held by another process beyond the time allowed."""


class LedgerBroken(LedgerError):  # noqa: N818
    """The ledger cannot be trusted as it stands. Nothing is admitted until `dpsynth audit verify` is clean."""


class InvalidEvent(LedgerError, ValueError):  # noqa: N818
    """A mechanism the ledger cannot account for: unknown, malformed, or with a parameter outside its range."""


class TermsConflict(LedgerError):  # noqa: N818
    """Terms that stand in the ledger (unit, relation, cap, delta, a source's population) are not those asked for."""


class SourceTaken(TermsConflict):
    """The data set was bound to another population before."""


class ProtocolError(LedgerError):
    """A step of reserve, activate, redeem, resume, commit, forfeit, void, or of propose and approve, out of order."""


class SealError(LedgerError):
    """A seal, or a part of one, that cannot be believed; or one that rests on what an audit refuted."""


class BudgetRefused(LedgerError):  # noqa: N818
    """The scope's rule does not admit the charge, on `block`, for the reason in `why`. Nothing was charged and nothing
    may be read.

    `spent` and `left` are the scope's epsilon before the request, `asked` the epsilon of the request alone, and
    `would_be` what the scope's epsilon would become. `entry` is the number of the refusal in the ledger.
    """

    def __init__(
        self,
        message: str,
        *,
        release: str,
        population: str,
        block: str,
        why: str,
        spent: float,
        asked: float,
        left: float,
        would_be: float,
        cap: float,
        delta: float,
        entry: int,
    ) -> None:
        super().__init__(message)
        self.release = release
        self.population = population
        self.block = block
        self.why = why
        self.spent = spent
        self.asked = asked
        self.left = left
        self.would_be = would_be
        self.cap = cap
        self.delta = delta
        self.entry = entry

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_refusal, (str(self), self.__dict__)


def _rebuild_refusal(message: str, fields: dict[str, Any]) -> BudgetRefused:
    """Pickles must cross process boundaries with their figures (executors raise in one process, report in another)."""
    return BudgetRefused(message, **fields)
