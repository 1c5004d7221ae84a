"""Rows that a contract declares public: its test split, rows to mix in, and a source that is published. Free.

That they are public is a declaration, which two people sign together with the place. A file that was put there may say
otherwise: rows that are records of a protected source are not read as public, whoever names them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from resources.sensitive_store import SensitiveStore, require_public
from resources.tabular import SourceError, as_rows, source_table, test_table

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.classifiers import PublicRows


def public_rows(contract: Contract, store: SensitiveStore) -> pd.DataFrame:
    """The source's own rows without a grant, only where its owner has declared the source public.

    Raises:
        GrantRequiredError: nobody has.
        SourceError: they cannot be read, or are records of a protected source.
    """
    require_public(contract)
    contract = store.as_snapshotted(contract)
    return _unprotected(as_rows(source_table(contract), contract), contract, store, "the source")


def test_rows(contract: Contract, store: SensitiveStore) -> pd.DataFrame:
    """The rows of the test split that the contract declares public: `unit`, `text` and the label columns.

    Raises:
        SourceError: they cannot be read, there are none, or they are records of a protected source.
    """
    contract = store.as_snapshotted(contract)
    rows = as_rows(test_table(contract), contract)
    if rows.empty:
        raise SourceError(f"the public test split of {contract.id} holds no row that the contract describes")
    return _unprotected(rows, contract, store, "the public test split")


def mixed_rows(contract: Contract, mix: PublicRows, store: SensitiveStore) -> pd.DataFrame:
    """Rows that the contract declares public, for classifiers to be trained on too, in the same columns as the test
    split's.

    Raises:
        SourceError: they cannot be read, there are none, or they are records of a protected source.
    """
    from dpsynth_assets.contract.classifiers import PublicTestSplit

    store.latest(contract)  # these terms are those that were approved when the source was read
    named = PublicTestSplit(**mix.model_dump())
    elsewhere = replace(contract, privacy=contract.privacy.model_copy(update={"test_split": named}))
    rows = as_rows(test_table(elsewhere), elsewhere)
    if rows.empty:
        raise SourceError(f"the public rows to mix in for {contract.id} hold none that the contract describes")
    return _unprotected(rows, contract, store, "the public rows to mix in")


def require_unprotected(contract: Contract, store: SensitiveStore) -> None:
    """Pass if neither the source of a contract, said to be public, nor its test split is known to `store` as protected.

    Raises:
        SourceError: they cannot be read, or are records of a protected source.
    """
    require_public(contract)
    for what, read in (("the source", source_table), ("the public test split", test_table)):
        _unprotected(as_rows(read(contract), contract), contract, store, what)


def _unprotected(rows: pd.DataFrame, contract: Contract, store: SensitiveStore, what: str) -> pd.DataFrame:
    store.require_unprotected(rows["text"].tolist(), contract, what)
    return rows
