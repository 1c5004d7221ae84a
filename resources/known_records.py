"""What the sensitive store remembers of earlier sources: who is in which block, and whose records are whose.

    sensitive/known/<population>/blocks.parquet          in a divided population, the block that each unit is in
    sensitive/known/<population>/records-<source>.npz    keyed identities of a source's texts, block by block
    sensitive/known/<population>/records-<source>.json   whose source it is, and whether its owner declared it public
    sensitive/known/<population>/pending-<source>.parquet  until the ledger has bound it: units that it puts into blocks

Three things depend on it. In a population that is *divided* into blocks, each unit stays for good in the block that it
first appears in, and its records that say another are left out: so adding or removing a unit changes one block, in
which all charges about it are. Without a unit column the text stands for the unit: all records of one text are one
unit, of which one record is used. A source that shares records with another block, of this population or of another
one, under other names, is charged there too. And records of a source that is not public are not read as public.

The first is decided unit by unit. The others are facts about sources as a whole, and show: fewer than `LEAST_SHARED`
texts in common, or less than `SHARE` of the smaller side, are taken for coincidence. Nothing else leaves: identities
are HMACs under the store's key, in files that only this user reads. Texts are compared by their letters and digits
alone (`resources.letters`); one that was rewritten is another text. So are two columns of one table: a source at the
place of another population's, with the same unit column, holds its people whatever texts are read of them.

A source that is pending counts as known, so that none slips past it; one that the ledger refuses is forgotten.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from ledger import EVERYTHING
from resources.home import private_folder, replace_atomically, replacing
from resources.letters import letters_of
from resources.places import HUB, expanded, stored_at
from resources.scratch import insert
from resources.source import Equalities, Source
from resources.tabular import keyed, present
from resources.unit_blocks import PENDING, UnitBlocks, pending_in

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

LEAST_SHARED = 10
SHARE = 0.05
_UNIT_BYTES = 16  # 128 bits: that two of 10^9 units are taken for one has probability 10^-21
_WITH_TABLES = (".duckdb", ".sqlite", "postgresql")
_NOT_READ = ""  # in place of a block: records of the source that belong to no block it is read for


@dataclass(frozen=True)
class Records:
    """The records of one source, as they are compared with those of others.

    Attributes:
        contract: None where it was remembered by a version that did not say.
        texts: keyed identities of its distinct texts, ascending, by block.
        whole: there are identities of the whole alone: which block a text is in is not known.
        place: keyed identity of the table that they were read from, and of its unit column; None where it was
            remembered by a version that did not say.
        where: which of its records are read, by the columns' names there.
    """

    population: str
    contract: str | None
    public: bool
    texts: Mapping[str, NDArray[np.uint64]]
    whole: bool = False
    place: str | None = None
    where: Equalities = field(default_factory=dict)

    @property
    def blocks(self) -> tuple[str, ...]:
        return tuple(name for name in self.texts if name != _NOT_READ)

    def all_texts(self, *, read: bool = False) -> NDArray[np.uint64]:
        """The identities of all blocks; with `read`, of those records only that the source is read for."""
        return _union(texts for name, texts in self.texts.items() if not (read and name == _NOT_READ))


class RecordIndex:
    """What is compared of the records of a source that is being read: the table `record_index` of a database.

    Of each its place, the keyed identities of its text and unit, and the number of its block among those that the
    source is read for; null for none. Where each record is a unit, also its cells but for the text, as Python writes
    them: by these one is chosen of a text that several have. Units and blocks only in a divided population.
    """

    def __init__(self, known: KnownRecords, source: Source, database: duckdb.DuckDBPyConnection) -> None:
        self.source, self.database, self.count = source, database, 0
        self._known = known
        self._rank = {name: rank for rank, name in enumerate(source.columns.blocks)}
        database.execute(
            "create table record_index (place bigint, text ubigint, unit blob, block integer, cells varchar)"
        )

    def add(self, batch: pa.RecordBatch) -> None:
        import numpy as np
        import pyarrow as pa

        columns, known = self.source.columns, self._known
        texts = present(batch, columns.text)
        identities = [None if text is None else known.identity(text) for text in texts]
        units: list[bytes | None] = [None] * len(batch)
        blocks: list[int | None] = [None] * len(batch)
        cells: list[str | None] = [None] * len(batch)
        if columns.block is not None:
            names = present(batch, columns.unit) if columns.unit else texts
            units = [None if name is None else known.unit(self.source, name) for name in names]
            blocks = [None if name is None else self._rank.get(name) for name in present(batch, columns.block)]
            if columns.unit is None:
                others = (batch.column(name).to_pylist() for name in columns.names if name != columns.text)
                cells = [repr(row) for row in zip(*others, strict=True)]
        rows = {
            "place": np.arange(self.count, self.count + len(batch)),
            "text": pa.array(identities, pa.uint64()),
            "unit": pa.array(units, pa.binary()),
            "block": pa.array(blocks, pa.int32()),
            "cells": pa.array(cells, pa.large_string()),
        }
        insert(self.database, "record_index", pa.table(rows))
        self.count += len(batch)

    def texts(self, of: str, *values: int) -> NDArray[np.uint64]:
        """The distinct texts of some records, ascending."""
        import numpy as np

        asked = f"select distinct text {of} order by text nulls last"
        found = self.database.sql(asked, params=list(values)).to_arrow_table().column("text").drop_null()
        return np.asarray(found.to_numpy(), np.uint64)


class KnownRecords:
    """The memory of one store, under its folder and key."""

    def __init__(self, sensitive: Path, key: bytes) -> None:
        self._folder = private_folder(sensitive / "known")
        self._key = key

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One ingestion at a time: two at once could put a unit into two blocks."""
        with filelock.FileLock(self._folder / ".lock", mode=0o600):
            yield

    def index(self, source: Source, database: duckdb.DuckDBPyConnection) -> RecordIndex:
        """For the records of a source that is being read."""
        return RecordIndex(self, source, database)

    def read_for_blocks(self, index: RecordIndex) -> NDArray[np.bool_]:
        """For each record, whether the source is read for it: of the blocks that it is read for, each unit's
        records in its own block only. The units among them that no bound source has put there are what `remember` keeps
        of units: those that only a pending one knows too, since it may be withdrawn."""
        import numpy as np

        columns = index.source.columns
        blocks = self._blocks(index.source.population)
        blocks.assign(index.database, columns.blocks, one_each=columns.unit is None)
        if columns.block is None:
            return np.ones(index.count, np.bool_)
        read = np.zeros(index.count, np.bool_)
        read[index.database.execute("select place from read").fetchnumpy()["place"]] = True
        return read

    def records(self, index: RecordIndex) -> Records:
        """A source's, as they are compared, once it is known what it is read for."""
        source = index.source
        if source.columns.block is None:
            by_block = {EVERYTHING: index.texts("from record_index")}
        else:
            of_block = "from record_index join read using (place) where read.block = ?"
            by_block = {name: index.texts(of_block, rank) for rank, name in enumerate(source.columns.blocks)}
            rest = _without(index.texts("from record_index"), _union(by_block.values()))
            if len(rest):
                by_block[_NOT_READ] = rest
        return Records(
            source.population,
            source.contract,
            source.public,
            by_block,
            place=self._place(source),
            where={source.columns.stored.get(name, name): said for name, said in source.where.items()},
        )

    def identities(self, texts: Iterable[str | None]) -> NDArray[np.uint64]:
        """Keyed identities of the distinct texts, ascending."""
        import numpy as np

        return np.unique(np.fromiter((self.identity(text) for text in texts if text is not None), np.uint64))

    def identity(self, text: str) -> int:
        """The keyed identity of a text, of 64 bits. What programs change on their way makes no other text."""
        return int.from_bytes(keyed(self._key, "record", letters_of(text))[:8], "big")

    def unit(self, source: Source, name: str) -> bytes:
        """The keyed identity of a unit of a population: by its column, or by its text where each record is a unit."""
        kind = "unit" if source.columns.unit else "text"
        return keyed(self._key, kind, source.population, name)[:_UNIT_BYTES]

    def overlaps(self, records: Records) -> tuple[str, ...]:
        """Blocks of other populations, as `population/block`, whose sources hold a substantial part of these, or lie at
        their place."""
        texts = records.all_texts(read=True)
        found: set[str] = set()
        for other in self._sources():
            if other.population == records.population:
                continue
            if _at_one_place(records, other) or _substantial(texts, other.all_texts(read=True)):
                found.update(f"{other.population}/{name}" for name in other.blocks)
        return tuple(sorted(found))

    def other_blocks(self, records: Records) -> set[str]:
        """Other blocks of their population in which a substantial part of them is known, by other units' names.

        Of sources that an earlier version remembered, whose units it knew less well, all blocks.
        """
        known: defaultdict[str, list[NDArray[np.uint64]]] = defaultdict(list)
        found: set[str] = set()
        for other in self._sources(records.population):
            if other.whole:
                found.update(other.blocks)
            else:
                for name in other.blocks:
                    known[name].append(other.texts[name])
        for name, parts in known.items():
            elsewhere = _union(records.texts[each] for each in records.blocks if each != name)
            if _substantial(elsewhere, _union(parts)):
                found.add(name)
        return found - {*records.blocks}

    def protected(self, texts: NDArray[np.uint64], source: Source) -> bool:
        """Whether `LEAST_SHARED` of these texts or more are records of sources that nobody declared public.

        Two people who declare a contract's source public speak for what was read as that contract's source before.
        """
        import numpy as np

        own = (None, source.contract)
        theirs = [
            other.all_texts()
            for other in self._sources()
            if not other.public
            and not (source.public and other.population == source.population and other.contract in own)
        ]
        return len(np.intersect1d(texts, _union(theirs), assume_unique=True)) >= LEAST_SHARED

    def hold(self, texts: NDArray[np.uint64]) -> bool:
        """Whether these have a substantial part in common with a source that nobody declared public."""
        return any(not other.public and _substantial(texts, other.all_texts()) for other in self._sources())

    def remember(self, records: Records, index: RecordIndex, identity: str) -> None:
        """Keep them for comparison with later ones, until the ledger has spoken as those of a pending source."""
        import numpy as np

        self._blocks(records.population).remember(index.database, self._pending(records.population, identity))
        stated = {name: getattr(records, name) for name in ("contract", "public", "place", "where")}
        file = self._file(records.population, "records", identity, "npz")
        replace_atomically(file.with_suffix(".json"), json.dumps(stated).encode(), mode=0o600)
        with replacing(file, 0o600) as sink:
            np.savez(sink, **{f"block {name}": texts for name, texts in records.texts.items()})  # type: ignore[arg-type]

    def pending(self, source: Source) -> list[str]:
        """The pending ones of its contract, by the beginnings of their identities."""
        folder = self._folder / source.population
        names = [file.stem.removeprefix(f"{PENDING}-") for file in pending_in(folder)]
        return [name for name in names if self._owner(folder / f"records-{name}.npz") in (None, source.contract)]

    def is_pending(self, population: str, identity: str) -> bool:
        return self._pending(population, identity).exists()

    def settle(self, population: str, identity: str, *, bound: bool) -> None:
        """Whether the ledger took a pending source in: then its units are in their blocks; else it is forgotten."""
        pending = self._pending(population, identity)
        records = self._file(population, "records", identity, "npz")
        if bound:
            self._blocks(population).settle(pending)
            pending.unlink(missing_ok=True)
            self._forget_the_same(records)
        else:
            for file in (records, records.with_suffix(".json"), pending):  # what makes it pending goes last
                file.unlink(missing_ok=True)

    def _sources(self, population: str = "*") -> Iterator[Records]:
        """Those of a population, or of all."""
        for file in sorted(self._folder.glob(f"{population}/records-*.np[yz]")):
            if file.with_suffix(".json").exists():
                yield self._read(file)

    def _read(self, file: Path) -> Records:
        import numpy as np

        stated = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        if file.suffix == ".npy":  # of an earlier version: the blocks, and the texts of all of them together
            texts = np.load(file)
            blocks = [name.partition("/")[2] for name in stated]
            return Records(file.parent.name, None, False, dict.fromkeys(blocks, texts), whole=True)
        with np.load(file) as arrays:
            by_block = {name.removeprefix("block "): arrays[name] for name in arrays.files}
        about = {name: stated[name] for name in ("place", "where") if name in stated}
        return Records(file.parent.name, stated["contract"], stated["public"], by_block, **about)

    def _owner(self, file: Path) -> str | None:
        """The contract whose source it is; None where a killed ingestion left no such file."""
        stated = file.with_suffix(".json")
        return str(json.loads(stated.read_text(encoding="utf-8"))["contract"]) if stated.exists() else None

    def _forget_the_same(self, records: Path) -> None:
        """An unchanged source need not be remembered once for each time that it was read."""
        new = self._read(records)
        for file in records.parent.glob("records-*.npz"):
            pending = file.with_name(f"{PENDING}-{file.stem.removeprefix('records-')}.parquet").exists()
            if file != records and not pending and _same(self._read(file), new):
                file.unlink()
                file.with_suffix(".json").unlink()

    def _place(self, source: Source) -> str:
        """By what links and variables stand for, and by the source's own names."""
        layout, unit = source.layout, source.columns.unit
        table = layout.sheet
        if source.place.startswith(HUB):
            place = source.place
        else:
            place = expanded(source.place)
            if place.startswith("/"):
                place = os.path.realpath(place)
            if stored_at(source.place, source.where)[0].format in _WITH_TABLES:
                table = f"{layout.schema}.{layout.table}"
        said = [place, table, unit and source.columns.stored.get(unit, unit)]
        return keyed(self._key, "place", json.dumps(said))[:_UNIT_BYTES].hex()

    def _pending(self, population: str, identity: str) -> Path:
        return self._file(population, PENDING, identity, "parquet")

    def _blocks(self, population: str) -> UnitBlocks:
        return UnitBlocks(private_folder(self._folder / population))

    def _file(self, population: str, kind: str, identity: str, suffix: str) -> Path:
        return private_folder(self._folder / population) / f"{kind}-{identity[:32]}.{suffix}"


def blocks_of(source: Source) -> tuple[str, ...]:
    """The blocks of its population that a source is made of: declared, not looked up in it."""
    return source.columns.blocks or (EVERYTHING,)


def _at_one_place(one: Records, other: Records) -> bool:
    """Whether both are read from one table with one unit column, and no column of it has to differ. Whether it has to
    is as `lint` sees it, which may not be asked here: by any type that a contract may declare."""
    if one.place is None or one.place != other.place:
        return False
    return all(_may_be_equal(said, other.where[name]) for name, said in one.where.items() if name in other.where)


def _may_be_equal(one: object, other: object) -> bool:
    words = [
        {"true": "1", "false": "0"}.get(word, word) for word in (str(each).strip().lower() for each in (one, other))
    ]
    try:
        return words[0] == words[1] or Decimal(words[0]) == Decimal(words[1])
    except InvalidOperation:
        return False


def _substantial(texts: NDArray[np.uint64], other: NDArray[np.uint64]) -> bool:
    """Whether two sets of records have more in common than coincidence."""
    import numpy as np

    shared = len(np.intersect1d(texts, other, assume_unique=True))
    return shared >= LEAST_SHARED and shared >= SHARE * min(len(texts), len(other))


def _union(parts: Iterable[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    import numpy as np

    filled = [part for part in parts if len(part)]
    return filled[0] if len(filled) == 1 else np.unique(np.concatenate([np.empty(0, np.uint64), *filled]))


def _without(texts: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint64]:
    import numpy as np

    return np.setdiff1d(texts, others, assume_unique=True)


def _same(one: Records, other: Records) -> bool:
    import numpy as np

    """Whether the later of two makes the earlier one needless: of one contract, one place and the same records."""
    first, then = ((each.contract, each.public, each.place, each.where, each.texts.keys()) for each in (one, other))
    return first == then and all(np.array_equal(texts, other.texts[name]) for name, texts in one.texts.items())
