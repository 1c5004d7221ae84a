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
are HMACs under the store's key, in files that only this user reads. A text that was rewritten is another text.

A source that is pending counts as known, so that none slips past it; one that the ledger refuses is forgotten.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from ledger import EVERYTHING
from resources.home import private_folder, replace_atomically
from resources.source import Source
from resources.tabular import keyed, present

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

LEAST_SHARED = 10
SHARE = 0.05
_UNIT_BYTES = 16  # 128 bits: that two of 10^9 units are taken for one has probability 10^-21
_NOT_READ = ""  # in place of a block: records of the source that belong to no block it is read for


@dataclass(frozen=True)
class Records:
    """The records of one source, as they are compared with those of others.

    Attributes:
        contract: None where it was remembered by a version that did not say.
        texts: keyed identities of its distinct texts, ascending, by block.
        whole: there are identities of the whole alone: which block a text is in is not known.
    """

    population: str
    contract: str | None
    public: bool
    texts: Mapping[str, NDArray[np.uint64]]
    whole: bool = False

    @property
    def blocks(self) -> tuple[str, ...]:
        return tuple(name for name in self.texts if name != _NOT_READ)

    def all_texts(self, *, read: bool = False) -> NDArray[np.uint64]:
        """The identities of all blocks; with `read`, of those records only that the source is read for."""
        return _union(texts for name, texts in self.texts.items() if not (read and name == _NOT_READ))


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

    def in_their_blocks(self, table: pa.Table, source: Source) -> tuple[pa.Table, dict[bytes, str]]:
        """The rows of the blocks that the source is read for, each unit's in its own block only; and the units among
        them that no bound source has put there: those that only a pending one knows too, since it may be withdrawn."""
        import pyarrow as pa

        columns, population = source.columns, source.population
        if columns.block is None:
            return table, {}
        place = {name: index for index, name in enumerate(columns.blocks)}
        said = present(table, columns.block)
        units = self._units(table, source)
        settled = self._settled_units(population)
        known = self._pending_units(population) | settled
        new: dict[bytes, str] = {}
        for unit, value in zip(units, said, strict=True):
            if unit is None or value not in place or unit in known:
                continue
            if unit not in new or place[value] < place[new[unit]]:
                new[unit] = value
        own = known | new
        kept = [
            unit is not None and value in place and own[unit] == value for unit, value in zip(units, said, strict=True)
        ]
        placed = {
            unit: own[unit]
            for unit, keep in zip(units, kept, strict=True)
            if keep and unit is not None and unit not in settled
        }
        if columns.unit is None:
            kept = _one_of_each(table, units, kept)
        return table.filter(pa.array(kept, pa.bool_())), placed

    def records(self, table: pa.Table, read: pa.Table, source: Source) -> Records:
        """A source's, as they are compared: `table` is all of it, `read` what is read for its blocks."""
        columns = source.columns
        said = present(read, columns.block) if columns.block else [EVERYTHING] * len(read)
        texts: defaultdict[str, list[str]] = defaultdict(list)
        for block, text in zip(said, present(read, columns.text), strict=True):
            if block is not None and text is not None:
                texts[block].append(text)
        by_block = {name: self.identities(texts[name]) for name in blocks_of(source)}
        rest = _without(self.identities(present(table, columns.text)), _union(by_block.values()))
        if len(rest):
            by_block[_NOT_READ] = rest
        return Records(source.population, source.contract, source.public, by_block)

    def identities(self, texts: Iterable[str | None]) -> NDArray[np.uint64]:
        """Keyed identities of the distinct texts, ascending."""
        import numpy as np

        numbers = [int.from_bytes(keyed(self._key, "record", text)[:8], "big") for text in texts if text is not None]
        return np.unique(np.array(numbers, dtype=np.uint64))

    def overlaps(self, records: Records) -> tuple[str, ...]:
        """Blocks of other populations, as `population/block`, whose sources hold a substantial part of these."""
        texts = records.all_texts(read=True)
        found: set[str] = set()
        for other in self._sources():
            if other.population != records.population and _substantial(texts, other.all_texts(read=True)):
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

    def remember(self, records: Records, identity: str, placed: Mapping[bytes, str]) -> None:
        """Keep them for comparison with later ones, until the ledger has spoken as those of a pending source."""
        import numpy as np

        self._write_units(self._file(records.population, "pending", identity, "parquet"), placed)
        stated = {"contract": records.contract, "public": records.public}
        file = self._file(records.population, "records", identity, "npz")
        replace_atomically(file.with_suffix(".json"), json.dumps(stated).encode(), mode=0o600)
        buffer = io.BytesIO()
        np.savez(buffer, **{f"block {name}": texts for name, texts in records.texts.items()})  # type: ignore[arg-type]
        replace_atomically(file, buffer.getvalue(), mode=0o600)

    def pending(self, source: Source) -> list[str]:
        """The pending ones of its contract, by the beginnings of their identities."""
        folder = self._folder / source.population
        names = [file.stem.removeprefix("pending-") for file in sorted(folder.glob("pending-*.parquet"))]
        return [name for name in names if self._owner(folder / f"records-{name}.npz") in (None, source.contract)]

    def is_pending(self, population: str, identity: str) -> bool:
        return self._file(population, "pending", identity, "parquet").exists()

    def settle(self, population: str, identity: str, *, bound: bool) -> None:
        """Whether the ledger took a pending source in: then its units are in their blocks; else it is forgotten."""
        pending = self._file(population, "pending", identity, "parquet")
        records = self._file(population, "records", identity, "npz")
        if bound:
            units = self._read_units(pending) | self._settled_units(population)
            if units:
                self._write_units(self._folder / population / "blocks.parquet", units)
            pending.unlink(missing_ok=True)
            self._forget_the_same(records)
        else:
            for file in (records, records.with_suffix(".json"), pending):  # what makes it pending goes last
                file.unlink(missing_ok=True)

    def _units(self, table: pa.Table, source: Source) -> list[bytes | None]:
        """The unit of each record: by its column, or by its text where each record is a unit."""
        kind, column = ("unit", source.columns.unit) if source.columns.unit else ("text", source.columns.text)
        return [
            None if name is None else keyed(self._key, kind, source.population, name)[:_UNIT_BYTES]
            for name in present(table, column)
        ]

    def _settled_units(self, population: str) -> dict[bytes, str]:
        return self._read_units(self._folder / population / "blocks.parquet")

    def _pending_units(self, population: str) -> dict[bytes, str]:
        units: dict[bytes, str] = {}
        for file in sorted((self._folder / population).glob("pending-*.parquet")):
            units |= self._read_units(file)
        return units

    def _read_units(self, file: Path) -> dict[bytes, str]:
        import pyarrow.parquet

        if not file.exists():
            return {}
        table = pyarrow.parquet.read_table(file)
        return dict(zip(table.column("unit").to_pylist(), table.column("block").to_pylist(), strict=True))

    def _write_units(self, file: Path, units: Mapping[bytes, str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        columns = {
            "unit": pa.array(units.keys(), pa.binary(_UNIT_BYTES)),
            "block": pa.array(units.values(), pa.string()),
        }
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(pa.table(columns), sink)
        replace_atomically(file, sink.getvalue().to_pybytes(), mode=0o600)

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
        return Records(file.parent.name, stated["contract"], stated["public"], by_block)

    def _owner(self, file: Path) -> str | None:
        """The contract whose source it is; None where a killed ingestion left no such file."""
        stated = file.with_suffix(".json")
        return str(json.loads(stated.read_text(encoding="utf-8"))["contract"]) if stated.exists() else None

    def _forget_the_same(self, records: Path) -> None:
        """An unchanged source need not be remembered once for each time that it was read."""
        new = self._read(records)
        for file in records.parent.glob("records-*.npz"):
            pending = file.with_name(f"pending-{file.stem.removeprefix('records-')}.parquet").exists()
            if file != records and not pending and _same(self._read(file), new):
                file.unlink()
                file.with_suffix(".json").unlink()

    def _file(self, population: str, kind: str, identity: str, suffix: str) -> Path:
        return private_folder(self._folder / population) / f"{kind}-{identity[:32]}.{suffix}"


def blocks_of(source: Source) -> tuple[str, ...]:
    """The blocks of its population that a source is made of: declared, not looked up in it."""
    return source.columns.blocks or (EVERYTHING,)


def _one_of_each(table: pa.Table, units: list[bytes | None], kept: list[bool]) -> list[bool]:
    """Of a unit's rows that are kept one, the first by what stands in it: a decision on the unit's own rows alone."""
    chosen: dict[bytes | None, tuple[str, int]] = {}
    rows = zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)
    for place, (unit, row, keep) in enumerate(zip(units, rows, kept, strict=True)):
        if keep:
            chosen[unit] = min(chosen.get(unit, (repr(row), place)), (repr(row), place))
    places = {place for _, place in chosen.values()}
    return [place in places for place in range(len(kept))]


def _substantial(texts: NDArray[np.uint64], other: NDArray[np.uint64]) -> bool:
    """Whether two sets of records have more in common than coincidence."""
    import numpy as np

    shared = len(np.intersect1d(texts, other, assume_unique=True))
    return shared >= LEAST_SHARED and shared >= SHARE * min(len(texts), len(other))


def _union(parts: Iterable[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    import numpy as np

    return np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))


def _without(texts: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint64]:
    import numpy as np

    return np.setdiff1d(texts, others, assume_unique=True)


def _same(one: Records, other: Records) -> bool:
    import numpy as np

    about = (one.contract, one.public, one.texts.keys()) == (other.contract, other.public, other.texts.keys())
    return about and all(np.array_equal(texts, other.texts[name]) for name, texts in one.texts.items())
