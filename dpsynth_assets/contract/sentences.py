"""What pydantic found wrong in the privacy terms, said as sentences with a remedy and a line."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dpsynth_assets.contract.document import Document, Path
from dpsynth_assets.contract.parts import Parts
from dpsynth_assets.contract.problems import HOW_TO_WRITE, Problem, choose_from, did_you_mean
from dpsynth_assets.contract.releases import Releases, releases_model
from dpsynth_assets.contract.scalars import as_everyone_reads
from dpsynth_assets.contract.terms import PrivacyTerms
from dpsynth_assets.releases import registry
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.term import TermsError

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
    "prompt.template": '"Write a message to a bank about {topic}."',
    "releases": f"{{{LABEL_HISTOGRAM.name}: {{...}}, {ADAPTER.name}: {{...}}}}",
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
    "monitoring.expectations.type": "expect_column_label_distance_to_be_between",
    "monitoring.expectations.kwargs": "{column: topic, max_value: 0.1}",
    "monitoring.expectations.kwargs.column": "topic",
    "monitoring.expectations.kwargs.max_value": "0.1",
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
class Parsed:
    """The terms if all of them hold, the parts that hold by themselves, and what is wrong with the others. What does
    not hold between them is for the cross-checks to say."""

    terms: PrivacyTerms | None
    parts: Parts
    problems: list[Problem]


def parse(document: Document, path: Path) -> Parsed:
    """The privacy terms at `path`."""
    raw = document.at(path)
    try:
        terms = PrivacyTerms.model_validate(raw)
    except ValidationError as error:
        details = _worth_saying(error.errors(include_url=False))
        found = dict.fromkeys(_sentence(document, path, detail) for detail in details if not _is_between(detail))
        return Parsed(None, Parts.found_in(raw), list(found))
    return Parsed(terms, Parts.found_in(raw), [])


def _is_between(detail: ErrorDetails) -> bool:
    """Whether it is said of the terms as a whole that they do not agree."""
    return not detail["loc"] and isinstance(detail.get("ctx", {}).get("error"), TermsError)


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
        if detail["type"] == "default_factory_not_called":
            continue  # nobody wrote this term: what its default is made of is wrong, and that is said
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # pydantic counts the entries that hold, and says of the others what is wrong
        yield detail


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
    return f"`{loc[-1]}` is missing{said}", f"Add it, for example `{loc[-1]}: {examples().get(plain, '...')}`"


def examples() -> dict[str, str]:
    """What a missing term may look like, by its dotted name."""
    of_releases = {
        ".".join(filter(None, ("releases", release.name, term))): value
        for release in registry.releases()
        for term, value in release.examples.items()
    }
    return EXAMPLES | of_releases


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
    if annotation is Releases:
        annotation = releases_model()
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
