"""What the sensitive store remembers of earlier sources, to tell which blocks a new one is made of.

    sensitive/known/<population>/units.parquet         in a divided population, the block that each unit is in
    sensitive/known/<population>/records-<source>.npy  keyed identities of a source's texts, and beside it its blocks
    sensitive/known/<population>/refused-<source>.npy  the same, where the ledger did not take the source in

Two things depend on it. In a population that is *divided* into blocks, each unit stays for good in the block that it
first appears in, and its records that say another are left out: so adding or removing a unit changes one block. And a
source that holds the same records as another population's, under a new name, is charged to that one's blocks too.

The first is decided unit by unit. The second is a fact about two sources as a whole, and shows in the ledger: fewer
than `LEAST_SHARED` records in common, or less than `SHARE` of the smaller source, are taken for coincidence and never
shown. Nothing else leaves: identities are HMACs under the store's key, in files that only this user reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ledger import EVERYTHING
from resources.home import private_folder, replace_atomically
from resources.tabular import keyed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from dpsynth_assets.contract import Contract

LEAST_SHARED = 10
SHARE = 0.05


class KnownRecords:
    """The memory of one store, under its folder and key."""

    def __init__(self, sensitive: Path, key: bytes) -> None:
        self._folder = private_folder(sensitive / "known")
        self._key = key

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One ingestion at a time: two at once could put a unit into two blocks."""
        import filelock

        with filelock.FileLock(self._folder / ".lock", mode=0o600):
            yield

    def in_their_blocks(self, table: pa.Table, contract: Contract) -> pa.Table:
        """The rows of the blocks that the contract names, each unit's in its own block only; remembers new units."""
        import pyarrow as pa

        terms = contract.privacy
        if terms.blocks is None:
            return table
        place = {name: index for index, name in enumerate(terms.blocks.values)}
        said = table.column(terms.blocks.column).to_pylist()
        if terms.unit.column is None:  # a record is in the one block that it says
            return table.filter(pa.array([value in place for value in said], pa.bool_()))
        units = [self._identity("unit", terms.population, str(u)) for u in table.column(terms.unit.column).to_pylist()]
        own = self._units(terms.population)
        known = dict(own)
        for unit, value in zip(units, said, strict=True):
            if unit not in known and value in place and (unit not in own or place[value] < place[own[unit]]):
                own[unit] = value
        self._keep_units(terms.population, own)
        kept = [value in place and own[unit] == value for unit, value in zip(units, said, strict=True)]
        return table.filter(pa.array(kept, pa.bool_()))

    def overlaps(self, texts: NDArray[np.uint64], contract: Contract) -> tuple[str, ...]:
        """Blocks of other populations whose sources hold a substantial part of these records."""
        import numpy as np

        found: set[str] = set()
        for file in sorted(self._folder.glob("*/records-*.npy")):
            if file.parent.name == contract.privacy.population:
                continue
            other = np.load(file)
            shared = len(np.intersect1d(texts, other, assume_unique=True))
            if shared >= LEAST_SHARED and shared >= SHARE * min(len(texts), len(other)):
                found.update(json.loads(file.with_suffix(".json").read_text(encoding="utf-8")))
        return tuple(sorted(found))

    def identities(self, table: pa.Table, contract: Contract) -> NDArray[np.uint64]:
        """Keyed identities of the distinct texts of a source, shape (texts,), ascending."""
        import numpy as np

        texts = table.column(contract.privacy.text.column).to_pylist()
        return np.unique(np.array([self._identity("record", text or "") for text in texts], dtype=np.uint64))

    def remember(self, texts: NDArray[np.uint64], contract: Contract, fingerprint: str) -> None:
        """Keep a source's identities and blocks for comparison with later ones."""
        import io

        import numpy as np

        population = contract.privacy.population
        file = private_folder(self._folder / population) / f"records-{fingerprint[:32]}.npy"
        blocks = [f"{population}/{name}" for name in blocks_of(contract)]
        replace_atomically(file.with_suffix(".json"), json.dumps(blocks).encode(), mode=0o600)
        buffer = io.BytesIO()
        np.save(buffer, texts)
        replace_atomically(file, buffer.getvalue(), mode=0o600)

    def settle(self, contract: Contract, fingerprint: str, *, bound: bool) -> None:
        """Whether the ledger took the source in: what it refused belongs to nobody's population and shares no charge.

        Until it is settled a source counts, so that no later one can slip past it.
        """
        folder = self._folder / contract.privacy.population
        names = (f"refused-{fingerprint[:32]}.npy", f"records-{fingerprint[:32]}.npy")
        before, after = names if bound else reversed(names)
        if (folder / before).exists():
            (folder / before).replace(folder / after)

    def _identity(self, *parts: str) -> int:
        return int.from_bytes(keyed(self._key, *parts)[:8], "big")

    def _units(self, population: str) -> dict[int, str]:
        import pyarrow.parquet

        file = self._folder / population / "units.parquet"
        if not file.exists():
            return {}
        table = pyarrow.parquet.read_table(file)
        return dict(zip(table.column("unit").to_pylist(), table.column("block").to_pylist(), strict=True))

    def _keep_units(self, population: str, own: dict[int, str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        columns = {"unit": pa.array(own.keys(), pa.uint64()), "block": pa.array(own.values(), pa.string())}
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(pa.table(columns), sink)
        file = private_folder(self._folder / population) / "units.parquet"
        replace_atomically(file, sink.getvalue().to_pybytes(), mode=0o600)


def blocks_of(contract: Contract) -> tuple[str, ...]:
    """The blocks of its population that a contract's source is made of: declared, not looked up in the source."""
    blocks = contract.privacy.blocks
    return blocks.values if blocks else (EVERYTHING,)
