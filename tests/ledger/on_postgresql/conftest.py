"""The same fixtures on a PostgreSQL server: what holds of a ledger in a file holds of one that lies there."""

from __future__ import annotations

import itertools
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger import Ledger, Scope
from ledger.addresses import Address, address_of
from ledger.places import store_at, write_address
from tests.ledger.conftest import _prepared
from tests.postgresql import postgresql

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    with postgresql(fsync="on") as port:
        yield port


@pytest.fixture(scope="session")
def new_address(port: int) -> Callable[[], Address]:
    """Addresses at which nothing is yet."""
    return lambda: address_of(f"postgresql://127.0.0.1:{port}/postgres?schema=ledger_{next(_numbers)}")


@pytest.fixture(scope="session")
def blank_ledger(tmp_path_factory: pytest.TempPathFactory, new_address: Callable[[], Address]) -> Callable[[], Ledger]:
    def make() -> Ledger:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(secrets, "token_hex", lambda _: "memory")  # one id, as those in memory have
            return Ledger.create(tmp_path_factory.mktemp("blank") / "ledger.duckdb", address=new_address())

    return make


@pytest.fixture
def new_ledger(blank_ledger: Callable[[], Ledger], scope: Scope) -> Callable[[], Ledger]:
    return lambda: _prepared(blank_ledger(), scope)


@pytest.fixture(scope="session")
def copied(new_address: Callable[[], Address]) -> Callable[[Path, Path], None]:
    def copy(path: Path, to: Path) -> None:
        ledger_id, records, _ = store_at(path).everything()
        write_address(to, new_address())
        store_at(to).create(ledger_id, records)
        shutil.copy(f"{path}.key", f"{to}.key")

    return copy


def connected(address: Address):
    import psycopg

    return psycopg.connect(host=address.host, port=address.port, dbname=address.database, autocommit=True)


@pytest.fixture
def server_connection(path: Path, ledger: Ledger):
    """The owner's connection, in which the ledger's names mean its tables."""
    address = store_at(path).address
    with connected(address) as connection:
        connection.execute(f"SET search_path TO {address.schema}")
        yield connection
