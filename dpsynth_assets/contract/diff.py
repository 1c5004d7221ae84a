"""What changed between two versions of a contract's privacy terms, and which changes give people less protection.

`terms_for_approval` is what a reviewer approves and the ledger keeps: everything in a contract that bears on privacy,
as plain JSON. `changes` compares two of them. A change that weakens the terms needs approval before anything runs;
every other change only shows. Knows no ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpsynth_assets.contract.model import Contract

Term = tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One term that differs. `weakens` says why it gives less protection, None if it does not."""

    term: str
    before: Any
    after: Any
    weakens: str | None

    def __str__(self) -> str:
        said = f"{self.term}: {_said(self.before)} -> {_said(self.after)}"
        return f"{said} ({self.weakens})" if self.weakens else said


_FREE = ("generation", "classifier", "safety_classifier")  # post-processing: nothing there touches protection


def terms_for_approval(contract: Contract) -> dict[str, Any]:
    """The terms of a contract that a privacy reviewer approves, as plain JSON: public constants and people only."""
    terms = contract.privacy.model_dump(mode="json")
    declared = {name: (terms[name] or {}).get("mix") for name in ("classifier", "safety_classifier")}
    return {
        **{name: terms[name] for name in sorted(terms) if name not in _FREE},
        **{name: {"mix": mix} for name, mix in declared.items() if mix},
        "source": contract.source,
        "owners": sorted(contract.owners),
        "approvers": sorted(contract.approvers),
        "retention_days": contract.retention_days,
    }


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Every term that differs, in the order of their names."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    found = []
    for term in sorted(old.keys() | new.keys()):
        was, is_ = old.get(term), new.get(term)
        if was != is_:
            found.append(Change(".".join(term), was, is_, _why_weaker(term, was, is_)))
    return found


def _up(was: Any, is_: Any) -> bool:
    numbers = all(isinstance(value, int | float) for value in (was, is_))
    return not numbers or is_ > was


def _set(was: Any, is_: Any) -> bool:
    return bool(is_) and is_ != was


def _more(was: Any, is_: Any) -> bool:
    return not {*(is_ or ())} <= {*(was or ())}


def _any(was: Any, is_: Any) -> bool:
    return True


def _unpriced(was: Any, is_: Any) -> bool:
    return "none" in (is_ or ()) and "none" not in (was or ())


# The longest matching beginning of a term decides; what none matches does not weaken. The ledger holds the budget
# whatever a release asks, so a release's own price, noise or steps are not among them.
_RULES: dict[Term, tuple[Callable[[Any, Any], bool], str]] = {
    ("population",): (_any, "another population has another budget"),
    ("unit", "name"): (_any, "the guarantee protects something else"),
    ("unit", "column"): (_any, "the guarantee protects something else"),
    ("unit", "neighbouring_relation"): (_any, "the guarantee means something else"),
    ("unit", "max_records"): (_up, "more of one unit's records are used"),
    ("budget", "epsilon"): (_up, "more may be learned about each unit"),
    ("budget", "delta"): (_up, "the guarantee may fail more often"),
    ("budget", "rule"): (_any, "another rule admits releases"),
    ("blocks",): (_any, "the budget is divided otherwise"),
    ("blocks", "values"): (_more, "the records of more blocks are read, each with a budget of its own"),
    ("text", "column"): (_any, "another text is learned from"),
    ("labels",): (_any, "other labels are counted; were they read off the data?"),
    ("source_is_public",): (_set, "a source declared public is read without a charge"),
    ("source",): (_any, "what lies at another place is read"),
    ("source_copies",): (_more, "what lies at more places may be read"),
    ("source_where",): (_any, "other rows are read"),
    ("test_split",): (_any, "other rows are declared public"),
    ("classifier", "mix"): (_set, "other rows are declared public"),
    ("safety_classifier", "mix"): (_set, "other rows are declared public"),
    ("variants", "epsilons"): (_unpriced, "a variant is released without privacy"),
    ("retention_days",): (_up, "sensitive copies are kept longer"),
    ("owners",): (_any, "other people answer for the source"),
    ("approvers",): (_any, "other people may approve"),
}


def _why_weaker(term: Term, was: Any, is_: Any) -> str | None:
    for length in range(len(term), 0, -1):
        if term[:length] in _RULES:
            weaker, why = _RULES[term[:length]]
            return why if weaker(was, is_) else None
    return None


def _leaves(value: Any, term: Term = ()) -> Iterator[tuple[Term, Any]]:
    """Each term with its value; a list is one value, unless it holds mappings."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*term, str(key)))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*term, str(index)))
    else:
        yield term, value


def _said(value: Any) -> str:
    if value is None or value in ({}, []):
        return "nothing"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
