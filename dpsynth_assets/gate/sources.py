"""From a contract to what the stores are told of its source: the one place that knows both."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dpsynth_assets.contract import SourcePlaceError, resolve
from dpsynth_assets.contract.addresses import as_it_is_now, as_pattern, is_address, is_fixed
from resources.places import stored_at
from resources.source import Columns, Label, Layout, Source
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.source_terms import CsvFiles, LabelColumn


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
        stored={column.name: column.stored_as for column in contract.columns if column.stored_as},
    )
    return Source(
        contract=contract.declared.id,
        file=contract.path,
        digest=contract.digest,
        population=terms.population,
        place=place_of(contract, contract.source),
        layout=layout_of(contract, terms.csv),
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


def layout_of(contract: Contract, csv: CsvFiles | None) -> Layout:
    """How records are stored at a place whose CSV files are written so."""
    return Layout(
        delimiter=csv.delimiter if csv else None,
        encoding=(csv.codec if csv else None) or "utf-8",
        table=contract.stored_as or contract.table,
        schema=contract.database_schema,
        sheet=contract.stored_as,
    )


def place_of(contract: Contract, text: str) -> str:
    """A place that the contract names as an absolute path, or as the address that it is."""
    return text if is_fixed(text) else str(resolve(text, contract))


def on_copy(contract: Contract, copy: str | None) -> Contract:
    """The contract on a copy of its source that it names, or on the source itself.

    Raises:
        SourceError: it names no such place.
    """
    try:
        return contract.with_source(copy) if copy else contract
    except SourcePlaceError as error:
        raise SourceError(str(error)) from None


def is_protected(place: str, contract: Contract, sensitive: Path) -> bool:
    """Whether what lies at a place is the contract's source, a copy of it or a snapshot, by whatever name, link,
    pattern or folder: what is read without a grant may be none of them.

    Args:
        place: as `resources.places` opens it.
        sensitive: the sensitive folder of the home.

    Raises:
        SourceError: nothing that can be read lies there.
    """
    declared = contract.declared
    with suppress(SourcePlaceError):
        declared.with_source(place)
        return True
    if is_address(place):  # a server has many names, so the same path on any of them is taken for the source
        return any(_path_of(place) == _path_of(named) for named in (declared.source, *declared.privacy.source_copies))
    found = [stored.path for stored in stored_at(place, {}) if stored.path is not None]
    return any(_is_same(mine, path) for mine in _protected(declared, sensitive) for path in found)


def _path_of(address: str) -> tuple[str, str] | None:
    """Scheme and path, with the variables' values of now; None for what is no address."""
    address = as_it_is_now(address)
    if not is_address(address):
        return None
    parts = urlsplit(address)
    return parts.scheme, unquote(parts.path).strip("/")


def _protected(declared: Contract, sensitive: Path) -> Iterator[Path]:
    """Files and folders that are read under a grant only, as far as they lie on this machine."""
    yield sensitive
    yield from sensitive.glob("*/*/*.parquet")
    folder = glob.escape(str(declared.path.parent.resolve()))
    for named in (as_pattern(declared.source), *declared.privacy.source_copies):
        if is_address(named):
            continue
        pattern = os.path.join(folder, as_it_is_now(str(Path(named).expanduser())))  # noqa: PTH118 (a pattern)
        for found in glob.iglob(os.path.normpath(pattern)):  # noqa: PTH207 (absolute)
            yield Path(found)
            yield from Path(found).glob("*.parquet")  # of a folder, of which any may have another name elsewhere


def _is_same(protected: Path, path: Path) -> bool:
    with suppress(OSError):
        return protected.samefile(path) or path.resolve().is_relative_to(protected.resolve())
    return False
