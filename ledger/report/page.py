"""The page itself: how figures are written out, and what the template is given.

A spent epsilon is rounded up and a remaining one down, so a page never promises more than the ledger. Everything goes
through Jinja2 with autoescaping; the only text that is trusted as markup is our own style sheet and our own drawings.
The page as a whole is made visible, so that no text in it can hide another or change the order in which it is read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ledger.report.burn_down import drawing
from ledger.report.facts import Facts
from ledger.report.registry import entry_of
from ledger.report.several_records import RECORDS, mechanisms_in
from ledger.signatures import fingerprint
from ledger.snapshot import in_words
from ledger.visible import visible

if TYPE_CHECKING:
    import jinja2

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
) -> str:
    """The whole document as text."""
    from markupsafe import Markup

    entry = entry_of(facts, title=title, problems=problems)
    page = _template().render(
        title=title,
        facts=facts,
        budgets=facts.budgets,
        drawings={budget.name: Markup(drawing(budget)) for budget in facts.budgets},
        style=Markup(_resource("report.css")),
        problems=list(problems),
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
    return visible(page)


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"up": _up, "down": _down, "short": _short, "rough": _rough, "percent": _percent}
    environment.filters |= {"moment": _moment, "in_words": in_words, "indented": _indented, "names": _names}
    return environment.get_template("report.html.j2")


def _resource(name: str) -> str:
    return files("ledger.report").joinpath(name).read_text(encoding="utf-8")


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


def _up(value: float | None, digits: int = 3) -> str:
    return _rounded(value, digits, ROUND_CEILING)


def _down(value: float | None, digits: int = 3) -> str:
    return _rounded(value, digits, ROUND_FLOOR)


def _rounded(value: float | None, digits: int, direction: str) -> str:
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞"
    return str(Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), rounding=direction))


def _short(value: float | None) -> str:
    """A number as people wrote it: 8, 1e-06 as 10⁻⁶."""
    if value is None:
        return "–"
    text = f"{value:g}"
    power = re.fullmatch(r"(-?[\d.]+)e([+-])0*(\d+)", text)
    if power is None:
        return text.replace("inf", "∞")
    exponent = (power[2].replace("+", "") + power[3]).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{exponent}" if power[1] == "1" else f"{power[1]} · 10{exponent}"


def _rough(value: float) -> str:
    """A derived figure, rounded up to three digits."""
    if math.isinf(value):
        return "∞"
    exact = Decimal(repr(value))
    return _short(float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), rounding=ROUND_CEILING)))


def _moment(value: str | None) -> str:
    """To the minute, on one line, where it is written as a moment; as it stands otherwise."""
    from markupsafe import Markup

    match = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", value or "")
    return Markup('<span class="moment">{} {}</span>').format(*match.groups()) if match else value or "–"


def _percent(value: float) -> str:
    """A share that never reaches 100 %."""
    return f"{math.floor(value * 1e4) / 100:g} %"


def _names(document: str | None) -> str:
    """People as the view has them: a list of names, or keys by name, which are shown by their fingerprints."""
    stated = json.loads(document or "null") or []
    if isinstance(stated, dict):
        return ", ".join(f"{name} {fingerprint(key)}" for name, key in stated.items())
    return ", ".join(map(str, stated))


def _indented(document: str | None) -> str:
    return json.dumps(json.loads(document or "null"), indent=2, ensure_ascii=False)
