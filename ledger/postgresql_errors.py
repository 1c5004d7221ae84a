"""What a PostgreSQL server could not do for the ledger, in words: what happened, whether something may have been
entered, and what to do.

Whether something was entered is told by when it happened, and not by what it was. Before a client says COMMIT nothing
is entered, however its transaction ends. After that, an error that the server states (severity ERROR) has undone the
transaction; where the session ended instead (FATAL, PANIC, or no word at all), nobody knows.

What happened is told by SQLSTATE, most of it by the class that its first two characters are. A server's own words are
not repeated, since some of them quote what was entered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.errors import LedgerBroken, LedgerBusy, LedgerError, LedgerMissing, LedgerUnsure

if TYPE_CHECKING:
    import psycopg

    from ledger.addresses import Address

_UNKNOWN = ("08", "40003")  # connection exceptions, and a statement of which nobody knows whether it was completed
_OVERTAKEN = (
    LedgerBusy,
    "another client wrote to the ledger at {at} meanwhile",
    "give the same command again",
)
_ABSENT = (
    LedgerMissing,
    "there is no privacy ledger at {at}. Without it no budget can be checked, so nothing sensitive may be read",
    "if a ledger was there, restore it: what it charged stays spent",
)
_STANDBY = (
    LedgerError,
    "the server of {at} takes no entries now, as a standby does",
    "name the server that does, or wait until this one does",
)
# By SQLSTATE, or else by its class: what happened, and what to do. Nothing was entered.
_SAID: dict[str, tuple[type[LedgerError], str, str]] = {
    "55P03": (
        LedgerBusy,
        "another client has held the ledger at {at} for {seconds:.0f} s",
        "find it (`pg_locks`, an advisory lock) and let it finish or end it",
    ),
    "23505": _OVERTAKEN,  # a number is taken
    "40": _OVERTAKEN,  # transactions that were rolled back for one another
    "3F000": _ABSENT,  # no such schema
    "42P01": _ABSENT,  # no such table
    "42501": (
        LedgerError,
        "this account may not do that to the ledger at {at}, or not see all of it",
        "its owner grants what is needed (docs/operators.md)",
    ),
    "25006": _STANDBY,  # it is told to write
    "0A000": _STANDBY,  # or that it may
    "42P06": (
        LedgerError,
        "{at} has a schema {schema} already: a ledger is created once",
        "name another one, by `?schema=NAME`, or another database",
    ),
    "53": (
        LedgerError,
        "the server of {at} has no room left",
        "see to its disk, memory and connections, and give the same command again",
    ),
    "57": (
        LedgerError,
        "the server of {at} was told to end what it was doing for the ledger, by somebody or by a time limit",
        "give the same command again; where it was a limit, such as `statement_timeout`, have it raised for this "
        "account",
    ),
    "58": (
        LedgerError,
        "the server of {at} could not read or write its files",
        "see to its disk, and give the same command again",
    ),
}


def in_words(error: psycopg.Error, address: Address, *, committing: bool, seconds: float) -> LedgerError:
    """The same as the ledger says it.

    Args:
        committing: whether the server had been told to commit.
        seconds: how long the ledger's lock was waited for.
    """
    state, at = error.sqlstate or "", str(address)
    what = f" ({type(error).__name__}, SQLSTATE {state})" if state else ""
    if _has_ended(error) or (committing and error.diag.severity_nonlocalized != "ERROR"):
        if committing:
            return LedgerUnsure(
                f"the connection to the ledger at {at} was lost{what}. Whether what was being entered is in it is not "
                "known, and nothing was done on its strength: give the same command again, which finds it or not"
            )
        return LedgerError(
            f"the connection to the ledger at {at} was lost{what}, and nothing was entered: give the same command "
            "again. Where a time limit of the server's ended it, such as `idle_in_transaction_session_timeout`, have "
            "that raised for this account"
        )
    found = _SAID.get(state) or _SAID.get(state[:2])
    if found is None:
        return LedgerBroken(f"the ledger at {at} cannot be used{what}: run `dpsynth audit verify`")
    kind, happened, remedy = found
    return kind(
        f"{happened.format(at=at, seconds=seconds, schema=address.schema)}{what}, and nothing was entered: {remedy}"
    )


def _has_ended(error: psycopg.Error) -> bool:
    """Whether the session is over, and not only a statement."""
    import psycopg

    if error.diag.severity_nonlocalized in ("FATAL", "PANIC") or (error.sqlstate or "").startswith(_UNKNOWN):
        return True
    return not error.sqlstate and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
