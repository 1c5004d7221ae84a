"""The page itself: how figures are written out, and what the template is given.

A spent epsilon is rounded up and a remaining one down, so a page never promises more than the ledger. The only
text that is trusted as markup is our own style sheet and our own drawings; `document` escapes everything else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from ledger.report.attention import Weaker, attention
from ledger.report.burn_down import drawing
from ledger.report.document import document
from ledger.report.facts import Facts
from ledger.report.registry import entry_of
from ledger.report.several_records import RECORDS, mechanisms_in
from ledger.signatures import fingerprint
from ledger.snapshot import in_words

MAX_ROWS = 200  # of a table; the views have the rest

# Each mechanism: what it is called, and the theorem by which its Rényi cost is bounded.
THEOREMS = {
    "gaussian": ("Gaussian noise", "Rényi divergence of Gaussians (Mironov 2017, arXiv 1702.07476, Prop. 7)"),
    "laplace": ("Laplace noise", "Rényi divergence of Laplace distributions (Mironov 2017, arXiv 1702.07476, Prop. 6)"),
    "discrete_laplace": (
        "Discrete Laplace noise on counts",
        "domination by randomized response (Kairouz, Oh and Viswanath 2015, arXiv 1311.0776, Theorem 2)",
    ),
    "poisson_sampled_gaussian": (
        "DP-SGD: each unit joins a step by chance, then Gaussian noise",
        "Rényi divergence of the sampled Gaussian (Mironov, Talwar and Zhang 2019, arXiv 1908.10530)",
    ),
    "mixture_of_gaussians": (
        "DP-SGD in which each of a unit's records joins by chance",
        "mixture-of-Gaussians mechanism (Choquette-Choo et al. 2023, arXiv 2310.15526)",
    ),
    "repeat_and_select": (
        "The best of a hidden, random number of runs (tuning)",
        "truncated negative binomial repetition (Papernot and Steinke 2022, arXiv 2110.03620, Theorem 2)",
    ),
    "composed": ("Several mechanisms as one release", "Rényi costs add up at each order (Mironov 2017, Prop. 1)"),
    "self_composed": ("One mechanism several times", "Rényi costs add up at each order (Mironov 2017, Prop. 1)"),
}

_STATES = {
    "committed": "finished; charged",
    "reserved": "reserved, nothing read yet; charged until voided",
    "activated": "allowed to read, no end known; charged",
    "redeemed": "read rows, no end known; charged",
    "forfeited": "ended without a release; charged in full",
    "voided": "given up before it could read; not charged",
}


# What another accountant says of an event (as JSON) at a delta, in a few words; or why it says nothing.
SecondOpinion = Callable[[Mapping[str, Any], float], str]


def page_of(
    facts: Facts,
    *,
    title: str,
    problems: Sequence[str],
    second_opinion: SecondOpinion | None = None,
    audits: Mapping[int, str] | None = None,
    weaker: Weaker | None = None,
) -> str:
    """The whole document as text."""
    from markupsafe import Markup

    entry = entry_of(facts, title=title, problems=problems)
    return document(
        ("ledger.report", "report.html.j2"),
        {"in_words": in_words, "indented": _indented, "names": _names},
        title=title,
        facts=facts,
        budgets=facts.budgets,
        drawings={budget.name: Markup(drawing(budget)) for budget in facts.budgets},
        problems=list(problems),
        attention=attention(facts, weaker),
        compared=weaker is not None,
        failing=[row for row in facts["health"] if row["found"]],
        mechanisms=_mechanisms(facts),
        charges=facts["charges"],
        opinions=_opinions(facts, second_opinion),
        audits=audits or {},
        states={state: [row for row in facts["charges"] if row["state"] == state] for state in _STATES},
        state_words=_STATES,
        records=RECORDS,
        max_rows=MAX_ROWS,
        entry=entry,
        entry_text=json.dumps(entry, indent=2, ensure_ascii=False, allow_nan=False),
        accountant=f"dp-accounting {version('dp-accounting')}",
    )


def _mechanisms(facts: Facts) -> list[tuple[str, str, str, int]]:
    """Name, description, theorem and number of occurrences of each mechanism that is charged somewhere."""
    found = mechanisms_in(event for charged in facts.events.values() for event in charged)
    unknown = ("unknown to this program", "see the journal")
    return [(name, *THEOREMS.get(name, unknown), count) for name, count in sorted(found.items())]


def _opinions(facts: Facts, second_opinion: SecondOpinion | None) -> dict[int, str]:
    """Of the charges that the page shows, by their entry."""
    if second_opinion is None:
        return {}
    deltas = {budget.name: budget.row["delta"] for budget in facts.budgets}
    shown = facts["charges"][-MAX_ROWS:]
    return {row["reservation"]: second_opinion(json.loads(row["event"]), deltas[row["population"]]) for row in shown}


def _names(document: str | None) -> str:
    """People as the view has them: a list of names, or keys by name, which are shown by their fingerprints."""
    stated = json.loads(document or "null") or []
    if isinstance(stated, dict):
        return ", ".join(f"{name} {fingerprint(key)}" for name, key in stated.items())
    return ", ".join(map(str, stated))


def _indented(document: str | None) -> str:
    return json.dumps(json.loads(document or "null"), indent=2, ensure_ascii=False)
