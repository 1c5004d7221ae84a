"""Journals written by hand, entry by entry, with the costs that their events have: input for views and report.

Deliberately not the ledger: what is written here is what docs/journal.md says, so that a reader of journals is tested
against the format and not against the writer.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from ledger import accounting, renyi_filter
from ledger.events import DiscreteLaplace, Event, Gaussian, PoissonSampledGaussian
from ledger.renyi_filter import RenyiFilter

LEDGER = "ledger-7f3a"
OWNER, REVIEWER = "owner@example.org", "reviewer@example.org"
Line = tuple[str, str]


class WrittenJournal:
    """Appends entries and keeps the sums that they have to carry. Nothing is checked: a bad journal can be written."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.rules: dict[str, RenyiFilter] = {}
        self.sums: dict[str, tuple[float, ...]] = {}
        self.count: dict[str, int] = {}
        self.used: dict[str, list[int]] = {}  # of blocks under a closed plan
        self.plan_epsilon: dict[str, float] = {}
        self.opened_up: set[str] = set()  # of those, the ones charged from outside it
        self.charged: dict[int, tuple[list[str], Event, str]] = {}  # blocks, event, release
        self.entry("created", owner=OWNER, ledger=LEDGER, public_key="ab" * 32, schema="cd" * 32)

    def entry(
        self,
        kind: str,
        population: str | None = None,
        *,
        release: str | None = None,
        owner: str | None = None,
        reservation: int | None = None,
        **payload: Any,
    ) -> int:
        seq = len(self.lines) + 1
        body = {
            "seq": seq,
            "time": f"2026-{1 + seq // 28 % 12:02}-{1 + seq % 28:02}T09:{seq % 60:02}:00.000+00:00",
            "previous": self.lines[-1][1] if self.lines else "0" * 64,
            "kind": kind,
            "population": population,
            "release": release,
            "owner": owner,
            "reservation": seq if kind == "reserved" else reservation,
            "payload": payload,
        }
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
        self.lines.append((text, hashlib.sha256(text.encode()).hexdigest()))
        return seq

    def propose(self, reason: str, owner: str = OWNER, **change: Any) -> int:
        return self.entry("proposed", change.get("population"), owner=owner, change=change, reason=reason)

    def register(
        self,
        population: str,
        unit: str,
        epsilon: float,
        delta: float,
        planned: Sequence[Event] = (),
        *,
        blocks_by: str | None = None,
        plan: Sequence[tuple[str, Event]] | None = None,
        asked_because: str = "a first budget",
        approved_by: str = REVIEWER,
    ) -> int:
        order = accounting.planned_order(planned, delta)
        rule = self.rules[population] = RenyiFilter.planned(epsilon, delta, order)
        terms = {
            "unit": unit,
            "neighbouring_relation": "add_or_remove_one_unit",
            "epsilon": epsilon,
            "delta": delta,
            "blocks_by": blocks_by,
            "planned": [event.to_json() for event in planned],
            "plan": None if plan is None else [[release, event.to_json()] for release, event in plan],
        }
        proposal = self.propose(asked_because, kind="add_population", population=population, **terms)
        plan_epsilon = None
        if plan is not None:
            plan_epsilon = accounting.pld_epsilon([event for _, event in plan], delta)
            assert plan_epsilon is not None
            self.plan_epsilon[f"{population}/everything"] = plan_epsilon
            self.used[f"{population}/everything"] = []
        standing = {} if blocks_by else self.opened([f"{population}/everything"])
        return self.entry(
            "registered",
            population,
            owner=approved_by,
            proposal=proposal,
            reason="as agreed with the data owner",
            rule="renyi_filter" if plan is None else "closed_plan",
            planned_order=order,
            orders=list(rule.orders),
            weights=list(rule.weights),
            caps=list(rule.caps),
            plan_epsilon=plan_epsilon,
            standing=standing,
            **terms,
        )

    def change_cap(self, population: str, epsilon: float, reason: str, *, approved_by: str = REVIEWER) -> int:
        before = self.rules[population]
        proposal = None
        if epsilon > before.epsilon:
            proposal = self.propose(reason, kind="raise_cap", population=population, epsilon=epsilon)
        caps = renyi_filter.caps_of(epsilon, before.delta, before.orders, before.weights)
        self.rules[population] = RenyiFilter(epsilon, before.delta, before.orders, before.weights, caps)
        return self.entry(
            "cap_changed",
            population,
            owner=approved_by,
            proposal=proposal,
            reason=reason,
            epsilon=epsilon,
            caps=list(caps),
        )

    def set_terms(self, contract: str, terms: dict[str, Any], *, approved_by: str = REVIEWER) -> int:
        proposal = self.propose("the contract's first version", kind="set_terms", contract=contract, terms=terms)
        digest = hashlib.sha256(json.dumps(terms, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        return self.entry(
            "terms_set",
            owner=approved_by,
            proposal=proposal,
            reason="read and found sound",
            contract=contract,
            terms=terms,
            digest=digest,
        )

    def bind(self, population: str, key: str, blocks: Sequence[str], overlaps: Sequence[str] = ()) -> int:
        names = [f"{population}/{block}" for block in blocks]
        new = self.opened([name for name in names if name not in self.sums])
        return self.entry(
            "bound", population, owner=OWNER, key=key, blocks=names, overlaps=list(overlaps), standing=new
        )

    def reserve(
        self,
        population: str,
        release: str,
        event: Event,
        owner: str,
        blocks: Sequence[str] = (),
        place: int | None = None,
    ) -> int:
        names = list(blocks) or [f"{population}/everything"]
        seq = len(self.lines) + 1
        self.charged[seq] = (names, event, release)
        figures = self.figures(population, names, event)
        self.entry(
            "reserved",
            population,
            release=release,
            owner=owner,
            key=f"{release}:{seq}",
            event=event.to_json(),
            plan_digest="a" * 64,
            source="hmac-sha256:6f1e",
            cost=self.cost(names, event),
            standing=self.add(names, event, place=place),
            **figures,
        )
        return seq

    def refuse(self, population: str, release: str, event: Event, owner: str, why: str) -> int:
        block = f"{population}/everything"
        return self.entry(
            "refused",
            population,
            release=release,
            owner=owner,
            key=f"{release}:again",
            event=event.to_json(),
            plan_digest="a" * 64,
            source="hmac-sha256:6f1e",
            block=block,
            why=why,
            **self.figures(population, [block], event),
        )

    def step(self, kind: str, reservation: int, owner: str, **payload: Any) -> int:
        population = self.charged[reservation][0][0].partition("/")[0]
        release = self.charged[reservation][2]
        return self.entry(kind, population, release=release, owner=owner, reservation=reservation, **payload)

    def read(self, reservation: int, owner: str) -> None:
        self.step("activated", reservation, owner, token_sha256="e" * 64)
        self.step("redeemed", reservation, owner, source="hmac-sha256:6f1e")

    def commit(self, reservation: int, owner: str, digest: str, event: Event | None = None) -> int:
        names, reserved, _ = self.charged[reservation]
        ran = event or reserved
        for name in names:
            rule = self.rules[name.partition("/")[0]]
            old, new = (accounting.renyi_vector(part, rule.orders) for part in (reserved, ran))
            self.sums[name] = renyi_filter.replace(self.sums[name], old, new)
        return self.step(
            "committed",
            reservation,
            owner,
            event=ran.to_json(),
            artifact_digest=digest,
            epsilon_alone=accounting.epsilon(ran, self.rules[names[0].partition("/")[0]].delta),
            cost=self.cost(names, ran),
            standing=self.standing(names),
        )

    def run(self, population: str, release: str, event: Event, owner: str, **how: Any) -> int:
        """A release from beginning to end."""
        reservation = self.reserve(population, release, event, owner, **how)
        self.read(reservation, owner)
        self.commit(reservation, owner, hashlib.sha256(f"{release}{reservation}".encode()).hexdigest())
        return reservation

    def void(self, reservation: int, owner: str, reason: str) -> int:
        names, event, _ = self.charged[reservation]
        for name in names:
            rule = self.rules[name.partition("/")[0]]
            zero = renyi_filter.zeros(rule.orders)
            cost = accounting.renyi_vector(event, rule.orders)
            self.count[name] -= 1
            self.sums[name] = renyi_filter.replace(self.sums[name], cost, zero) if self.count[name] else zero
        return self.step("voided", reservation, owner, reason=reason, standing=self.standing(names))

    def resume(self, reservation: int, owner: str, again: Event | None) -> int:
        names = self.charged[reservation][0]
        population = names[0].partition("/")[0]
        return self.step(
            "resumed",
            reservation,
            owner,
            event=again and again.to_json(),
            epsilon_alone=accounting.epsilon(again, self.rules[population].delta) if again else 0.0,
            token_sha256="f" * 64,
            cost=self.cost(names, again) if again else {},
            standing=self.add(names, again, counts=0) if again else {},
        )

    def external(self, population: str, event: Event, reason: str, blocks: Sequence[str] = ()) -> int:
        names = list(blocks) or [f"{population}/everything"]
        return self.entry(
            "external_charge",
            population,
            owner=OWNER,
            event=event.to_json(),
            reason=reason,
            blocks=names,
            epsilon_alone=accounting.epsilon(event, self.rules[population].delta),
            cost=self.cost(names, event),
            standing=self.add(names, event),
        )

    def refute(self, reservation: int, owner: str, reason: str, **figures: Any) -> int:
        said = {"claimed_epsilon": 1.0, "lower_bound": 1.5, "confidence": 0.95, "delta": 1e-6, **figures}
        files = {"audit.json": "ab" * 32}
        return self.step("incident", reservation, owner, reason=reason, files=files, artifact_digest=None, **said)

    def seal(self, name: str, charges: Sequence[int]) -> int:
        facts = {"id": "x", "files": {"f": "ab" * 32}, "made_from": {}, "guarantee": None, "charges": list(charges)}
        return self.entry("sealed", release=name, key=name, **facts)

    def figures(self, population: str, names: Iterable[str], event: Event) -> dict[str, Any]:
        rule = self.rules[population]
        cost = accounting.renyi_vector(event, rule.orders)
        own = [name for name in names if name.startswith(f"{population}/")]
        spent = max(rule.spent(self.sums[name]) for name in own)
        would_be = max(rule.spent(renyi_filter.add(self.sums[name], cost)) for name in own)
        for name in self.plan_epsilon.keys() & own:
            spent, would_be = self.plan_epsilon[name] if self.count[name] else 0.0, self.plan_epsilon[name]
        return {
            "epsilon_alone": accounting.epsilon(event, rule.delta),
            "epsilon_spent": spent,
            "epsilon_would_be": would_be,
        }

    def cost(self, names: Iterable[str], event: Event) -> dict[str, list[Any]]:
        owners = {name.partition("/")[0] for name in names}
        return {owner: _numbers(accounting.renyi_vector(event, self.rules[owner].orders)) for owner in sorted(owners)}

    def opened(self, names: Sequence[str]) -> dict[str, Any]:
        for name in names:
            self.sums[name] = renyi_filter.zeros(self.rules[name.partition("/")[0]].orders)
            self.count[name] = 0
        return self.standing(names)

    def add(self, names: Sequence[str], event: Event, *, counts: int = 1, place: int | None = None) -> dict[str, Any]:
        for name in names:
            cost = accounting.renyi_vector(event, self.rules[name.partition("/")[0]].orders)
            self.sums[name] = renyi_filter.add(self.sums[name], cost)
            self.count[name] += counts
            if place is not None:
                self.used[name].append(place)
            elif name in self.used:
                self.opened_up.add(name)
        return self.standing(names)

    def standing(self, names: Iterable[str]) -> dict[str, Any]:
        return {
            name: {"sums": _numbers(self.sums[name]), "charges": self.count[name]}
            | ({"used": list(self.used[name]), "closed": name not in self.opened_up} if name in self.used else {})
            for name in names
        }


def _numbers(values: Iterable[float]) -> list[Any]:
    return ["inf" if value == math.inf else value for value in values]


HISTOGRAM = DiscreteLaplace(4.0, 2)
ADAPTER = PoissonSampledGaussian(0.1, 11.0, 4000)
INBOX_TERMS = {"unit": {"name": "customer", "column": "customer", "max_records": 8}, "population": "inbox"}
ARTICLE_TERMS = {"unit": {"name": "article", "column": None, "max_records": 1}, "population": "articles"}


def realistic() -> WrittenJournal:
    """A year of a bank: a population of customers, one of articles divided into blocks, and a closed plan."""
    book = WrittenJournal()
    book.register(
        "inbox", "customer", 3.0, 1e-6, [HISTOGRAM, ADAPTER], asked_because="synthetic inbox for the help desk"
    )
    book.set_terms("inbox", INBOX_TERMS)
    book.bind("inbox", "hmac-sha256:6f1e", ["everything"])
    book.run("inbox", "inbox/label_histogram", HISTOGRAM, "run-0a31")
    book.refuse("inbox", "inbox/adapter", ADAPTER, "run-0a31", "it does not fit under the cap")
    book.change_cap("inbox", 8.0, "a first model needs more; agreed with the works council")
    failed = book.reserve("inbox", "inbox/adapter", PoissonSampledGaussian(0.1, 15.0, 2000), "run-77c2")
    book.read(failed, "run-77c2")
    book.step("forfeited", failed, "run-77c2", reason="the run ended without a release")
    resumed = book.reserve("inbox", "inbox/adapter", PoissonSampledGaussian(0.1, 14.0, 4000), "run-b1d0")
    book.read(resumed, "run-b1d0")
    book.resume(resumed, "run-c4e9", PoissonSampledGaussian(0.1, 14.0, 200))
    book.step("redeemed", resumed, "run-c4e9", source="hmac-sha256:6f1e")
    book.commit(resumed, "run-c4e9", "d1" * 32, PoissonSampledGaussian(0.1, 14.0, 3600))
    book.external("inbox", Gaussian(12.0), "a mean that was published in the annual report before the ledger began")
    voided = book.reserve("inbox", "inbox/label_histogram", HISTOGRAM, "run-e5f0")
    book.void(voided, "run-e5f0", "cancelled before it read anything")
    book.reserve("inbox", "inbox/label_histogram", DiscreteLaplace(8.0, 2), "run-f00d")

    book.register("articles", "article", 4.0, 1e-5, [ADAPTER], blocks_by="quarter", asked_because="a benchmark")
    book.set_terms("articles", ARTICLE_TERMS)
    book.bind("articles", "hmac-sha256:a001", ["2026q1", "2026q2"])
    book.run("articles", "articles/label_histogram", DiscreteLaplace(3.0, 1), "run-1001", blocks=["articles/2026q1"])
    book.run(
        "articles",
        "articles/adapter",
        PoissonSampledGaussian(0.1, 15.0, 2500),
        "run-1002",
        blocks=["articles/2026q1", "articles/2026q2"],
    )
    died = book.reserve("articles", "articles/adapter", Gaussian(6.0), "run-1003", blocks=["articles/2026q2"])
    book.read(died, "run-1003")

    noises = enumerate((20.0, 17.5, 15.0), start=1)
    plan = [(f"survey/wave_{wave}", PoissonSampledGaussian(0.1, noise, 2000)) for wave, noise in noises]
    book.register(
        "survey", "person", 3.0, 1e-6, [event for _, event in plan], plan=plan, asked_because="three waves, no more"
    )
    for place, (release, event) in enumerate(plan[:2]):
        book.run("survey", release, event, f"run-200{place}", place=place)
    book.refuse("survey", "survey/wave_4", Gaussian(4.0), "run-2009", "it is not in the closed plan")
    book.propose("the second year", kind="raise_cap", population="articles", epsilon=6.0)
    book.change_cap("articles", 1.5, "the benchmark is over")
    book.seal("inbox/adapter", [resumed])
    book.refute(resumed, "run-c4e9", "the yearly audit, by canaries")
    return book
