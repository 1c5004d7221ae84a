"""One view of the ledger for several questions: what would take a transaction each takes one.

Nothing is written through it. What is decided on its answers is decided again by the step that writes, in a transaction
of its own: the view only spares a caller that is going to be refused the way there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from ledger.chain import Draft
from ledger.errors import ProtocolError
from ledger.transaction import Transaction


class OneView:
    """A store whose transactions are all the same one, which is open already and takes no entry."""

    def __init__(self, book: Transaction) -> None:
        self._book = _ReadOnly(book)

    def require(self) -> None:
        """It is there: it is open."""

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        yield self._book

    def everything(self) -> NoReturn:
        raise ProtocolError("a view answers questions: the audit reads the ledger itself")

    schema_digest = everything


class _ReadOnly:
    def __init__(self, book: Transaction) -> None:
        self._book = book

    def __getattr__(self, name: str) -> Any:
        return getattr(self._book, name)

    def append(self, draft: Draft) -> NoReturn:
        raise ProtocolError(f"a view takes no entry ({draft.kind}): write to the ledger itself")
