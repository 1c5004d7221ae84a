"""What deserves a reviewer's attention: first what is wrong, then what somebody decided that protects people less.

Every point is a sentence about what stands in the journal, and a place on the page that has the rest. Which terms are
weaker than others only the platform knows: whoever writes the page passes `weaker`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.report.document import short
from ledger.report.facts import Budget, Facts, Row
from ledger.rounded import up

# What of the second terms gives less protection than the first, a sentence each; the first are None where there were
# none, and then what gives less than is usual.
Weaker = Callable[[Mapping[str, Any] | None, Mapping[str, Any]], Sequence[str]]

SHOWN = 20  # of a kind; the sections below have the rest


@dataclass(frozen=True)
class Point:
    """One sentence, and the section that says more."""

    said: str
    section: str


def attention(facts: Facts, weaker: Weaker | None = None) -> list[Point]:
    """All points, the worst kind first."""
    found: list[Point] = []
    for kind in (_refuted, _frozen, _restored, _without_end, _waiting, _raised):
        found += list(kind(facts))[-SHOWN:]
    found += list(_weakened(facts, weaker))[-SHOWN:] if weaker else []
    for kind in (_refused, _by_record, _elsewhere, _by_name):
        found += list(kind(facts))[-SHOWN:]
    return found


def _refuted(facts: Facts) -> Iterator[Point]:
    if facts["incidents"]:
        names = _list(row["release"] for row in facts["incidents"])
        yield Point(f"An audit refuted what is claimed of {names}.", "incidents")


def _frozen(facts: Facts) -> Iterator[Point]:
    for budget in facts.budgets:
        if budget.row["frozen"]:
            blocks = [row["block"] for row in budget.blocks if row["frozen"]] if len(budget.blocks) > 1 else []
            where = f" ({_list(blocks)})" if blocks else ""
            plan = ", or something from outside its plan was charged" if budget.closed else ""
            yield Point(
                f"{budget.name} is frozen{where}: more is spent than its cap allows{plan}. Nothing more is admitted "
                "there.",
                "promise",
            )


def _restored(facts: Facts) -> Iterator[Point]:
    for row in facts["restorations"]:
        lost = row["entries_lost"]
        said = "how many entries were lost is not known" if lost is None else f"{lost} entries were lost"
        yield Point(
            f"The ledger was rebuilt on {_day(row['time'])} by {row['owner']} (“{row['reason']}”); {said}.", "intact"
        )


def _without_end(facts: Facts) -> Iterator[Point]:
    for row in facts["releases_without_end"]:
        yield Point(
            f"{row['release']} by {row['owner']} could read rows since {_day(row['since'])} and never said how it "
            "ended: still running, or dead. It is charged in full either way.",
            "everything",
        )


def _waiting(facts: Facts) -> Iterator[Point]:
    for row in facts["approvals"]:
        if row["effect"] is None:
            yield Point(
                f"Waiting for a second person: {row['asked_by']} asked on {_day(row['asked'])} to {_change(row)} "
                f"(“{row['asked_because']}”).",
                "decisions",
            )


def _change(row: Row) -> str:
    return {
        "raise_cap": f"raise the cap of {row['population']} to ε\xa0=\xa0{short(row['epsilon'])}",
        "add_population": f"add the population {row['population']}",
        "set_people": f"change who signs for {row['population'] or 'the ledger'}",
    }.get(str(row["change"]), f"set the terms of contract {row['contract']}")


def _raised(facts: Facts) -> Iterator[Point]:
    for row in facts["cap_history"]:
        if row["change"] == "raised":
            yield Point(
                f"The cap of {row['population']} was raised from {short(row['epsilon_before'])} to "
                f"{short(row['epsilon'])} on {_day(row['time'])}, as {row['asked_by']} asked and {row['decided_by']} "
                "agreed.",
                "decisions",
            )


def _weakened(facts: Facts, weaker: Weaker) -> Iterator[Point]:
    """Of each contract, what every signature took away."""
    asked = {row["effect"]: row["asked_by"] for row in facts["approvals"]}
    standing: dict[str, Mapping[str, Any]] = {}
    for row in facts["contract_terms"]:
        terms = json.loads(row["terms"] or "null")
        if not isinstance(terms, dict):
            continue
        before = standing.get(row["contract"])
        standing[row["contract"]] = terms
        if said := weaker(before, terms):
            how = "allow more than is usual" if before is None else "were weakened"
            yield Point(
                f"The terms of {row['contract']} {how} since {_day(row['time'])}, as {asked.get(row['seq'])} asked and "
                f"{row['approved_by']} agreed: {'; '.join(said)}.",
                "terms",
            )


def _refused(facts: Facts) -> Iterator[Point]:
    """One point a population: somebody asks for more than there is, again and again or once."""
    for budget in facts.budgets:
        refused = [row for row in facts["refusals"] if row["population"] == budget.name]
        if refused:
            asked = [
                f"{name} ({count})" for name, count in Counter(str(row["release"]) for row in refused).most_common()
            ]
            times = "once" if len(refused) == 1 else f"{len(refused):,} times"
            yield Point(
                f"In {budget.name} the ledger said no {times}, on {_day(refused[-1]['time'])} last: "
                f"{', '.join(asked[:SHOWN])}. Nothing was charged or read for it.",
                "everything",
            )


def _by_record(facts: Facts) -> Iterator[Point]:
    """Groups of records: what somebody who wrote several of them faces."""
    for budget in facts.budgets:
        if budget.unit_is_record:
            yield Point(
                f"In {budget.name} each record is protected by itself: somebody who wrote several is protected less. "
                f"{_faced(budget)}",
                "several",
            )


def _faced(budget: Budget) -> str:
    if not budget.events:
        return "Nothing is charged yet."
    told = {records: figure for records, figure in budget.faced if records in (2, 8)}
    if any(figure.value is None for figure in told.values()):
        return "How much less, no figure says."
    figures = [f"one with {records} records faces ε\xa0=\xa0{up(figure.value, 1)}" for records, figure in told.items()]
    return f"By all charges so far {', '.join(figures)}."


def _elsewhere(facts: Facts) -> Iterator[Point]:
    if count := len(facts["external_charges"]):
        yield Point(
            f"{count} charge{'' if count == 1 else 's'} for spending done elsewhere: on somebody’s word.", "elsewhere"
        )


def _by_name(facts: Facts) -> Iterator[Point]:
    """Who asked or agreed in a name that no key stands under."""
    acts = Counter(str(row["asked_by"]) for row in facts["approvals"] if not row["asked_by_key"])
    acts += Counter(
        str(row["approved_by"])
        for row in facts["approvals"]
        if row["effect"] is not None and not row["approved_by_key"]
    )
    if acts:
        names = [f"{name} ({count})" for name, count in acts.most_common(SHOWN)]
        more = f" and {len(acts) - SHOWN} others" if len(acts) > SHOWN else ""
        yield Point(
            f"Signed by name only, which nobody authenticated: {', '.join(names)}{more}. Ask them whether they did.",
            "decisions",
        )


def _list(names: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(map(str, names)))


def _day(moment: str | None) -> str:
    return moment[:10] if moment else "an unknown day"
