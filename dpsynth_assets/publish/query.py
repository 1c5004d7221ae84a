"""SQL on the published releases: each query runs in a process of its own, which can read them and nothing else.

    answer = query(Path(".dpsynth/warehouse"), "SELECT * FROM releases", digests)

What the process may and may not do stands in `query_process`. Here it is started, without this process's environment,
held to its limits, and its answer is read, as data that is not trusted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpsynth_assets.publish.answer import Answer
from dpsynth_assets.publish.json_values import decode
from dpsynth_assets.publish.release import QueryError
from dpsynth_assets.publish.warehouse import PARQUET

_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from dpsynth_assets.publish.query_process import main
main()
"""


@dataclass(frozen=True)
class Limits:
    """What one query may use: memory of its process and size of its answer in bytes, time in seconds; and how many
    values its answer may have, those within lists and each row counted too, which take memory here however short they
    are.

    Nothing is spilled to disk: a query that needs more memory fails.
    """

    memory_bytes: int = 4 << 30
    answer_bytes: int = 1 << 30
    answer_values: int = 50_000_000
    seconds: float = 600.0

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= threading.TIMEOUT_MAX:  # a timer refuses more when it is too late to say so
            raise QueryError(f"a query may take from 0 to {threading.TIMEOUT_MAX:.0f} seconds, not {self.seconds:g}")


def query(home_warehouse: Path, sql: str, digests: Mapping[str, str], limits: Limits | None = None) -> Answer:
    """Answer one SELECT (or DESCRIBE, SUMMARIZE, SHOW, PIVOT, EXPLAIN) on the synthetic tables.

    Args:
        digests: SHA-256 of each table that the ledger has sealed, by its name below the warehouse's Parquet folder
            (`resources.seals.digests_of_tables`). Other files are not read.

    Raises:
        QueryError: it could not be answered, or is no question; says why.
    """
    limits = limits or Limits()
    try:
        sql.encode()
    except UnicodeEncodeError:
        raise QueryError("the SQL holds bytes that are no UTF-8 text: set a UTF-8 locale, such as C.UTF-8") from None
    request = {
        "folder": str((home_warehouse / PARQUET).absolute()),
        "digests": dict(digests),
        "place": str(home_warehouse),
        "sql": sql,
        "memory_bytes": limits.memory_bytes,
    }
    modules = [path for path in sys.path if path]
    with subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", "-c", _START, json.dumps(modules)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"OMP_NUM_THREADS": "1"},  # nothing of ours: neither keys nor passwords nor places
        cwd="/",
        start_new_session=True,  # an interrupt is ours to pass on
    ) as process:
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limits.seconds, end)
        timer.start()
        try:
            return _answer(process, request, limits)
        except (ValueError, TypeError, KeyError, OSError):
            if late.is_set():
                raise QueryError(
                    f"the query took longer than {limits.seconds:g} seconds: ask for less, or allow more (--timeout)"
                ) from None
            raise QueryError(
                "the process of the query ended before it had answered: it may have needed more memory than it may "
                "use; ask for less, or allow more (--memory)"
            ) from None
        finally:
            timer.cancel()
            process.kill()


def _answer(process: subprocess.Popen[bytes], request: dict[str, Any], limits: Limits) -> Answer:
    """What the process answers; ValueError, TypeError or KeyError where the process does not answer as it should."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request).encode())
    process.stdin.close()
    columns: list[str] = []
    kinds: list[Any] = []
    rows: list[tuple[Any, ...]] = []
    left, values = limits.answer_bytes, limits.answer_values
    while True:
        line = process.stdout.readline(left + 1)
        left -= len(line)
        if left < 0:
            raise _too_long(f"{limits.answer_bytes:,} bytes")
        values -= line.count(b",") + line.count(b"[")  # not fewer than it has; counted before they are made
        if values < 0:
            raise _too_long(f"{limits.answer_values:,} values")
        message = json.loads(line)
        if "error" in message:
            raise QueryError(str(message["error"]))
        if "end" in message:
            return Answer(columns, kinds, rows)
        if "columns" in message:
            columns = [str(name) for name in message["columns"]]
            kinds = list(message["kinds"])
        else:
            rows += [tuple(map(decode, row)) for row in message["rows"]]


def _too_long(most: str) -> QueryError:
    return QueryError(f"the answer is longer than {most}: ask for less, with LIMIT or an aggregate")
