"""Where a ledger lies: in the DuckDB file at its path, or on the server whose address stands beside that.

    ledger.duckdb          the ledger itself; or
    ledger.address         the address of a PostgreSQL server that keeps it
    ledger.moving          while it is moved (`ledger.moving`), when there is none
    ledger.duckdb.key      the key that signs its checkpoints, on every machine that writes to it

The address lies with the home and not in the environment: a process that lacked the variable would otherwise spend
from another ledger.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from ledger.addresses import Address, address_of
from ledger.errors import LedgerBroken, LedgerError, LedgerMissing
from ledger.postgresql import PostgreSQLStore
from ledger.store import DuckDBStore, make_durable
from ledger.transaction import Witness

ADDRESS = ".address"

AnyStore = DuckDBStore | PostgreSQLStore


def key_at(path: Path | str) -> Path:
    """The file of the key that signs the checkpoints of the ledger at this path."""
    return DuckDBStore(path).key_path  # one file, one key, whatever name it was reached by


def store_at(path: Path | str, witness: Witness | None = None) -> AnyStore:
    """The store of the ledger at this path.

    Raises:
        LedgerBroken: there is a ledger's file, and the address of another one beside it.
        LedgerMissing: it is being moved.
        LedgerError: what stands beside it is no address.
    """
    file = DuckDBStore(path, witness)
    if (note := moving_note(path)).exists():
        raise LedgerMissing(
            f"the ledger is being moved, as {note} says, and is nowhere until that is done. If nobody does it any "
            "more, give the same `dpsynth ledger move` again, which goes on"
        )
    if (address := address_at(path)) is None:
        return file
    if file.path.exists():
        raise LedgerBroken(
            f"{file.path} is a ledger, and {file.path.with_suffix(ADDRESS)} says that the ledger is elsewhere: of two "
            "ledgers neither can be believed. Move away what does not belong there"
        )
    return PostgreSQLStore(address, witness, _Place(file.path, address))


@dataclass(frozen=True)
class _Place:
    """A server's address, as long as it is the ledger's."""

    path: Path
    address: Address

    def require(self) -> None:
        if moving_note(self.path).exists() or address_at(self.path) != self.address:
            raise LedgerMissing(
                f"the ledger is not at {self.address} any more, or is being moved: nothing was entered. Give the same "
                "command again"
            )


def is_there(path: Path | str) -> bool:
    """Whether this path stands for a ledger. A server is not asked."""
    file = DuckDBStore(path).path
    return any(each.exists() for each in (file, file.with_suffix(ADDRESS), moving_note(path)))


def name_of(path: Path | str) -> str:
    """The ledger's place, for messages."""
    file = DuckDBStore(path).path
    address = address_at(path)
    return str(file if address is None else address)


def write_address(path: Path | str, address: Address | None) -> None:
    """From now on the ledger at this path is on that server; in its file where there is no address."""
    beside = DuckDBStore(path).path.with_suffix(ADDRESS)
    if address is None:
        beside.unlink(missing_ok=True)
        make_durable(beside.parent)
        return
    write_durably(beside, f"{address}\n")


def begun_note(path: Path | str) -> Path:
    """The file that is there while the ledger at this path is being made on a server: its address."""
    return DuckDBStore(path).path.with_suffix(".begun")


def begun_at(path: Path | str) -> str | None:
    """Where a ledger of this path was being made when that was cut off."""
    try:
        return begun_note(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def moving_note(path: Path | str) -> Path:
    """The file that is there while the ledger at this path is being moved."""
    return DuckDBStore(path).path.with_suffix(".moving")


def write_durably(file: Path, text: str) -> None:
    """Put this into a file of the ledger's folder, in one step, so that a power cut leaves the old or the new."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(descriptor)
        draft.replace(file)
    except OSError as error:
        raise LedgerError(f"{file} cannot be written ({error.strerror}): nothing was changed") from None
    finally:
        draft.unlink(missing_ok=True)
    make_durable(file.parent)


def address_at(path: Path | str) -> Address | None:
    """The server's address beside this path, if there is one.

    Raises:
        LedgerError: what stands there is no address, or cannot be read.
    """
    beside = DuckDBStore(path).path.with_suffix(ADDRESS)
    try:
        text = beside.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"{beside} cannot be read ({type(error).__name__}): put the ledger's address there") from None
    return address_of(text)
