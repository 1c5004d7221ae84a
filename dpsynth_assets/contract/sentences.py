"""What pydantic found wrong in the privacy terms, said as sentences with a remedy and a line.

Also the terms in parts: where one part is broken, the others can still be checked against each other, so that an owner
reads every problem at once.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dpsynth_assets.contract.classifiers import Classifier, PublicTestSplit, SafetyClassifier
from dpsynth_assets.contract.document import Document, Path
from dpsynth_assets.contract.problems import HOW_TO_WRITE, Problem, choose_from, did_you_mean
from dpsynth_assets.contract.releases import AdapterRelease, Budget, ClassifierRelease, HistogramRelease, VotesRelease
from dpsynth_assets.contract.scalars import as_everyone_reads
from dpsynth_assets.contract.synthesis import BaseModelTerms, Curation, Generation
from dpsynth_assets.contract.term import Equalities, Name, Terms, TermsError
from dpsynth_assets.contract.terms import Blocks, LabelColumn, PrivacyTerms, PrivacyUnit, TextColumn

# What a missing key may look like. Values of the demo contract, to be replaced by the owner's.
EXAMPLES = {
    "population": "fictional-bank-customers",
    "unit": "{name: customer, column: customer_id, max_records: 4, public_count: 1600, ...}",
    "unit.name": "customer",
    "unit.public_count": "1600",
    "unit.neighbouring_relation": "add_or_remove_one_unit",
    "text": "{column: text, max_tokens: 48}",
    "text.column": "text",
    "text.max_tokens": "48",
    "labels": "[{column: topic, values: [card_lost, payment_failed]}]",
    "labels.column": "topic",
    "labels.values": "[card_lost, payment_failed]",
    "budget": "{epsilon: 8.0, delta: 1.0e-5}",
    "budget.epsilon": "8.0",
    "budget.delta": "1.0e-5",
    "blocks.column": "joined_in",
    "blocks.values": '["2026-10", "2026-11"]',
    "releases": "{label_histogram: {...}, adapter: {...}}",
    "releases.label_histogram": "{mechanism: discrete_laplace_histogram, epsilon: 0.5}",
    "releases.label_histogram.mechanism": "discrete_laplace_histogram",
    "releases.adapter": "{mechanism: dp_sgd, method: lora, epsilon: 7.0, ...}",
    "releases.adapter.mechanism": "dp_sgd",
    "releases.adapter.method": "lora",
    "releases.adapter.expected_batch_size": "160",
    "releases.adapter.steps": "100",
    "releases.adapter.learning_rate": "0.002",
    "releases.labeller.classifier": "minilm",
    "releases.labeller.expected_batch_size": "400",
    "releases.labeller.steps": "100",
    "releases.labeller.learning_rate": "0.05",
    "releases.votes.mechanism": "discrete_laplace_histogram",
    "releases.votes.clusters": "50",
    "releases.dp_baseline.classifier": "minilm",
    "releases.dp_baseline.expected_batch_size": "400",
    "releases.dp_baseline.steps": "100",
    "releases.dp_baseline.learning_rate": "0.05",
    "generation": "{rows: 3000, max_new_tokens: 48}",
    "generation.rows": "3000",
    "generation.max_new_tokens": "48",
    "test_split": "{path: ../data/inbox/test.parquet, declared_public_by: owner@example.com}",
    "test_split.path": "../data/inbox/test.parquet",
    "test_split.declared_public_by": "owner@example.com",
    "classifier": "{target: topic}",
    "classifier.target": "topic",
    "classifier.mix.path": "../data/public_letters.parquet",
    "classifier.mix.declared_public_by": "owner@example.com",
    "safety_classifier.target": "safety",
    "safety_classifier.unsafe": "unsafe",
    "safety_classifier.mix.path": "../data/public_insults.parquet",
    "safety_classifier.mix.declared_public_by": "owner@example.com",
    "variants.methods": "[{method: lora, learning_rate: 0.01}]",
    "variants.methods.method": "lora",
    "variants.methods.learning_rate": "0.01",
    "variants.epsilons": "[1.0, 3.0]",
}

_NUMBER = re.compile(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?")
_FORMS = {
    "string_type": "a text",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("of at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("of at most", "le"),
}


@dataclass(frozen=True)
class Parts:
    """Those parts of the privacy terms that hold by themselves."""

    unit: PrivacyUnit | None = None
    text: TextColumn | None = None
    labels: tuple[tuple[int, LabelColumn], ...] = ()
    all_labels_hold: bool = False
    budget: Budget | None = None
    blocks: Blocks | None = None
    histogram: HistogramRelease | None = None
    adapter: AdapterRelease | None = None
    labeller: ClassifierRelease | None = None
    votes: VotesRelease | None = None
    dp_baseline: ClassifierRelease | None = None
    base_model: BaseModelTerms | None = None
    generation: Generation | None = None
    curation: Curation | None = None
    test_split: PublicTestSplit | None = None
    classifier: Classifier | None = None
    safety_classifier: SafetyClassifier | None = None
    source_is_public: bool = False
    source_copies: tuple[str, ...] = ()
    source_where: dict[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Parsed:
    """The terms if all of them hold, the parts that do, and what is wrong with the rest.

    `inconsistent` is said of the terms as a whole; the cross-checks of lint usually say it better.
    """

    terms: PrivacyTerms | None
    parts: Parts
    problems: list[Problem]
    inconsistent: list[Problem]


def parse(document: Document, path: Path) -> Parsed:
    """The privacy terms at `path`."""
    raw = document.at(path)
    try:
        terms = PrivacyTerms.model_validate(raw)
    except ValidationError as error:
        found: list[Problem] = []
        whole: list[Problem] = []
        for detail in _worth_saying(error.errors(include_url=False)):
            (found if detail["loc"] else whole).append(_sentence(document, path, detail))
        return Parsed(None, _parts(raw), list(dict.fromkeys(found)), whole)
    return Parsed(terms, _parts(raw), [], [])


def _worth_saying(details: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Without what only follows from another error: a key that is missing because it is misspelt beside."""
    meant = {
        (*detail["loc"][:-1], did_you_mean(str(detail["loc"][-1]), _fields_at(detail["loc"][:-1])))
        for detail in details
        if detail["type"] == "extra_forbidden"
    }
    for detail in details:
        if detail["type"] == "missing" and detail["loc"] in meant:
            continue
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # pydantic counts the entries that hold, and says of the others what is wrong
        yield detail


def _parts(raw: Any) -> Parts:
    if not isinstance(raw, dict):
        return Parts()
    releases = raw.get("releases")
    releases = releases if isinstance(releases, dict) else {}
    entries = raw.get("labels")
    entries = entries if isinstance(entries, list) else []
    labels = tuple(
        (index, label) for index, entry in enumerate(entries) if (label := _held(LabelColumn, entry)) is not None
    )
    where = _held(_Filter, {"where": raw.get("source_where", {})})
    copies = _held(_Copies, {"source_copies": raw.get("source_copies", [])})
    return Parts(
        unit=_held(PrivacyUnit, raw.get("unit")),
        text=_held(TextColumn, raw.get("text")),
        labels=labels,
        all_labels_hold=bool(entries) and len(labels) == len(entries),
        budget=_held(Budget, raw.get("budget")),
        blocks=_held(Blocks, raw.get("blocks")),
        histogram=_held(HistogramRelease, releases.get("label_histogram")),
        adapter=_held(AdapterRelease, releases.get("adapter")),
        labeller=_held(ClassifierRelease, releases.get("labeller")),
        votes=_held(VotesRelease, releases.get("votes")),
        dp_baseline=_held(ClassifierRelease, releases.get("dp_baseline")),
        base_model=_held(BaseModelTerms, raw.get("base_model", {})),
        generation=_held(Generation, raw.get("generation")),
        curation=_held(Curation, raw.get("curation", {})),
        test_split=_held(PublicTestSplit, raw.get("test_split")),
        classifier=_held(Classifier, raw.get("classifier")),
        safety_classifier=_held(SafetyClassifier, raw.get("safety_classifier")),
        source_is_public=raw.get("source_is_public") is True,
        source_copies=copies.source_copies if copies else (),
        source_where=where.where if where else {},
    )


class _Filter(Terms):
    where: Equalities


class _Copies(Terms):
    source_copies: Annotated[tuple[Name, ...], Field(strict=False)]


M = typing.TypeVar("M", bound=BaseModel)


def _held(model: type[M], raw: Any) -> M | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


def _sentence(document: Document, base: Path, detail: ErrorDetails) -> Problem:
    loc: Path = tuple(detail["loc"])
    path, kind, value = (*base, *loc), detail["type"], detail["input"]
    context = detail.get("ctx", {})
    name = str(loc[-1]) if loc else "privacy"
    if kind == "missing":
        return document.problem(path, *_missing(loc))
    if kind == "extra_forbidden":
        known = _fields_at(loc[:-1])
        return document.problem(path, f"the key `{name}` is not known here", choose_from(name, known))
    if isinstance(fault := context.get("error"), TermsError):
        return document.problem((*path, fault.field) if fault.field else path, fault.what, fault.remedy)
    if kind in _FORMS:
        return document.problem(path, *_wrong_form(kind, value))
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        return document.problem(path, f"{value} is out of range", f"Write a number {word} {context[key]:g}")
    if kind == "literal_error":
        choices = _choices(loc)
        return document.problem(path, f"{_shown(value)} is not known here", choose_from(str(value), choices))
    if kind == "string_pattern_mismatch":
        return document.problem(path, f"{_shown(value)} has an ill form", _pattern_remedy(str(value), name))
    if kind in ("too_short", "string_too_short"):
        least = context["min_length"]
        return document.problem(path, f"needs at least {least} entr{'y' if least == 1 else 'ies'}", "Complete it")
    return document.problem(path, str(detail["msg"]), "See docs/contracts.md for this term")


def _missing(loc: Path) -> tuple[str, str]:
    plain = ".".join(step for step in loc if isinstance(step, str))
    field_ = _field_at(loc)
    said = f": {field_.description}" if field_ is not None and field_.description else ""
    return f"`{loc[-1]}` is missing{said}", f"Add it, for example `{loc[-1]}: {EXAMPLES.get(plain, '...')}`"


def _wrong_form(kind: str, value: Any) -> tuple[str, str]:
    form = _FORMS[kind]
    if kind in ("float_type", "int_type") and isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = value.strip() if value.strip().lstrip("+-").isdigit() else as_everyone_reads(value.strip())
        return f'"{value}" is text here, not a number', f"Write {number}"
    if kind == "string_type" and isinstance(value, int | float | bool):
        return f"{_shown(value)} must be a text", f'Write "{str(value).lower() if isinstance(value, bool) else value}"'
    if form == "a whole number" and isinstance(value, float):
        return f"`{value}` must be a whole number", f"Write {round(value)}"
    return f"{_shown(value)} must be {form}", HOW_TO_WRITE.get(form, f"Write {form}")


def _pattern_remedy(value: str, name: str) -> str:
    if name == "trained_before":
        return "Write a year and month, or a date: 2024-06 or 2024-06-30"
    plain = re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-_")
    rule = "Use small letters, digits, - and _, a letter first"
    return f"{rule}, such as `{plain}`" if re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", plain) else rule


def _models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    origin = typing.get_origin(annotation)
    if isinstance(annotation, type) and origin is None and issubclass(annotation, BaseModel):
        yield annotation
    elif origin in (tuple, typing.Union, types.UnionType, typing.Annotated):
        for argument in typing.get_args(annotation):
            yield from _models_of(argument)


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every term below a model by its dotted name, outermost first."""
    for name, info in model.model_fields.items():
        yield prefix + name, info
        for inner in _models_of(info.annotation):
            yield from fields_of(inner, f"{prefix}{name}.")


def _model_at(loc: Path) -> type[BaseModel] | None:
    model: type[BaseModel] | None = PrivacyTerms
    for step in loc:
        if isinstance(step, str) and model is not None:
            field_ = model.model_fields.get(step)
            model = next(_models_of(field_.annotation), None) if field_ is not None else None
    return model


def _field_at(loc: Path) -> FieldInfo | None:
    model = _model_at(loc[:-1])
    return model.model_fields.get(str(loc[-1])) if model is not None else None


def _fields_at(loc: Path) -> list[str]:
    model = _model_at(loc)
    return sorted(model.model_fields) if model is not None else []


def _choices(loc: Path) -> list[str]:
    while loc and isinstance(loc[-1], int):  # an item of a list has the choices of its list
        loc = loc[:-1]
    field_ = _field_at(loc)
    return list(_literals(field_.annotation)) if field_ is not None else []


def _literals(annotation: Any) -> Iterator[str]:
    for argument in typing.get_args(annotation):
        if isinstance(argument, str):
            yield argument
        else:
            yield from _literals(argument)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "this mapping"
    if isinstance(value, list | tuple):
        return "this list"
    return "nothing" if value is None else f"`{str(value)[:60]}`"
