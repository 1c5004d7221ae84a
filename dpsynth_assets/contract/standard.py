"""The Open Data Contract Standard's own JSON schemas, with their verdicts turned into problems.

A contract is judged by the version of the standard that it declares. The newest schema is read from the package
`open_data_contract_standard` as data: importing that package's models would cost a code location a quarter of a second.
The package carries no older ones; `schemas/` holds them as the standard published them. jsonschema is imported when the
first contract is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from dpsynth_assets.contract.document import Document, Path
from dpsynth_assets.contract.problems import HOW_TO_WRITE, Problem, choose_from, listing

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_KINDS = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "empty",
}


_OLDER = {"v3.0": "odcs-v3.0.2.json", "v3.1": "odcs-v3.1.0.json"}  # of each, the last one reads those before it


@cache
def json_schema(version: str = "") -> dict[str, Any]:
    """The standard's schema of a version such as v3.0; where there is none of it, the newest."""
    if version in _OLDER:
        file = resources.files("dpsynth_assets.contract").joinpath("schemas", _OLDER[version])
    else:
        file = resources.files("open_data_contract_standard").joinpath("schema.json")
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def _ask_for_types(schema: Any) -> None:
    """What a schema says of columns of one type holds of those that have it: without this, as it is written in 3.2, it
    holds of columns without any type too, which the standard allows."""
    if isinstance(schema, dict):
        condition = schema.get("if")
        if isinstance(condition, dict) and "logicalType" in condition.get("properties", ()):
            condition.setdefault("required", ["logicalType"])
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _ask_for_types(part)


@cache
def _validator(version: str) -> Validator:
    from jsonschema import Draft201909Validator

    schema = deepcopy(json_schema(version))
    _ask_for_types(schema)
    return Draft201909Validator(schema)


def version_of(document: Document) -> str:
    """The version of the standard that a document declares, without its last number."""
    declared = document.at(("apiVersion",))
    return declared.rpartition(".")[0] if isinstance(declared, str) else ""


def other_than_this(document: Document) -> Problem | None:
    """Why a document is of another standard, so that nothing else need be said of it."""
    remedy = (
        "Write it as ODCS 3.x (`datacontract export --format odcs` of datacontract-cli does), or draft one: dpsynth new"
    )
    if (line := document.at(("dataContractSpecification",))) is not None and document.at(("kind",)) is None:
        what = f"a contract of the Data Contract Specification {line}, and not of the Open Data Contract Standard"
        return document.problem(("dataContractSpecification",), what, remedy)
    declared = document.at(("apiVersion",))
    if isinstance(declared, str) and declared.startswith(("v2.", "2.")) and document.at(("schema",)) is None:
        what = f"a contract of the standard's version {declared}, of which none is read before v3.0"
        return document.problem(("apiVersion",), what, "Write it anew as 3.x, or draft one: dpsynth new")
    return None


def problems_of(document: Document) -> list[Problem]:
    """Everything in which the document is not an ODCS contract."""
    version = version_of(document)
    found: dict[tuple[Path, str], Problem] = {}
    leftovers: list[tuple[Path, ValidationError]] = []
    for error in _validator(version).iter_errors(document.data):
        path = tuple(error.absolute_path)
        if error.validator in ("unevaluatedProperties", "additionalProperties"):
            leftovers.append((path, error))
        else:
            for place, problem in _say(document, path, error):
                found.setdefault((place, problem.what), problem)
    broken = {place for place, _ in found}
    for path, error in leftovers:
        for place, problem in _say_unknown(document, path, error, broken):
            found.setdefault((place, problem.what), problem)
    return list(found.values())


def _say(document: Document, path: Path, error: ValidationError) -> Iterator[tuple[Path, Problem]]:
    """One schema error as problems; a choice between forms is said about the form that was meant."""
    value: Any = error.instance
    wanted: Any = error.validator_value
    if error.validator in ("anyOf", "oneOf"):
        yield from _say_choice(document, path, error)
    elif error.validator == "required":
        # jsonschema reports each missing key by itself, and names it first
        name = next(key for key in wanted if error.message.startswith(repr(key)))
        yield path, document.problem(path, f"`{name}` is missing", f"Add `{name}:` here")
    elif error.validator == "enum":
        yield path, document.problem(path, f"`{value}` is not known here", choose_from(str(value), map(str, wanted)))
    elif error.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else list(wanted)
        what = f"{_shown(value)} must be {' or '.join(_KINDS.get(kind, kind) for kind in kinds)}"
        quotable = "string" in kinds and isinstance(value, int | float | bool)
        yield path, document.problem(path, what, f'Write "{value}", in quotes' if quotable else _how(kinds))
    elif error.validator == "pattern":
        yield path, document.problem(path, f"{_shown(value)} has an ill form", f"It must match {wanted}")
    else:
        yield path, document.problem(path, error.message[:200], "See the Open Data Contract Standard for this key")


def _say_choice(document: Document, path: Path, error: ValidationError) -> Iterator[tuple[Path, Problem]]:
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    if not branches:
        what = "more than one of the alternatives is given"
        yield path, document.problem(path, what, f"Keep one of {listing(_alternatives(error))}")
    elif all(inner.validator == "required" for inners in branches.values() for inner in inners):
        yield (
            path,
            document.problem(path, "one of several keys is missing", f"Add one of {listing(_alternatives(error))}"),
        )
    else:
        # The form that was meant is one whose type fits; of those the one with the fewest faults.
        def misfit(inners: list[ValidationError]) -> tuple[bool, int]:
            return any(e.validator == "type" and not e.path for e in inners), len(inners)

        meant = min(branches.values(), key=misfit)
        if misfit(meant)[0]:
            what = f"{_shown(error.instance)} has the wrong form"
            kinds = sorted(
                {_KINDS.get(str(e.validator_value), "") for inners in branches.values() for e in inners} - {""}
            )
            yield path, document.problem(path, what, f"It must be {' or '.join(kinds)}")
            return
        for inner in meant:
            place = tuple(inner.absolute_path)
            if inner.validator in ("unevaluatedProperties", "additionalProperties"):
                yield from _say_unknown(document, place, inner, set())
            else:
                yield from _say(document, place, inner)


def _alternatives(error: ValidationError) -> list[str]:
    branches = error.validator_value if isinstance(error.validator_value, list) else []
    return [key for branch in branches for key in branch.get("required", ())]


def _say_unknown(
    document: Document, path: Path, error: ValidationError, broken: set[Path]
) -> Iterator[tuple[Path, Problem]]:
    known = _keys_of(error.schema, json_schema(version_of(document)))
    given: Any = error.instance
    unexpected = [key for key in given if key not in known]
    for key in unexpected:
        place = (*path, key)
        yield place, document.problem(place, f"the key `{key}` is not known here", choose_from(key, known))
    if unexpected or any(place[: len(path)] == path for place in broken):
        return  # a known key beside a fault is refused only because of that fault
    for key in given:
        if repr(key) in error.message:
            place = (*path, key)
            what = f"the key `{key}` does not fit what stands beside it"
            yield place, document.problem(place, what, "Remove it, or correct `type`")


def _keys_of(schema: Any, whole: dict[str, Any], depth: int = 0) -> set[str]:
    """Every key that any form of a part of the whole schema allows."""
    keys: set[str] = set()
    if not isinstance(schema, dict) or depth > 12:
        return keys
    keys.update(schema.get("properties", ()))
    if isinstance(reference := schema.get("$ref"), str):
        target: Any = whole
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        keys |= _keys_of(target, whole, depth + 1)
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word, ()):
            keys |= _keys_of(part, whole, depth + 1)
    for word in ("then", "else"):
        keys |= _keys_of(schema.get(word), whole, depth + 1)
    return keys


def _how(kinds: list[str]) -> str:
    words = [_KINDS.get(kind, kind) for kind in kinds]
    return HOW_TO_WRITE.get(words[0], f"Write {' or '.join(words)}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "this mapping"
    if isinstance(value, list):
        return "this list"
    if value is None:
        return "nothing"
    return f"`{str(value)[:60]}`"
