"""What changed between two versions of a contract's privacy terms, and which changes give people less protection.

`terms_for_approval` is what a reviewer approves and the ledger keeps: everything in a contract that bears on privacy,
as plain JSON. `changes` compares two of them. A change that weakens the terms needs approval before anything runs;
every other change only shows. A term that was not among those approved, since the platform had no such term then, is
asked for like any other that weakens, unless it says what always held. `weakened` says of terms that were signed what a
reviewer should look at. Knows no ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dpsynth_assets.contract.classifiers import SafetyClassifier
from dpsynth_assets.contract.source_terms import PersonalData

if TYPE_CHECKING:
    from dpsynth_assets.contract.model import Contract

Term = tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One term that differs. `weakens` says why it gives less protection, None if it does not; `refused` that it is one
    of those that never change about a population, which no signature helps."""

    term: str
    before: Any
    after: Any
    weakens: str | None
    refused: bool = False

    def __str__(self) -> str:
        said = f"{self.term}: {_said(self.before)} -> {_said(self.after)}"
        return f"{said} ({self.weakens})" if self.weakens else said


# Post-processing: nothing there touches the people of the source, and what is measured of new texts stays in the
# sensitive store. Of the classifiers, what is declared public is
# approved all the same, and what a safety classifier promises to those who rely on it.
_FREE = ("generation", "classifier", "safety_classifier", "monitoring")
_PROMISED = ("target", "unsafe", "precision", "recall", "confidence", "validation")


def terms_for_approval(contract: Contract) -> dict[str, Any]:
    """The terms of a contract that a privacy reviewer approves, as plain JSON: public constants and people only."""
    terms = contract.privacy.model_dump(mode="json")
    safety = terms["safety_classifier"] or {}
    declared = {
        name: {
            **({"mix": mix} if (mix := (terms[name] or {}).get("mix")) else {}),
            **({each: safety[each] for each in _PROMISED} if name == "safety_classifier" and safety else {}),
        }
        for name in ("classifier", "safety_classifier")
    }
    if unit := contract.privacy.unit.column:
        terms["unit"]["logical_type"] = contract.logical_type(unit)
    return {
        **{name: terms[name] for name in sorted(terms) if name not in _FREE},
        **{name: each for name, each in declared.items() if each},
        "types": {column: contract.logical_type(column) for column in _compared(contract)},
        "source": contract.source,
        **({"stored": contract.stored} if contract.stored else {}),
        "description": {key: said for key, said in contract.intent.items() if said},
        "classification": {
            column.name: column.classification for column in contract.columns if column.classification is not None
        },
        "owners": sorted(contract.owners),
        "approvers": sorted(contract.approvers),
        "retention_days": contract.retention_days,
    }


def _compared(contract: Contract) -> list[str]:
    """The columns whose declared types say which rows are read, and as what; the unit's has its type beside it."""
    terms = contract.privacy
    asking = (terms.classifier, terms.safety_classifier)
    named = {terms.text.column, *(label.column for label in terms.labels)}
    named |= {terms.blocks.column} if terms.blocks else set()
    mixes = [each.mix for each in asking if each is not None and each.mix is not None]
    tested = terms.test_split.where if terms.test_split else {}
    return sorted(named.union(terms.source_where, tested, *(mix.where for mix in mixes)))


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Every term that differs, in the order of their names."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    same = before.get("population") is not None and before.get("population") == after.get("population")
    found = []
    for term in sorted(old.keys() | new.keys()):
        was, is_ = old.get(term), new.get(term)
        if was != is_ and not (_is_nothing(was) and _is_nothing(is_)):
            why = _why_weaker(term, was, is_)
            if why and before and term[0] not in before:
                why = f"nobody has signed for it yet: {why}"
            refused = same and term in _FIXED and (term in old or term[:1] in old)
            found.append(Change(".".join(term), was, is_, _NEVER if refused else why, refused))
    return found


def weakened(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    """What of the terms `after` gives less protection than those `before` them, a sentence each.

    Terms that nothing is said of before are compared with what is usual: what two people signed for first is not
    weaker than anything, but may allow more than the platform does by itself.
    """
    usual = {name: value for name, value in _usual().items() if name not in (before or {})}
    said = {name: _like(after[name], value) for name, value in usual.items() if name in after}
    known = {name: after.get(name) for name in before or {}}
    return [str(change) for change in changes({**usual, **(before or {})}, {**known, **said}) if change.weakens]


def _usual() -> dict[str, Any]:
    """The terms that may allow more than the platform does by itself, with what it allows."""
    promised = {name: SafetyClassifier.model_fields[name].default for name in ("precision", "recall", "confidence")}
    return {
        "personal_data": PersonalData().model_dump(mode="json"),
        "source_is_public": False,
        "safety_classifier": promised,
        "variants": {"epsilons": []},
    }


def _like(value: Any, usual: Any) -> Any:
    """Of a mapping only what the other one has too."""
    if not isinstance(usual, dict):
        return value
    return {name: value[name] for name in usual if name in value} if isinstance(value, dict) else None


def _up(was: Any, is_: Any) -> bool:
    numbers = all(isinstance(value, int | float) for value in (was, is_))
    return not numbers or is_ > was


def _down(was: Any, is_: Any) -> bool:
    return isinstance(is_, int | float) and (not isinstance(was, int | float) or is_ < was)


def _above(usual: float) -> Callable[[Any, Any], bool]:
    """More than before; than `usual` where nothing was said before."""
    return lambda was, is_: is_ is not None and is_ > (usual if was is None else was)


def _less_secret(was: Any, is_: Any) -> bool:
    """Anything but a step up among the usual classes."""
    classes = ("public", "internal", "confidential", "restricted")
    known = [classes.index(each) if (each := str(value).lower()) in classes else None for value in (was, is_)]
    return None in known or known[1] < known[0]  # type: ignore[operator]


def _set(was: Any, is_: Any) -> bool:
    return bool(is_) and is_ != was


def _other_rows(was: Any, is_: Any) -> bool:
    """Another filter, or none any more; without the rows themselves there is nothing to filter."""
    return is_ is not None and is_ != (was or {})


def _more(was: Any, is_: Any) -> bool:
    return not {*(is_ or ())} <= {*(was or ())}


def _fewer(was: Any, is_: Any) -> bool:
    return _more(is_, was)


def _any(was: Any, is_: Any) -> bool:
    return True


def _unpriced(was: Any, is_: Any) -> bool:
    return "none" in (is_ or ()) and "none" not in (was or ())


# The longest matching beginning of a term decides; what none matches does not weaken. The ledger holds the budget
# whatever a release asks, so a release's own price, noise or steps are not among them; and it holds who may sign,
# whomever a contract names as its owners and approvers.
_RULES: dict[Term, tuple[Callable[[Any, Any], bool], str]] = {
    ("population",): (_any, "another population has another budget"),
    ("unit", "name"): (_any, "the guarantee protects something else"),
    ("unit", "column"): (_any, "the guarantee protects something else"),
    ("unit", "logical_type"): (_any, "other spellings of an id are one unit, so the guarantee protects something else"),
    ("unit", "neighbouring_relation"): (_any, "the guarantee means something else"),
    ("unit", "max_records"): (_up, "more of one unit's records are used"),
    ("budget", "epsilon"): (_up, "more may be learned about each unit"),
    ("budget", "delta"): (_up, "the guarantee may fail more often"),
    ("budget", "rule"): (_any, "another rule admits releases"),
    ("blocks",): (_any, "the budget is divided otherwise"),
    ("blocks", "values"): (_more, "the records of more blocks are read, each with a budget of its own"),
    ("text", "column"): (_any, "another text is learned from"),
    ("text", "max_tokens"): (_up, "more of each text is used"),
    ("base_model",): (_any, "what the model had read before is another question"),
    ("base_model", "endpoint"): (_any, "another server is asked for texts, and sees released ones before others do"),
    ("base_model", "key_variable"): (_any, "another secret of the environment is sent to the endpoint"),
    ("personal_data", "account_numbers"): (
        _above(PersonalData().account_numbers),
        "more texts may look as if they held card numbers or IBANs",
    ),
    ("personal_data", "addresses"): (
        _above(PersonalData().addresses),
        "more texts may look as if they held addresses or phone numbers",
    ),
    ("description",): (_any, "the data serve another purpose, or within other limits"),
    ("classification",): (_less_secret, "a column is held for less secret, or for something else"),
    ("labels",): (_any, "other labels are counted; were they read off the data?"),
    ("source_is_public",): (_set, "a source declared public is read without a charge"),
    ("source",): (_any, "what lies at another place is read"),
    ("stored",): (_any, "another table or column of the source is read"),
    ("csv",): (_any, "what lies in the source is read otherwise"),
    ("source_copies",): (_more, "what lies at more places may be read"),
    ("source_where",): (_any, "other rows are read"),
    ("types",): (_set, "its values are compared otherwise, so other rows are read"),
    ("test_split",): (_set, "other rows are declared public"),
    ("test_split", "where"): (_other_rows, "other rows are declared public"),
    ("classifier", "mix"): (_set, "other rows are declared public"),
    ("safety_classifier", "mix"): (_set, "other rows are declared public"),
    ("classifier", "mix", "where"): (_other_rows, "other rows are declared public"),
    ("safety_classifier", "mix", "where"): (_other_rows, "other rows are declared public"),
    ("safety_classifier", "target"): (_set, "other texts count as unsafe"),
    ("safety_classifier", "unsafe"): (_set, "other texts count as unsafe"),
    ("safety_classifier", "validation"): (_set, "the promise to those who rely on it is kept on other rows"),
    **{
        ("safety_classifier", name): (_down, "less is promised to those who rely on the classifier")
        for name in ("precision", "recall", "confidence")
    },
    ("releases", "key_phrases", "mechanism"): (_set, "words that many people wrote are let out as they stand"),
    ("releases", "key_phrases", "without"): (_fewer, "words may be let out that were not before"),
    ("variants", "epsilons"): (_unpriced, "a variant is released without privacy"),
    ("retention_days",): (_up, "sensitive copies are kept longer"),
}


# What a population is registered with for good: a change of it asks for another population.
_FIXED: tuple[Term, ...] = (
    ("unit", "name"),
    ("unit", "column"),
    ("unit", "logical_type"),
    ("unit", "neighbouring_relation"),
    ("budget", "delta"),
    ("budget", "rule"),
    ("blocks", "column"),
)
_NEVER = "never changes: set it back, or give other people another `population`"


def _why_weaker(term: Term, was: Any, is_: Any) -> str | None:
    for length in range(len(term), 0, -1):
        if term[:length] in _RULES:
            weaker, why = _RULES[term[:length]]
            return why if weaker(was, is_) else None
    return None


def _leaves(value: Any, term: Term = ()) -> Iterator[tuple[Term, Any]]:
    """Each term with its value. A list is one value, unless it holds mappings; so is the filter of public rows, of
    which a part that is gone lets more rows in."""
    if isinstance(value, dict) and term[-2:] not in (("mix", "where"), ("test_split", "where")):
        for key, inner in value.items():
            yield from _leaves(inner, (*term, str(key)))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*term, str(index)))
    else:
        yield term, value


def _is_nothing(value: Any) -> bool:
    """A filter that lets everything in is none, and so are no labels."""
    return value is None or value in ({}, [])


def _said(value: Any) -> str:
    if value is None or value in ({}, []):
        return "nothing"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
