"""What a report says, gathered from the views of a snapshot; no figure is made up anywhere else.

A `Budget` is all that stands about one population. Enforced figures are the views' own. Beside them, never enforced:
epsilon by privacy loss distributions and by adding up, and what somebody with several records faces.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ledger import accounting, events
from ledger.errors import LedgerError
from ledger.report import several_records
from ledger.report.several_records import MAX_DIFFERENT, RECORDS, CannotTellError
from ledger.snapshot import write_snapshot

Row = dict[str, Any]
Source = Path | str | Iterable[tuple[str, str]]

# In which order each view's rows are told.
_ORDERED = {
    "populations": "registered_by_entry",
    "registrations": "seq",
    "blocks": "population, block",
    "charges": "reservation",
    "charged_blocks": "charge, block",
    "burn_down": "seq, block",
    "incidents": "seq",
    "refusals": "seq",
    "approvals": "proposal",
    "cap_history": "seq",
    "people": "since_entry",
    "contract_terms": "seq",
    "external_charges": "seq",
    "restorations": "seq",
    "releases_without_end": "reservation",
    "outputs": "reservation",
    "data_sets": "seq",
    "ledger": "id",
    "health": "ALL",
    "chain_breaks": "position",
    "commits_without_rows": "seq",
    "effects_without_second_person": "seq",
    "artifacts_without_receipts": "name",
}
_AT = "SELECT hash FROM entries WHERE position = TRY_CAST(? AS BIGINT)"
# Units that are themselves one record, where no contract in the journal says what a unit is.
_RECORD_NAMES = {"article", "document", "example", "line", "message", "record", "row", "sentence", "text"}


def read_facts(source: Source, checkpoint: Mapping[str, Any] | None = None) -> Facts:
    """The facts of a snapshot's file, or of a journal's lines, and whether a signed checkpoint agrees with them."""
    if isinstance(source, Path | str):
        return _read(Path(source), checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        return _read(write_snapshot(source, Path(folder) / "snapshot.duckdb"), checkpoint)


def _read(path: Path, checkpoint: Mapping[str, Any] | None) -> Facts:
    import duckdb

    # Attached to a database of its own: DuckDB would otherwise reuse what this process has open under the same path,
    # and with it the file from before a replacement.
    with closing(duckdb.connect(":memory:")) as connection:
        quoted = str(path.absolute()).replace("'", "''")
        connection.execute(f"ATTACH '{quoted}' AS snapshot (READ_ONLY)")
        connection.execute("USE snapshot")
        views = {view: _rows(connection, f"FROM {view} ORDER BY {order}") for view, order in _ORDERED.items()}
        reads = _rows(connection, "SELECT count(*) AS number FROM reads")[0]["number"]
        agrees = None
        if checkpoint is not None:
            found = _rows(connection, _AT, str(checkpoint.get("seq")))
            stated = (checkpoint.get("ledger"), checkpoint.get("hash"))
            agrees = [stated] == [(views["ledger"][0]["id"], row["hash"]) for row in found]
    return Facts(views, reads, checkpoint, agrees)


def _rows(connection: Any, sql: str, *parameters: Any) -> list[Row]:
    cursor = connection.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@dataclass(frozen=True)
class Reported:
    """A figure beside the enforced ones; `value` is None where there is none, and `why` says so."""

    value: float | None
    why: str = ""


@dataclass(frozen=True)
class Facts:
    """The rows of each view by its name, and the budgets read off them."""

    views: dict[str, list[Row]]
    reads: int  # how often rows were handed out
    checkpoint: Mapping[str, Any] | None = None
    checkpoint_agrees: bool | None = None

    def __getitem__(self, view: str) -> list[Row]:
        return self.views[view]

    @property
    def head(self) -> Row:
        return self["ledger"][0]

    @cached_property
    def budgets(self) -> tuple[Budget, ...]:
        return tuple(Budget(self, row) for row in self["populations"])

    @cached_property
    def events(self) -> dict[int, list[Any]]:
        """What each charge that counts consists of: its event, and steps that were run again."""
        found: dict[int, list[Any]] = {}
        for row in self["charges"]:
            if row["counts"]:
                again = map(json.loads, row["events_again"])
                found[row["reservation"]] = [json.loads(row["event"]), *again]
        for row in self["external_charges"]:
            found[row["seq"]] = [json.loads(row["event"])]
        return found

    @cached_property
    def alone(self) -> dict[int, list[float]]:
        """The epsilons of each charge that counts, by themselves: its own, and of steps that were run again."""
        kept = {
            row["reservation"]: [row["epsilon_alone"], *row["epsilons_again"]]
            for row in self["charges"]
            if row["counts"]
        }
        return kept | {row["seq"]: [row["epsilon_alone"]] for row in self["external_charges"]}


@dataclass(frozen=True)
class Budget:
    """One population: its row of the view `populations`, and what is derived from it."""

    facts: Facts
    row: Row

    @property
    def name(self) -> str:
        return str(self.row["population"])

    @property
    def blocks(self) -> list[Row]:
        return self._of("blocks")

    @property
    def data_sets(self) -> list[Row]:
        return [
            row | {name: ", ".join(map(str, json.loads(row[name] or "[]"))) for name in ("blocks", "also_in")}
            for row in self._of("data_sets")
        ]

    @property
    def incidents(self) -> list[Row]:
        """What audits refuted of the charges against any of its blocks, those of other populations too."""
        return [
            row
            for row in self.facts["incidents"]
            if row["population"] == self.name or any(row["reservation"] in found for found in self.charges.values())
        ]

    @property
    def mechanisms(self) -> Counter[str]:
        return several_records.mechanisms_in(self.events)

    @property
    def closed(self) -> bool:
        return bool(self.row["rule"] == "closed_plan")

    @property
    def broken(self) -> bool:
        """Whether something from outside a closed plan was charged, so that the plan says nothing any more."""
        return self.closed and math.isinf(self.row["spent"])

    @property
    def promise(self) -> tuple[float, float]:
        """The epsilon and delta that hold for everything ever released.

        A filter is bound by the highest cap that it ever had: lowering one after seeing outputs takes nothing back. It
        is more only where spending elsewhere went past it.
        """
        if self.broken:
            return self.basic_sum
        return max(self.row["highest_cap"], self.row["spent"]), self.row["delta"]

    @property
    def replace_one(self) -> tuple[float, float]:
        """The promise for exchanging one unit for another: removing one, then adding one."""
        epsilon, delta = self.promise
        return 2 * epsilon, (1 + math.exp(min(epsilon, 700))) * delta

    @property
    def certainty(self) -> float:
        """How sure an even guess can become, in the worst case that the promise allows."""
        return 1 / (1 + math.exp(-self.promise[0]))

    @property
    def plan(self) -> list[tuple[str, Any]]:
        registered = self._of("registrations")[0]["plan"]
        return [(str(release), event) for release, event in json.loads(registered or "null") or []]

    @cached_property
    def charges(self) -> dict[str, list[int]]:
        """The charges that count against each block, those of other populations with the same records too."""
        found: dict[str, list[int]] = {row["block"]: [] for row in self.blocks}
        for row in self._of("charged_blocks"):
            if row["charge"] in self.facts.events:
                found.setdefault(row["block"], []).append(row["charge"])
        return found

    @cached_property
    def events(self) -> list[Any]:
        """Everything charged against any of the population's blocks."""
        charges = sorted({charge for charges in self.charges.values() for charge in charges})
        return [event for charge in charges for event in self.facts.events[charge]]

    @cached_property
    def basic_sum(self) -> tuple[float, float]:
        """Each charge's own epsilon and delta added up, of the block where that is most."""
        parts = [[e for charge in charges for e in self.facts.alone[charge]] for charges in self.charges.values()]
        epsilon, count = max(((math.fsum(found), len(found)) for found in parts), default=(0.0, 0))
        return epsilon, count * self.row["delta"]

    @cached_property
    def pld(self) -> Reported:
        """Epsilon of what is charged by privacy loss distributions, of the block where that is most."""
        try:
            charged = [[e for c in charges for e in self.facts.events[c]] for charges in self.charges.values()]
            known = [[events.from_json(event) for event in block] for block in charged]
            if len({event for block in known for event in block}) > MAX_DIFFERENT:
                return Reported(None, f"more than {MAX_DIFFERENT} different mechanisms are charged")
            figures = [accounting.pld_epsilon(block, self.row["delta"]) for block in known]
        except LedgerError:
            return Reported(None, "this program does not know a mechanism among the charges")
        if None in figures:
            return Reported(None, "a mechanism among the charges has no known privacy loss distribution")
        return Reported(max((figure for figure in figures if figure is not None), default=0.0))

    @cached_property
    def terms(self) -> Row | None:
        """The current contract terms that name this population, if the journal holds any."""
        for row in self.facts["contract_terms"]:
            terms = json.loads(row["terms"] or "null")
            if row["current"] and isinstance(terms, dict) and self.name in (row["population"], terms.get("population")):
                return terms
        return None

    @property
    def unit_terms(self) -> Row:
        unit = (self.terms or {}).get("unit")
        return unit if isinstance(unit, dict) else {}

    @property
    def unit_is_record(self) -> bool:
        """Whether one unit is one record, so that somebody with several records has several units."""
        registered = self._of("registrations")[0]
        if registered["states_unit_by"]:
            return registered["unit_by"] is None
        if self.unit_terms:
            return self.unit_terms.get("column") is None
        return self.row["unit"] in _RECORD_NAMES

    @cached_property
    def faced(self) -> list[tuple[int, Reported]]:
        """Epsilon for somebody with so many records, at the same delta. Records may lie in several blocks, so from two
        on every charge counts as if it had met all of them."""
        return [(records, self._faced(records)) for records in RECORDS]

    def _faced(self, records: int) -> Reported:
        if records == 1:
            return self.pld
        try:
            return Reported(several_records.epsilon_of(self.events, records, self.row["delta"]))
        except CannotTellError as reason:
            return Reported(None, str(reason))

    def _of(self, view: str) -> list[Row]:
        return [row for row in self.facts[view] if row["population"] == self.name]
