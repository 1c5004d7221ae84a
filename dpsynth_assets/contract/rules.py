"""The `quality` entries of a contract as rules of the platform, or as problems.

A rule stands under the schema object or under the property it is about. What a rule says in the platform's words must
hold, or the contract is refused. A rule in another tool's words, or about a column that stays in the source, is
nothing that the platform checks, and a warning says so: nobody may take it for a promise about the synthetic table.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

from dpsynth_assets.contract.document import Document, Path
from dpsynth_assets.contract.expectations import (
    EXPECTATIONS,
    OPERATORS,
    SOURCE,
    TEST_SPLIT,
    Figure,
    InexpressibleError,
    as_metric,
    from_library,
)
from dpsynth_assets.contract.model import QualityRule
from dpsynth_assets.contract.problems import Problem, choose_from, did_you_mean, listing
from dpsynth_assets.contract.sql_names import plain_name

ENGINES = ("greatExpectations", "great-expectations")
# Rules that the quality package applies to every corpus go by these names; a contract's own need others.
TAKEN = re.compile(r"columns_as_declared|some_rows|no_null_.*|declared_.*|no_account_numbers|no_addresses")
BLOCKING = {"error": True, "warning": False, "warn": False, "info": False}


@dataclass
class RuleReader:
    """Reads rules about a synthetic table with the given columns; `values` holds the labels' closed sets."""

    document: Document
    columns: Collection[str]
    values: dict[str, Collection[str]]
    source_is_public: bool
    is_tested: bool = True  # there is a test split to compare with
    endpoint: str | None = None  # where the base model is at one
    source_columns: Collection[str] = ()  # that the contract declares: a rule about those alone is the source's
    rules: list[QualityRule] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _names: dict[str, int] = field(default_factory=dict)

    def read(self, entries: Any, path: Path, column: str | None) -> None:
        """Every rule of one `quality` list; `column` is the property it stands under."""
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict) and entry.get("type") != "text":
                self._rule(entry, (*path, index), column)

    def _rule(self, entry: dict[str, Any], path: Path, column: str | None) -> None:
        if why := self._not_ours(entry, column):
            remedy = "Nothing to do, if another tool checks it on the source; else write a rule of the platform's"
            self.problems.append(self.document.warning(path, f"this rule is not checked here: {why}", remedy))
            return
        before = len(self.problems)
        name = self._name(entry, path, column)
        blocking = self._blocking(entry, path)
        if entry.get("type", "library") == "library" and "metric" not in entry and isinstance(entry.get("rule"), str):
            entry = as_metric(entry)
            if not OPERATORS & set(entry):
                self._add(path, "the rule has no bound", "Add one, such as `mustBe: 0`")
        said = self._library(entry, path, column) if "metric" in entry else self._custom(entry, path, column)
        if said is None or len(self.problems) > before:
            return
        expectation, kwargs = said
        description = entry.get("description")
        self.rules.append(
            QualityRule(
                name=name,
                expectation=expectation,
                kwargs=kwargs,
                blocking=blocking,
                description=" ".join(description.split()) if isinstance(description, str) else "",
            )
        )

    def _not_ours(self, entry: dict[str, Any], column: str | None) -> str | None:
        """Why a rule is none of the platform's; None where it is one, or is meant to be."""
        kind, engine = entry.get("type", "library"), entry.get("engine")
        if kind == "sql":
            return "it is a query, and the source is not asked any"
        if kind == "custom" and isinstance(engine, str) and engine not in ENGINES and not did_you_mean(engine, ENGINES):
            return f"it is written for `{engine}`"
        if column is not None and column not in self.columns:
            return f"`{column}` stays in the source; the synthetic table has the text and the labels only"
        return None

    def _name(self, entry: dict[str, Any], path: Path, column: str | None) -> str:
        """What the rule's check is called: its name, or where it has none, what it is about and what it says."""
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            implementation = entry.get("implementation")
            said = implementation.get("type") if isinstance(implementation, dict) else None
            plain = plain_name(f"{column or 'table'}_{entry.get('metric') or entry.get('rule') or said or 'rule'}")
            free = chain([plain], (f"{plain}_{number}" for number in count(2)))
            name = next(each for each in free if each not in self._names)
        name = plain_name(name) or name
        if not (name.isascii() and name.replace("_", "").isalnum()):
            self._add((*path, "name"), f"`{name}` cannot name a check", "Use letters, digits and underscores")
        elif TAKEN.fullmatch(name):
            what = f"`{name}` is the name of a rule that always applies"
            self._add((*path, "name"), what, "Choose another name, or leave the rule out: the platform makes it")
        elif name in self._names:
            self._add(
                (*path, "name"), f"`{name}` names another rule on line {self._names[name]}", "Choose another name"
            )
        self._names.setdefault(name, self.document.line(path))
        return name

    def _blocking(self, entry: dict[str, Any], path: Path) -> bool:
        severity = str(entry.get("severity", "error"))
        if severity.lower() not in BLOCKING:
            self._add(
                (*path, "severity"),
                f"`{severity}` is not a severity",
                "Write `error` for a rule that stops the publication, `warning` or `info` for one that is only shown",
            )
            return True
        return BLOCKING[severity.lower()]

    def _library(self, entry: dict[str, Any], path: Path, column: str | None) -> tuple[str, dict[str, Any]] | None:
        if not OPERATORS & set(entry):
            return None  # the standard's schema says so already
        try:
            expectation, kwargs = from_library(entry, column)
        except InexpressibleError as fault:
            self._add(path, fault.what, fault.remedy)
            return None
        self._about(kwargs, (*path, "metric"), path)
        return expectation, kwargs

    def _custom(self, entry: dict[str, Any], path: Path, column: str | None) -> tuple[str, dict[str, Any]] | None:
        if entry.get("type") != "custom":
            self._add(
                path,
                f"a rule of type `{entry.get('type', 'library')}` without a metric is not evaluated",
                "Use `type: custom` with `engine: greatExpectations`, a library `metric`, or `type: text` for a remark",
            )
            return None
        if (engine := entry.get("engine")) not in ENGINES:
            self._add((*path, "engine"), f"the engine `{engine}` is not known", "Write `engine: greatExpectations`")
        implementation, place = entry.get("implementation"), (*path, "implementation")
        if not isinstance(implementation, dict):
            self._add(
                place, "the implementation must be a mapping", "Write `type:` and `kwargs:` below it, without `|`"
            )
            return None
        for key in sorted(set(implementation) - {"type", "kwargs", "meta"}):
            self._add((*place, key), f"the key `{key}` is not known here", choose_from(key, ("type", "kwargs")))
        expectation, kwargs = implementation.get("type"), implementation.get("kwargs") or {}
        if not isinstance(expectation, str) or expectation not in EXPECTATIONS:
            self._add((*place, "type"), *_unknown_expectation(expectation))
            return None
        if not isinstance(kwargs, dict):
            self._add(
                (*place, "kwargs"), "the arguments must be a mapping", "Write one argument a line below `kwargs:`"
            )
            return None
        if column is not None and "column" in EXPECTATIONS[expectation].required:
            kwargs = {"column": column, **kwargs}
        self._arguments(expectation, kwargs, (*place, "kwargs"))
        self._about(kwargs, (*place, "kwargs", "column"), (*place, "kwargs"))
        self._figure(expectation, kwargs, (*place, "kwargs"))
        return expectation, kwargs

    def _arguments(self, expectation: str, kwargs: dict[str, Any], path: Path) -> None:
        form = EXPECTATIONS[expectation]
        for name in kwargs:
            check = form.arguments.get(name)
            if check is None:
                self._add((*path, name), f"{expectation} has no argument `{name}`", choose_from(name, form.arguments))
            elif fault := check(kwargs[name]):
                self._add((*path, name), f"`{name}` {fault}", "Correct the argument")
        for name in form.required:
            if name not in kwargs:
                self._add(path, f"{expectation} needs the argument `{name}`", f"Add `{name}:` to kwargs")
        if form.least_one_of and not set(form.least_one_of) & set(kwargs):
            self._add(path, f"{expectation} has no bound", f"Add one of {listing(form.least_one_of)}")
        low, high = kwargs.get("min_value"), kwargs.get("max_value")
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            self._add(
                (*path, "min_value"), f"min_value {low} is above max_value {high}", "Swap them: no table can pass"
            )

    def _figure(self, expectation: str, kwargs: dict[str, Any], path: Path) -> None:
        """A figure is about the kind of column it measures, and compares with nothing but public rows."""
        about, column = EXPECTATIONS[expectation].about, kwargs.get("column")
        fitting = [name for name in self.columns if (name in self.values) == (about == "label")]
        if about is not None and column in self.columns and column not in fitting:
            self._add((*path, "column"), f"{expectation} is about a {about}", f"Choose from {listing(fitting)}")
        form = EXPECTATIONS[expectation]
        if self.endpoint is not None and isinstance(form, Figure) and form.of == "base model":
            self._add(
                (*path[:-1], "type"),
                f"{expectation} is measured by a base model that is loaded here, and this one is at an endpoint",
                "Leave the rule out; rules about diversity and likeness need no base model",
            )
        if kwargs.get("reference") == TEST_SPLIT and not self.is_tested:
            what = f"{expectation} compares with the public test split, and the contract names none"
            self._add((*path, "reference"), what, "Add `test_split` to the privacy terms, or leave the rule out")
        if kwargs.get("reference") == SOURCE and not self.source_is_public:
            self._add(
                (*path, "reference"),
                "comparing with the sensitive source gives a statistic of its rows, which would have to be charged to "
                "the budget and made noisy; no such release is available",
                f"Write `reference: {TEST_SPLIT}`; `source` is for sources declared public (`source_is_public: true`)",
            )

    def _about(self, kwargs: dict[str, Any], column_path: Path, path: Path) -> None:
        """The rule is about the synthetic table: its columns, and for a label no value that cannot occur."""
        column = kwargs.get("column")
        if isinstance(column, str) and column not in self.columns:
            self._add(
                column_path,
                f"the synthetic table has no column `{column}`",
                f"It has the text and the labels only: {listing(self.columns)}",
            )
        named = kwargs.get("column_set")
        listed = isinstance(named, list) and all(isinstance(column, str) for column in named)
        if listed and set(named or ()) != set(self.columns):
            self._add(
                (*path, "column_set"),
                "the synthetic table has other columns",
                f"It has the text and the labels only: {listing(self.columns)}",
            )
        closed = self.values.get(column) if isinstance(column, str) else None
        partition = kwargs.get("partition_object")
        for key, wanted in (
            ("value_set", kwargs.get("value_set")),
            ("partition_object", partition.get("values") if isinstance(partition, dict) else None),
        ):
            for value in wanted if isinstance(wanted, list) and closed is not None else []:
                if value not in (closed or ()):
                    guess = did_you_mean(str(value), closed or ())
                    self._add(
                        (*path, key),
                        f"`{value}` is not a value of the label `{column}`",
                        f"Did you mean `{guess}`?" if guess else f"Its values are {listing(closed or ())}",
                    )

    def _add(self, path: Path, what: str, remedy: str) -> None:
        self.problems.append(self.document.problem(path, what, remedy))


def _unknown_expectation(name: Any) -> tuple[str, str]:
    if not isinstance(name, str) or not name:
        return "the implementation names no expectation", "Add `type:`, such as expect_column_values_to_not_be_null"
    guess = did_you_mean(name, EXPECTATIONS)
    remedy = f"Did you mean `{guess}`?" if guess else f"Known: {listing(sorted(EXPECTATIONS))}"
    return f"the expectation `{name}` is not one the platform evaluates", remedy
