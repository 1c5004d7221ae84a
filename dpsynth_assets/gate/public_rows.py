"""Rows that a contract declares public: its test split, rows to mix in, and a source that is published. Free.

That they are public is a declaration, which two people sign together with the place. A file that was put there may say
otherwise: rows that are records of a protected source are not read as public, whoever names them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dpsynth_assets.gate.sources import layout_of, on_copy, place_of, source_of
from resources.sensitive_store import SensitiveStore, require_public
from resources.tabular import SourceError, as_rows, table_at

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.classifiers import PublicRows
    from dpsynth_assets.contract.source_terms import CsvFiles
    from resources.source import Equalities


def public_rows(contract: Contract, store: SensitiveStore) -> pd.DataFrame:
    """The source's own rows without a grant, only where its owner has declared the source public.

    Raises:
        GrantRequiredError: nobody has.
        SourceError: they cannot be read, or are records of a protected source.
    """
    require_public(source_of(contract))
    contract = _as_snapshotted(contract, store)
    return _unprotected(_source_rows(contract), contract, store, "the source")


def test_rows(contract: Contract, store: SensitiveStore) -> pd.DataFrame:
    """The rows of the test split that the contract declares public, if it has one: `unit`, `text` and the label
    columns.

    Raises:
        SourceError: they cannot be read, there are none, or they are records of a protected source.
    """
    return signed_test_rows(_as_snapshotted(contract, store), store)


def signed_test_rows(contract: Contract, store: SensitiveStore) -> pd.DataFrame:
    """As `test_rows`, whatever was snapshotted: for whoever has seen that the terms are signed for
    (`gate.approval.require_terms`)."""
    rows = _test_rows(contract)
    if rows.empty:
        raise SourceError(f"the public test split of {contract.id} {_undescribed('test_split', contract)}")
    return _unprotected(rows, contract, store, "the public test split")


def mixed_rows(contract: Contract, mix: PublicRows, store: SensitiveStore) -> pd.DataFrame:
    """Rows that the contract declares public, for classifiers to be trained on too, in the same columns as the test
    split's.

    Raises:
        SourceError: they cannot be read, there are none, or they are records of a protected source.
    """
    store.latest(source_of(contract))  # these terms are those that were approved when the source was read
    rows = _rows(contract, mix.path, mix.where, mix.csv)
    if rows.empty:
        raise SourceError(f"the public rows to mix in for {contract.id}: their place {_undescribed('mix', contract)}")
    return _unprotected(rows, contract, store, "the public rows to mix in")


def require_public_rows(contract: Contract, store: SensitiveStore) -> None:
    """Pass if the public rows that free assets need later are there: nothing is charged for a table that nobody could
    evaluate.

    Raises:
        SourceError: they cannot be read, there are none, or they are records of a protected source.
    """
    if contract.privacy.test_split is not None:
        test_rows(contract, store)
    for part in (contract.privacy.classifier, contract.privacy.safety_classifier):
        if part is not None and part.mix is not None:
            mixed_rows(contract, part.mix, store)


def require_unprotected(contract: Contract, store: SensitiveStore) -> None:
    """Pass if neither the source of a contract, said to be public, nor its test split is known to `store` as protected.

    Raises:
        SourceError: they cannot be read, or are records of a protected source.
    """
    require_public(source_of(contract))
    _unprotected(_source_rows(contract), contract, store, "the source")
    if contract.privacy.test_split is not None:
        _unprotected(_test_rows(contract), contract, store, "the public test split")


def _undescribed(term: str, contract: Contract) -> str:
    labels = ", ".join(f"`{label.column}`" for label in contract.privacy.labels)
    described, values = "with a text", ""
    if labels:
        described += " and a declared value of every label"
        values = f", or the values, codes and spellings of {labels} in the contract"
    return f"holds no row that the contract describes, {described}: correct `{term}.path` or `{term}.where`{values}"


def _as_snapshotted(contract: Contract, store: SensitiveStore) -> Contract:
    """The contract on that copy of its source which the standing snapshot was taken of."""
    return on_copy(contract, store.latest(source_of(contract)).copy)


def _source_rows(contract: Contract) -> pd.DataFrame:
    return _rows(contract, contract.source, contract.privacy.source_where, contract.privacy.csv)


def _test_rows(contract: Contract) -> pd.DataFrame:
    split = contract.privacy.test_split
    assert split is not None, "nobody asks otherwise"
    in_source = split.path == contract.source
    return _rows(contract, split.path, split.where, contract.privacy.csv if in_source else split.csv)


def _rows(contract: Contract, path: str, where: Equalities, csv: CsvFiles | None) -> pd.DataFrame:
    place, source = place_of(contract, path), source_of(contract)
    columns = source.columns
    if place != source.place:  # elsewhere neither unit nor block is asked
        columns = replace(columns, unit=None, block=None)
    return as_rows(table_at(place, where, columns, layout_of(contract, csv)), columns)


def _unprotected(rows: pd.DataFrame, contract: Contract, store: SensitiveStore, what: str) -> pd.DataFrame:
    store.require_unprotected(rows["text"].tolist(), source_of(contract), what)
    return rows
