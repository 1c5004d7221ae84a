"""From a contract to what the stores are told of its source: the one place that knows both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpsynth_assets.contract import SourcePlaceError, resolve
from resources.source import Columns, Label, Source
from resources.tabular import HUB, SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.source_terms import LabelColumn


def source_of(contract: Contract, copy: str | None = None) -> Source:
    """The source of a contract, or of what it is a variant of; with `copy`, at that place in place of its own.

    Raises:
        SourceError: the contract names no such place.
    """
    contract, terms = on_copy(contract, copy), contract.privacy
    blocks = terms.blocks
    columns = Columns(
        text=terms.text.column,
        labels=tuple(map(_label, terms.labels)),
        types={column.name: contract.logical_type(column.name) for column in contract.columns},
        unit=terms.unit.column,
        block=blocks.column if blocks else None,
        blocks=blocks.values if blocks else (),
    )
    return Source(
        contract=contract.declared.id,
        file=contract.path,
        digest=contract.digest,
        population=terms.population,
        place=place_of(contract, contract.source),
        copy=contract.source if copy else None,
        where=terms.source_where,
        columns=columns,
        public=terms.source_is_public,
        max_records=terms.unit.max_records,
        max_characters=terms.text.max_characters,
        retention_days=contract.retention_days,
    )


def _label(label: LabelColumn) -> Label:
    texts = {stored: plain for stored, plain in label.decoding.items() if isinstance(stored, str)}
    codes = {str(code): plain for code, plain in zip(label.codes or (), label.values, strict=False)}
    return Label(label.column, texts, codes)


def place_of(contract: Contract, text: str) -> str:
    """A place that the contract names as an absolute path, or as the Hub name it is."""
    return text if text.startswith(HUB) else str(resolve(text, contract))


def on_copy(contract: Contract, copy: str | None) -> Contract:
    """The contract on a copy of its source that it names, or on the source itself.

    Raises:
        SourceError: it names no such place.
    """
    try:
        return contract.with_source(copy) if copy else contract
    except SourcePlaceError as error:
        raise SourceError(str(error)) from None
