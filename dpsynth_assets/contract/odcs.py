"""Reads a contract from an ODCS 3.x file, or says everything that is wrong with it at once.

Four readers look at the same document: YAML, the standard's JSON schema, the privacy terms, and the cross-checks. None
stops the others, except that nothing can be said of a file whose syntax does not hold.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dpsynth_assets.contract import document as yaml
from dpsynth_assets.contract import lint, people, places, sentences, standard
from dpsynth_assets.contract.draft import Draft, find_privacy
from dpsynth_assets.contract.model import SAME_AS_SOURCE, Column, Contract, QualityRule
from dpsynth_assets.contract.parts import Parts
from dpsynth_assets.contract.problems import ContractError, Problem
from dpsynth_assets.contract.rules import RuleReader
from dpsynth_assets.contract.sql_names import in_sql
from dpsynth_assets.contract.terms import PrivacyTerms


def load_contract(path: str | Path) -> Contract:
    """The contract in a file. Its warnings come with it.

    Raises:
        ContractError: with every error of the file, each with its line and what to do about it.
    """
    reading = _read(Path(path))
    errors = [problem for problem in reading.problems if problem.severity == "error"]
    if errors or reading.draft is None or reading.terms is None:
        raise ContractError(Path(path), errors)
    return _assemble(Path(path), reading, reading.draft, reading.terms)


def lint_contract(path: str | Path) -> list[Problem]:
    """Every error and warning of a contract, in the order of its lines; empty where there is nothing to say."""
    return _read(Path(path)).problems


def names_in(path: str | Path) -> frozenset[str]:
    """What a contract's file calls itself, as far as can be told of one that does not hold: its id, and its `asset`."""
    document = None
    with suppress(OSError, UnicodeDecodeError):
        if Path(path).is_file():
            document, _ = yaml.read(Path(path).read_text(encoding="utf-8"))
    if document is None or not isinstance(document.data, dict):
        return frozenset()
    privacy, _ = find_privacy(document)
    said = (document.at(("id",)), document.at((*privacy, "asset")) if privacy is not None else None)
    return frozenset(name for name in said if isinstance(name, str))


def line_of(path: str | Path, *term: str, privacy: bool = True) -> int:
    """The line on which a privacy term of a contract stands, or the place that it is missing from; without `privacy`,
    a term of the standard's own."""
    document, _ = yaml.read(Path(path).read_text(encoding="utf-8"))
    place = find_privacy(document)[0] if document is not None and privacy else ()
    return 1 if document is None or place is None else document.line((*place, *term))


@dataclass(frozen=True)
class _Reading:
    problems: list[Problem]
    digest: str = ""
    draft: Draft | None = None
    terms: PrivacyTerms | None = None
    rules: tuple[QualityRule, ...] = ()


def _read(path: Path) -> _Reading:
    if path.exists() and not path.is_file():
        return _Reading([Problem(1, str(path), "this is no file", "Move it away: a contract is a file")])
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except OSError as error:
        what = f"the file cannot be read ({error.strerror})"
        return _Reading([Problem(1, str(path), what, "Check the path")])
    except UnicodeDecodeError:
        return _Reading([Problem(1, str(path), "the file is not UTF-8 text", "Save it as UTF-8")])
    document, unreadable = yaml.read(text)
    if document is None:
        return _Reading(unreadable)
    if not isinstance(document.data, dict):
        what = "a contract is a mapping of keys"
        return _Reading([document.problem((), what, "Begin with `apiVersion: v3.2.0`")])
    if other := standard.other_than_this(document):
        return _Reading([other])
    privacy, misplaced = find_privacy(document)
    table = Draft(document, privacy, Parts()).table
    document.short[(*table, "properties")] = "columns"
    document.short[(*table, "quality")] = "quality"
    if privacy is not None:
        document.short[privacy] = "privacy"
    problems = [*standard.problems_of(document), *misplaced]
    parsed = sentences.parse(document, privacy) if privacy is not None else None
    draft = Draft(document, privacy, parsed.parts if parsed is not None else Parts(), path.parent)
    found, rules = _rules(draft)
    problems += [*lint.problems_of(draft), *found]
    if parsed is not None:
        problems += parsed.problems
    faults = [_of_no_weight(problem) for problem in document.problems()]
    said = {(fault.line, fault.where) for fault in faults}  # what YAML says of a value, nobody need say again
    problems = [*faults, *(problem for problem in problems if (problem.line, problem.where) not in said)]
    digest = hashlib.sha256(raw).hexdigest()
    terms = parsed.terms if parsed is not None else None
    return _Reading(sorted(set(problems)), digest, draft, terms, rules)


def _of_no_weight(fault: Problem) -> Problem:
    """What YAML says of the standard's `examples`, which nothing reads, is a warning."""
    return replace(fault, severity="warning") if ".examples" in fault.where else fault


def _rules(draft: Draft) -> tuple[list[Problem], tuple[QualityRule, ...]]:
    values = {label.column: label.values for _, label in draft.parts.labels}
    base = draft.parts.base_model
    reader = RuleReader(
        draft.document,
        draft.synthetic_columns,
        dict(values),
        draft.parts.source_is_public,
        is_tested=not draft.parts.untested,
        endpoint=None if base is None else base.endpoint,
        source_columns=frozenset(draft.columns),
    )
    reader.read(draft.get(*draft.table, "quality"), (*draft.table, "quality"), None)
    for column, (path, entry) in draft.columns.items():
        reader.read(entry.get("quality"), (*path, "quality"), column)
    return reader.problems, tuple(reader.rules)


def _assemble(path: Path, reading: _Reading, draft: Draft, terms: PrivacyTerms) -> Contract:
    source = places.source_of(draft)
    retention = people.retention_of(draft)
    assert source is not None  # the checks have seen to it
    assert retention is not None
    table, split = str(draft.get(*draft.table, "name")), terms.test_split
    if split is not None and split.path == SAME_AS_SOURCE:
        terms = terms.model_copy(update={"test_split": split.model_copy(update={"path": source})})
    return Contract(
        id=terms.asset or str(draft.get("id")),
        version=str(draft.get("version")),
        name=draft.text("name") or str(draft.get("id")),
        description=_words(draft.text("description", "purpose") or draft.text(*draft.table, "description")),
        path=path.absolute(),
        digest=reading.digest,
        owners=people.owners_of(draft),
        approvers=people.approvers_of(draft),
        retention_days=retention,
        table=in_sql(table),
        columns=tuple(_column(entry) for _, entry in draft.columns.values()),
        source=source,
        privacy=terms,
        stored_as=draft.text(*draft.table, "physicalName") or (None if in_sql(table) == table else table),
        database_schema=draft.text("servers", 0, "schema"),
        quality=reading.rules,
        intent={key: _words(draft.text("description", key)) for key in ("purpose", "usage", "limitations")},
        warnings=tuple(problem for problem in reading.problems if problem.severity == "warning"),
    )


def _column(entry: dict[str, Any]) -> Column:
    classification = entry.get("classification")
    return Column(
        name=str(entry["name"]),
        logical_type=str(entry.get("logicalType", "")),
        required=entry.get("required") is True,
        description=_words(entry.get("description")),
        classification=classification if isinstance(classification, str) else None,
        stored_as=stored if isinstance(stored := entry.get("physicalName"), str) and stored != entry["name"] else None,
    )


def _words(text: Any) -> str:
    return " ".join(text.split()) if isinstance(text, str) else ""
