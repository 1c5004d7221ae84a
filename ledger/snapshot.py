"""A snapshot for reviewers: the journal as one read-only DuckDB file of flat tables and views, replaced as a whole.

    write_snapshot(lines_of(ledger.export()), "audit.duckdb")
    duckdb.connect("audit.duckdb", read_only=True).sql("FROM populations")

What a reviewer asks, and the view that answers (their SQL, with comments, is `views.sql`; each view has a COMMENT):

    who is protected, by which ε and δ; what is spent, reserved, left; frozen?          populations, blocks
    which records count against which budget                                            data_sets
    every release: mechanism, its own ε, state, run, time; tuning and failed ones too   charges
    how the budget went down, charge by charge                                          burn_down
    every hand-out of rows: was anything read unpaid                                    reads
    did an audit refute what a release claims, and what rests on that release           incidents
    what was refused, and why                                                           refusals
    who asked for a change, who approved it and why; the caps over time                 approvals, cap_history
    who may sign for a population, and by which keys                                    people
    what a contract was approved with                                                   contract_terms
    what was spent elsewhere; was the ledger ever rebuilt                               external_charges, restorations
    who holds outputs                                                                   outputs
    what read rows, or could, and never said how it ended                               releases_without_end
    which ledger is this, and where does it stand                                       ledger
    is it intact: four views that must be empty (chain_breaks, artifacts_without_receipts,
    commits_without_rows, effects_without_second_person) and how many rows each has     health

A snapshot decides nothing and proves nothing: `ledger/replay.py` recomputes the journal, this makes it legible. It is
written whatever the journal says, a broken one too, since that is when somebody wants to look. The one figure that is
computed here and not in SQL is the ε that a block's sums amount to, by `RenyiFilter.spent` under its population's caps.
The file is built under another name and renamed: whoever has the old one open keeps reading it. Neither the live
ledger's file nor anything that depends on data is read here.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

from ledger import chain, events, renyi_filter
from ledger.duckdb_files import trouble
from ledger.errors import LedgerError
from ledger.renyi_filter import RenyiFilter, Vector

BATCH = 5_000  # lines held at once as Python objects
MAX_WORDS = 300  # a composition of ten thousand mechanisms is cut, not printed
MAX_WHOLE = 2**62  # what a tampered number may be at most without overflowing a column


@dataclass(frozen=True)
class Artifact:
    """An artifact that was found outside the ledger, and the checkpoint in its receipt (None where it has none).

    `digest` is its content's where the artifact is itself a release, which some charge must then have committed; None
    for what was made from releases.
    """

    name: str
    digest: str | None
    ledger: str | None
    seq: int | None
    hash: str | None


def write_snapshot(lines: Iterable[tuple[str, str]], path: Path | str, *, artifacts: Iterable[Artifact] = ()) -> Path:
    """Write tables and views of a journal to `path` and return it. An open reader of an older file is not disturbed.

    Args:
        lines: The journal as (body, hash), oldest first; read once and not held.
        artifacts: What the artifact store holds, for the view `artifacts_without_receipts`.

    Raises:
        LedgerError: the file cannot be written.
    """
    import duckdb

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{uuid.uuid4().hex}.duckdb")
    try:
        with closing(duckdb.connect(str(draft))) as connection:
            connection.execute("BEGIN")  # one write to disk instead of one for each of fifty statements
            connection.execute(files("ledger").joinpath("snapshot.sql").read_text(encoding="utf-8"))
            reading = _Reading()
            numbered = enumerate(lines, start=1)
            while batch := list(islice(numbered, BATCH)):
                rows = [_row(position, body, digest) for position, (body, digest) in batch]
                _insert(connection, "entries", [row for row, _ in rows])
                _insert(connection, "standings", [found for _, said in rows for found in reading.read(said)])
            _insert(connection, "balances", list(reading.balances()))
            _insert(connection, "artifacts", [vars(artifact) for artifact in artifacts])
            connection.execute(files("ledger").joinpath("views.sql").read_text(encoding="utf-8"))
            connection.execute("COMMIT")
        draft.replace(target)
    except duckdb.Error as error:
        raise LedgerError(
            f"{target} {trouble(draft, error).said}, so it was not written: see that its disk has room, or name "
            "another place"
        ) from error
    finally:
        for leftover in (draft, draft.with_name(draft.name + ".wal")):
            leftover.unlink(missing_ok=True)
    return target


def lines_of(exported: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The (body, hash) of each exported line. One that is not a journal's stays in its place, with no hash to match."""
    for line in exported:
        try:
            stated = json.loads(line)
            body, digest = stated["body"], stated["hash"]
        except (ValueError, KeyError, TypeError):
            body, digest = line, ""
        yield str(body), str(digest)


def in_words(event: object) -> str:
    """One line about an event for people; one that this program does not know is spelled out, never an error."""
    return _words(json.dumps(event, sort_keys=True))


@lru_cache(maxsize=4096)
def _words(document: str) -> str:
    event = json.loads(document)
    try:
        words = events.from_json(event).describe()
    except LedgerError:
        words = _spelled(event)
    return words if len(words) <= MAX_WORDS else words[: MAX_WORDS - 1] + "…"


def _spelled(event: object) -> str:
    if isinstance(event, list):
        return " + ".join(map(_spelled, event))
    if not isinstance(event, dict):
        return str(event)
    details = [f"{name} {_spelled(value)}" for name, value in event.items() if name not in ("event", "version")]
    return f"{event.get('event', 'unnamed')} ({', '.join(details)})"


def _row(position: int, body: str, digest: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """An entry's columns and what it says. Nothing is believed: a field of the wrong type is empty."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    said = parsed if isinstance(parsed, dict) else {}
    payload = said.get("payload")
    said["payload"] = payload if isinstance(payload, dict) else {}
    event = said["payload"].get("event")
    row = {
        "position": position,
        **{name: _whole(said.get(name)) for name in ("seq", "reservation")},
        **{name: _text(said.get(name)) for name in ("time", "kind", "previous", "population", "release", "owner")},
        "mechanism": None if event is None else _text(in_words(event)),
        "body": _text(body),
        "hash": _text(digest),
    }
    return row, said


def _text(value: object) -> str | None:
    """Text that a column can hold: half a surrogate pair, which only tampering writes, becomes its escape."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_WHOLE else None


@dataclass
class _Standing:
    """What the newest entry about a block says of it."""

    sums: Vector = ()
    charges: int | None = None
    used: int | None = None
    closed: bool = True


@dataclass
class _Reading:
    """Walks the entries once, to put an epsilon on what they say stands charged."""

    rules: dict[str, RenyiFilter] = field(default_factory=dict)
    blocks: dict[str, _Standing] = field(default_factory=dict)
    pending: dict[int, tuple[dict[str, Vector], list[str]]] = field(default_factory=dict)  # reserved: costs, blocks

    def read(self, said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The entry's rows for `standings`."""
        payload, kind, population = said["payload"], said.get("kind"), str(said.get("population"))
        if kind in ("registered", "cap_changed"):
            self._set_rule(population, payload)
        standing = payload.get("standing")
        standing = standing if isinstance(standing, dict) else {}
        reservation = _whole(said.get("reservation")) or 0
        if kind == "reserved":
            cost = payload.get("cost")
            costs = {name: _vector(part) for name, part in cost.items()} if isinstance(cost, dict) else {}
            self.pending[reservation] = (costs, list(standing))
        elif kind in ("activated", "voided"):
            self.pending.pop(reservation, None)
        for block, stated in standing.items():
            stated = stated if isinstance(stated, dict) else {}
            used = stated.get("used")
            self.blocks[block] = now = _Standing(
                _vector(stated.get("sums")),
                _whole(stated.get("charges")),
                len(used) if isinstance(used, list) else None,
                stated.get("closed", True) is True,
            )
            yield {"seq": _whole(said.get("seq")), **self._figures(block, now)}

    def balances(self) -> Iterator[dict[str, Any]]:
        """Each block at the journal's end, under the caps of now, and what would stand if all that is merely reserved
        were voided."""
        for block, now in self.blocks.items():
            population = _population(block)
            waiting = [costs.get(population, ()) for costs, blocks in self.pending.values() if block in blocks]
            settled: Vector = now.sums
            try:
                for cost in waiting:
                    settled = renyi_filter.replace(settled, cost, renyi_filter.zeros(settled))
            except (LedgerError, ValueError):
                settled = now.sums  # costs that cannot be right give nothing back
            if len(waiting) == now.charges:
                settled = renyi_filter.zeros(settled)
            yield self._figures(block, now) | {"renyi_settled": self._epsilon(population, settled)}

    def _figures(self, block: str, now: _Standing) -> dict[str, Any]:
        population = _population(block)
        rule = self.rules.get(population)
        return {
            "block": _text(block),
            "population": _text(population),
            "charges": now.charges,
            "places_used": now.used,
            "closed": now.closed,
            "sums": list(now.sums),
            "cap": rule.epsilon if rule else None,
            "renyi_spent": self._epsilon(population, now.sums),
        }

    def _epsilon(self, population: str, sums: Vector) -> float:
        """What the filter holds spent. Infinite where sums or caps cannot be right: nothing is left of such a block."""
        rule = self.rules.get(population)
        if rule is None or len(sums) != len(rule.orders):
            return math.inf
        return rule.spent(sums)

    def _set_rule(self, population: str, payload: Mapping[str, Any]) -> None:
        before = self.rules.pop(population, None)
        try:
            orders = before.orders if before else chain.vector(payload.get("orders"))
            weights = before.weights if before else chain.vector(payload.get("weights"))
            delta = before.delta if before else chain.real(payload.get("delta"))
            caps = chain.vector(payload.get("caps"))
            self.rules[population] = RenyiFilter(chain.real(payload.get("epsilon")), delta, orders, weights, caps)
        except LedgerError:
            pass  # a budget that could not have been built: every block of it reads infinite


def _population(block: str) -> str:
    return block.partition("/")[0]


def _vector(values: object) -> Vector:
    """A stored vector, empty where it holds anything but numbers >= 0."""
    try:
        return tuple(renyi_filter.checked(chain.vector(values)))
    except LedgerError:
        return ()


def _insert(connection: Any, table: str, rows: list[dict[str, Any]]) -> None:
    """Append rows in one statement, through Arrow: row by row would take a minute for what takes a second."""
    if not rows:
        return
    import pyarrow as pa

    connection.register("arriving", pa.Table.from_pylist(rows))
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM arriving")
    connection.unregister("arriving")
