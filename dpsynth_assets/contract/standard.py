"""The Open Data Contract Standard's own JSON schema, with its verdicts turned into problems.

The schema is read from the package `open_data_contract_standard` as data: importing that package's models would cost a
code location a quarter of a second. jsonschema is imported when the first contract is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
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


@cache
def json_schema() -> dict[str, Any]:
    """The standard's schema, as the installed package carries it."""
    text = resources.files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def _validator() -> Validator:
    from jsonschema import Draft201909Validator

    return Draft201909Validator(json_schema())


def problems_of(document: Document) -> list[Problem]:
    """Everything in which the document is not an ODCS contract."""
    found: dict[tuple[Path, str], Problem] = {}
    leftovers: list[tuple[Path, ValidationError]] = []
    for error in _validator().iter_errors(document.data):
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
    known = _keys_of(error.schema)
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


def _keys_of(schema: Any, depth: int = 0) -> set[str]:
    """Every key that any form of a schema allows."""
    keys: set[str] = set()
    if not isinstance(schema, dict) or depth > 12:
        return keys
    keys.update(schema.get("properties", ()))
    if isinstance(reference := schema.get("$ref"), str):
        target: Any = json_schema()
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        keys |= _keys_of(target, depth + 1)
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word, ()):
            keys |= _keys_of(part, depth + 1)
    for word in ("then", "else"):
        keys |= _keys_of(schema.get(word), depth + 1)
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
