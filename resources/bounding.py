"""Which records of each unit are used, where it has more than a contract allows.

Formal claim: the choice is a function of the unit's own records and of the key. Those are used whose keyed hash is
smallest; of equal ones, the first in the order of the source. The hash is of the whole record, so that two with the
same hash are the same record, and whichever is used, the same rows come out. Misuse that breaks it: choosing by a
record's place, or by how many records there are.

The records pass once, some at a time, and how many says nothing. What is kept of each meanwhile is its unit, its hash
and its place, in a database (`resources.scratch`); and in memory one byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resources.scratch import insert, scratch
from resources.tabular import keyed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BEYOND = """
    select place from records
    where unit in (select unit from records group by unit having count(*) > $most)
    qualify row_number() over (partition by unit order by draw, place) > $most
"""


def bound_units(
    batches: Iterable[Sequence[tuple[str, ...]]], max_records: int, key: bytes, folder: Path | None = None
) -> NDArray[np.bool_]:
    """For each record, in their order, whether it is one of the at most `max_records` that are used of its unit.

    Args:
        batches: of records, each with its unit first.
        folder: for a database on disk; None: the records are few, and it stays in memory.
    """
    import numpy as np
    import pyarrow as pa

    count = 0
    with scratch(folder) as database:
        database.execute("create table records (place bigint, unit varchar, draw blob)")
        for records in batches:
            columns = {
                "place": np.arange(count, count + len(records)),
                "unit": pa.array((record[0] for record in records), pa.large_string()),
                "draw": pa.array((keyed(key, "bound", *record) for record in records), pa.binary()),
            }
            insert(database, "records", pa.table(columns))
            count += len(records)
        beyond = database.execute(_BEYOND, {"most": max_records}).fetchnumpy()["place"]
    used = np.ones(count, np.bool_)
    used[beyond] = False
    return used
