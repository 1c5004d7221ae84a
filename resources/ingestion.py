"""From a source to a snapshot's draft: records as they come, and what all of them together say.

Each batch is written, counted and compared, and then let go. What is left of the records in memory is two truth values
for each and the identities of texts; what else depends on all of them is reckoned in a database in the draft's folder.

Knows neither the ledger nor which snapshot stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.known_records import KnownRecords, blocks_of
from resources.scratch import scratch
from resources.tabular import Fingerprint, SourceError, batches_at, figures, schema_of, thin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resources.snapshots import Draft
    from resources.source import Source


class ProtectedRowsError(SourceError):
    """Rows that are declared public are records of a source that is not."""


@dataclass(frozen=True)
class IngestResult:
    """What became of a source's records.

    Attributes:
        kept: for each record of the draft, whether the snapshot is to hold it.
        counts: for the owner alone.
        blocks: of the population, that the records belong to.
        overlaps: blocks of other populations that hold the same records.
        content: of a source that is declared public, its fingerprint.
    """

    kept: NDArray[np.bool_]
    counts: Mapping[str, int]
    blocks: tuple[str, ...]
    overlaps: tuple[str, ...]
    content: str | None


def ingest_into(
    draft: Draft, source: Source, size: float, identity: str, known: KnownRecords, key: bytes
) -> IngestResult:
    """Write the records of a source into a draft, and remember under `identity` what of them is compared.

    Raises:
        SourceError: it cannot be read.
        ProtectedRowsError: it is declared public, and holds records of a protected one.
    """
    import numpy as np

    columns = source.columns
    counts = Counter(figures(schema_of(columns).empty_table(), columns))
    content = Fingerprint(source, key) if source.public else None
    thinned = [np.empty(0, np.bool_)]
    with scratch(draft.folder) as database:
        index = known.index(source, database)
        for batch in batches_at(source.place, source.where, columns, source.layout):
            draft.add(batch)
            index.add(batch)
            counts.update(figures(batch, columns))
            thinned.append(np.array(thin(batch, columns, size, key)))
            if content is not None:
                content.add(batch)
        read = known.read_for_blocks(index)
        records = known.records(index)
        if source.public and known.protected(records.all_texts(), source):
            raise are_protected(source, "the source")
        blocks = tuple(sorted({*blocks_of(source), *known.other_blocks(records)}))
        overlaps = known.overlaps(records)
        known.remember(records, index, identity)
    kept = read & np.concatenate(thinned)
    return IngestResult(kept, counts, blocks, overlaps, None if content is None else content.value())


def are_protected(source: Source, what: str) -> ProtectedRowsError:
    """What to say of such rows."""
    return ProtectedRowsError(
        f"{what} of {source.contract} is declared public, but records of a source that is protected are in it: they "
        "are read with a grant of the privacy ledger only. Take them out, or name another place"
    )
