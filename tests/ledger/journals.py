"""Journals of docs/journal.md, written by hand for the replay's tests: correct ones, to be spoiled entry by entry.

Sums are exact fractions, rounded up; costs are the ledger's. Nothing here decides: a test may write what a ledger
would refuse.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from ledger.accounting import renyi_vector
from ledger.events import from_json

ORDERS = [2.0, 3.0, 5.6, 8.0, 32.0]
WEIGHTS = [0.05, 0.05, 0.7, 0.1, 0.1]
SOURCE = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
GAUSSIAN = {"event": "gaussian", "version": 1, "noise_multiplier": 4.0}
TRAINING = {
    "event": "poisson_sampled_gaussian",
    "version": 1,
    "sampling_rate": 0.01,
    "noise_multiplier": 1.0,
    "steps": 400,
}

Entries = list[dict[str, Any]]


def caps(epsilon: float, delta: float) -> list[float]:
    """B(a), less a little for rounding."""
    return [
        epsilon - math.log(1 - 1 / a) + math.log(w * delta * a) / (a - 1) - 1e-12
        for a, w in zip(ORDERS, WEIGHTS, strict=True)
    ]


def seal(entries: Iterable[dict[str, Any]]) -> list[bytes]:
    """The file's lines, with a valid chain over whatever the entries say; `seq` and `previous` only where they are not
    said already."""
    lines, previous = [], "0" * 64
    for number, entry in enumerate(entries, 1):
        body = json.dumps({"seq": number, "previous": previous, **entry})
        previous = hashlib.sha256(body.encode()).hexdigest()
        lines.append(json.dumps({"body": body, "hash": previous}).encode() + b"\n")
    return lines


class Journal:
    """A ledger's entries and, beside them, what stands charged."""

    def __init__(self) -> None:
        self.entries: Entries = []
        self.sums: dict[str, list[Fraction]] = {}
        self.charges: dict[str, int] = {}
        self.used: dict[str, list[int]] = {}  # of blocks under a closed plan
        self.outside: set[str] = set()
        self.owners: dict[int, str] = {}  # by reservation
        self.bound: dict[str, tuple[str, list[str]]] = {}
        self.add("created", ledger="by-hand", public_key="0" * 64, schema="1" * 64)

    def add(self, kind: str, **said: Any) -> int:
        """One entry; what is not a field of the body is payload. Returns its number."""
        body = {key: said.pop(key, None) for key in ("population", "release", "owner", "reservation")}
        body["time"] = "2026-01-01T00:00:00Z"
        said = json.loads(json.dumps(said))  # a copy: to spoil one entry spoils no other
        self.entries.append({"kind": kind, **body, "payload": said})
        return len(self.entries)

    def of(self, number: int) -> dict[str, Any]:
        return self.entries[number - 1]

    def propose(self, owner: str = "owner@example.org", **change: Any) -> int:
        return self.add("proposed", owner=owner, change=change, reason="asked for")

    def register(
        self, name: str = "inbox", *, epsilon: float = 8.0, plan: list[Any] | None = None, **terms: Any
    ) -> int:
        asked = {
            "unit": "customer",
            "neighbouring_relation": "add_or_remove_one_unit",
            "epsilon": epsilon,
            "delta": 1e-6,
            "blocks_by": None,
            "planned": [GAUSSIAN],
            "plan": plan,
            **terms,
        }
        proposal = self.propose(kind="add_population", population=name, **asked)
        whole = [] if asked["blocks_by"] else [f"{name}/everything"]
        return self.add(
            "registered",
            population=name,
            owner="reviewer@example.org",
            proposal=proposal,
            reason="agreed",
            rule="closed_plan" if plan else "renyi_filter",
            planned_order=5.6,
            orders=ORDERS,
            weights=WEIGHTS,
            caps=caps(epsilon, 1e-6),
            plan_epsilon=4.0 if plan else None,
            standing=self.begin(whole, closed=plan is not None),
            **asked,
        )

    def begin(self, blocks: Iterable[str], closed: bool = False) -> dict[str, Any]:
        for block in blocks:
            self.sums[block], self.charges[block] = [Fraction(0)] * len(ORDERS), 0
            if closed:
                self.used[block] = []
        return self.standing(blocks)

    def bind(
        self,
        population: str = "inbox",
        source: str = SOURCE,
        blocks: Iterable[str] = ("everything",),
        overlaps: Iterable[str] = (),
    ) -> int:
        own = [f"{population}/{block}" for block in blocks]
        standing = self.begin([block for block in own if block not in self.sums])
        self.bound[source] = (population, [*own, *overlaps])
        return self.add(
            "bound", population=population, key=source, blocks=own, overlaps=list(overlaps), standing=standing
        )

    def standing(self, blocks: Iterable[str]) -> dict[str, Any]:
        stated: dict[str, Any] = {}
        for block in blocks:
            sums = [math.nextafter(float(total), math.inf) if total else 0.0 for total in self.sums[block]]
            stated[block] = {"sums": sums, "charges": self.charges[block]}
            if block in self.used:
                stated[block] |= {"used": sorted(self.used[block]), "closed": block not in self.outside}
        return stated

    def charge(self, blocks: Iterable[str], events: Iterable[tuple[int, Any]], charges: int = 0) -> dict[str, Any]:
        """Adds events, or takes them away; returns `cost` of the last one and `standing`."""
        cost: list[float] = []
        for sign, event in events:
            cost = list(renyi_vector(from_json(event), ORDERS))
            for block in blocks:
                self.sums[block] = [a + sign * Fraction(b) for a, b in zip(self.sums[block], cost, strict=True)]
        for block in blocks:
            self.charges[block] += charges
        costs = {block.split("/")[0]: cost for block in blocks} if cost else {}
        return {"cost": costs, "standing": self.standing(blocks)}

    def reserve(
        self, event: Any = GAUSSIAN, source: str = SOURCE, release: str = "r", places: dict[str, int] | None = None
    ) -> int:
        population, blocks = self.bound[source]
        for block, place in (places or {}).items():
            self.used[block].append(place)
        return self.add(
            "reserved",
            population=population,
            release=release,
            owner=f"run-{len(self.entries)}",
            reservation=len(self.entries) + 1,
            key="key",
            event=event,
            plan_digest="a" * 64,
            source=source,
            epsilon_alone=1.0,
            epsilon_spent=1.0,
            epsilon_would_be=2.0,
            **self.charge(blocks, [(1, event)], 1),
        )

    def refuse(self, event: Any, block: str | None = "inbox/everything", source: str = SOURCE, **said: Any) -> int:
        facts = {"key": "key", "release": "r", "reservation": None, "why": "it does not fit", **said}
        return self.add(
            "refused",
            population=self.bound[source][0],
            owner="run",
            event=event,
            plan_digest="a" * 64,
            source=source,
            epsilon_alone=9.0,
            epsilon_spent=1.0,
            epsilon_would_be="inf",
            block=block,
            **facts,
        )

    def step(self, kind: str, reservation: int, **said: Any) -> int:
        first = self.of(reservation)
        self.owners.setdefault(reservation, first["owner"])
        if "owner" in said:
            self.owners[reservation] = said.pop("owner")
        facts = {"population": first["population"], "release": first["release"], "reservation": reservation}
        return self.add(kind, owner=self.owners[reservation], **facts, **said)

    def activate(self, reservation: int) -> int:
        return self.step("activated", reservation, token_sha256=hashlib.sha256(b"%d" % reservation).hexdigest())

    def redeem(self, reservation: int) -> int:
        return self.step("redeemed", reservation, source=self.of(reservation)["payload"]["source"])

    def resume(self, reservation: int, event: Any = None) -> int:
        blocks = self.bound[self.of(reservation)["payload"]["source"]][1]
        facts = self.charge(blocks, [(1, event)] if event else [])
        token = hashlib.sha256(b"again %d" % len(self.entries)).hexdigest()
        owner = f"heir-{len(self.entries)}"
        return self.step(
            "resumed", reservation, owner=owner, event=event, epsilon_alone=0.1, token_sha256=token, **facts
        )

    def commit(self, reservation: int, event: Any = None) -> int:
        first = self.of(reservation)["payload"]
        event = event or first["event"]
        facts = self.charge(self.bound[first["source"]][1], [(-1, first["event"]), (1, event)])
        return self.step("committed", reservation, event=event, artifact_digest="b" * 64, epsilon_alone=1.0, **facts)

    def void(self, reservation: int, places: dict[str, int] | None = None) -> int:
        first = self.of(reservation)["payload"]
        for block, place in (places or {}).items():
            self.used[block].remove(place)
        facts = self.charge(self.bound[first["source"]][1], [(-1, first["event"])], -1)
        return self.step("voided", reservation, reason="never started", standing=facts["standing"])

    def external(self, event: Any = GAUSSIAN, block: str = "inbox/everything") -> int:
        self.outside.add(block)
        facts = self.charge([block], [(1, event)], 1)
        return self.add(
            "external_charge",
            population=block.split("/")[0],
            owner="owner@example.org",
            event=event,
            reason="done elsewhere",
            blocks=[block],
            epsilon_alone=1.0,
            **facts,
        )

    def release(self, event: Any = GAUSSIAN, ran: Any = None) -> int:
        """From beginning to end."""
        number = self.reserve(event)
        self.activate(number)
        self.redeem(number)
        self.commit(number, ran)
        return number
