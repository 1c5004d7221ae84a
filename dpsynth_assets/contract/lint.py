"""Cross-checks of a contract: what neither the standard's schema nor a single term can see by itself.

Each check is a function from the draft to problems. They look at what the contract says, never at data (`places` asks
which files are there, and whether two names are one file's); whether the
ledger admits the planned releases is for `dpsynth plan` to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain

from dpsynth_assets.contract import people, places
from dpsynth_assets.contract.document import Path
from dpsynth_assets.contract.draft import SCHEMA, Draft
from dpsynth_assets.contract.problems import Problem, choose_from, listing
from dpsynth_assets.contract.terms import LabelColumn

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_SECRET = ("confidential", "restricted", "sensitive", "highly confidential", "secret", "internal")

# Words that DuckDB does not take as a name without quotes, and that would trip every query of an analyst.
_RESERVED = """
    all analyse analyze and any array as asc asymmetric at both case cast check collate column constraint
    create default deferrable desc describe distinct do else end except false fetch for foreign from group
    having in initially intersect into lambda lateral leading limit not null offset on only or order pivot
    pivot_longer pivot_wider placing primary qualify references returning select show some summarize symmetric
    table then to trailing true union unique unpivot using variadic when where window with
"""
RESERVED = frozenset(_RESERVED.split())
_OWN = ("known",)  # folders of the sensitive store that are no contract's


def problems_of(draft: Draft) -> list[Problem]:
    """All that the cross-checks find, errors and warnings."""
    return list(chain.from_iterable(check(draft) for check in CHECKS))


def names(draft: Draft) -> Iterator[Problem]:
    """The contract's id and table are a Dagster key and an SQL name; the versions are versions."""
    for path, said in ((("id",), "id"), ((*SCHEMA, "name"), "table name")):
        name = draft.document.at(path)
        if not isinstance(name, str):
            continue
        if not _IDENTIFIER.fullmatch(name):
            plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
            example = f", such as `{plain}`" if _IDENTIFIER.fullmatch(plain) else ""
            yield draft.problem(
                path,
                f"the {said} `{name}` is not usable as an asset key and an SQL name",
                f"Use small letters, digits and underscores, a letter first{example}",
            )
        elif name in RESERVED:
            yield draft.problem(path, f"the {said} `{name}` is a word of SQL", "Choose another name")
        elif said == "id" and name in _OWN:
            yield draft.problem(
                path, f"the id `{name}` is the name of a folder of the platform's own", "Choose another name"
            )
    if (version := draft.text("version")) is not None and not _VERSION.fullmatch(version):
        yield draft.problem(("version",), f"`{version}` is not a version", 'Write three numbers, such as "1.0.0"')
    if (api := draft.text("apiVersion")) is not None and not api.startswith("v3."):
        yield draft.problem(("apiVersion",), f"the standard's version {api} is not read", "Write `apiVersion: v3.2.0`")


def table(draft: Draft) -> Iterator[Problem]:
    """There is one table, and its columns have distinct names that SQL takes."""
    tables = draft.get("schema")
    if not isinstance(tables, list) or not tables:
        yield draft.problem(("schema",), "the contract describes no table", "Add `schema:` with one table")
        return
    for extra in range(1, len(tables)):
        yield draft.problem(
            ("schema", extra), "a second table", "Write one contract for each table; they may share a population"
        )
    seen: dict[str, Path] = {}
    for index, entry in draft.items(*SCHEMA, "properties"):
        path: Path = (*SCHEMA, "properties", index)
        name = entry.get("name")
        if not isinstance(name, str):
            continue
        if name.lower() in seen:
            line = draft.document.line(seen[name.lower()])
            yield draft.problem(path, f"the column `{name}` is declared on line {line} already", "Keep one of them")
        seen.setdefault(name.lower(), path)
        if not _COLUMN.fullmatch(name):
            yield draft.problem(path, f"`{name}` is not an SQL name", "Use letters, digits and underscores")
        elif name.lower() in RESERVED and name in draft.synthetic_columns:
            yield draft.problem(path, f"`{name}` is a word of SQL", "Rename the column of the source, as in a view")
    if not seen:
        yield draft.problem((*SCHEMA, "properties"), "the table has no columns", "List its columns under `properties`")


def columns(draft: Draft) -> Iterator[Problem]:
    """Unit, text and labels are columns of the table, of a fitting type, never empty, and classified."""
    parts = draft.parts
    if parts.unit is not None and parts.unit.column is not None:
        yield from _column(draft, draft.term("unit", "column"), parts.unit.column, ("string", "integer"), secret=True)
    if parts.text is not None:
        yield from _column(draft, draft.term("text", "column"), parts.text.column, ("string",), secret=True)
    if parts.blocks is not None:
        yield from _column(draft, draft.term("blocks", "column"), parts.blocks.column, ("string",), secret=False)
    for index, label in parts.labels:
        place = draft.term("labels", index, "column")
        yield from _column(draft, place, label.column, ("string", "integer"), secret=False)
        yield from _label_values(draft, index, label)


def _column(draft: Draft, place: Path, name: str, kinds: tuple[str, ...], *, secret: bool) -> Iterator[Problem]:
    if name not in draft.columns:
        if draft.columns:
            yield draft.problem(place, f"the table has no column `{name}`", choose_from(name, draft.columns))
        return
    path, entry = draft.columns[name]
    if (kind := entry.get("logicalType")) not in kinds:
        said = f"is of type `{kind}`" if kind else "has no logicalType"
        yield draft.problem(
            (*path, "logicalType"), f"the column `{name}` {said}", f"Write `logicalType: {'` or `'.join(kinds)}`"
        )
    if entry.get("required") is not True:
        yield draft.problem(
            (*path, "required"),
            f"the column `{name}` may be empty",
            "Write `required: true`: records without it are left out",
        )
    if not secret:
        return
    classified = entry.get("classification")
    if not isinstance(classified, str):
        word = "public" if draft.parts.source_is_public else "confidential"
        yield draft.problem(path, f"the column `{name}` has no classification", f"Add `classification: {word}`")
    elif draft.parts.source_is_public and classified.lower() != "public":
        yield draft.problem(
            (*path, "classification"),
            f"the column `{name}` is {classified}, but privacy.source_is_public is true",
            "Set source_is_public to false, or classify the column as public",
        )
    elif not draft.parts.source_is_public and classified.lower() not in _SECRET:
        yield draft.problem(
            (*path, "classification"),
            f"the column `{name}` is classified {classified}, but the contract protects it",
            "Write confidential or restricted; only a published source is public (`source_is_public: true`)",
        )


def _label_values(draft: Draft, index: int, label: LabelColumn) -> Iterator[Problem]:
    entry = draft.columns.get(label.column)
    if entry is not None and entry[1].get("logicalType") == "integer" and label.codes is None:
        yield draft.problem(
            draft.term("labels", index),
            f"the column `{label.column}` holds numbers, but the label has no codes",
            "Add `codes: [0, 1, ...]`, one for each of the values",
        )


def roles_of_columns(draft: Draft) -> Iterator[Problem]:
    """One column is not two things at once; the classifier predicts a label."""
    parts = draft.parts
    used: dict[str, str] = {}
    places_ = [(draft.term("unit", "column"), parts.unit.column if parts.unit else None, "the unit")]
    places_ += [(draft.term("text", "column"), parts.text.column if parts.text else None, "the text")]
    places_ += [(draft.term("labels", i, "column"), label.column, "a label") for i, label in parts.labels]
    for path, name, role in places_:
        if name is None:
            continue
        if name in used:
            both = "named by two labels" if role == used[name] else f"{role} and {used[name]} at once"
            yield draft.problem(path, f"the column `{name}` is {both}", "Name another column")
        used.setdefault(name, role)
    target = parts.classifier.target if parts.classifier else None
    labels = [label.column for _, label in parts.labels]
    if target is not None and parts.all_labels_hold and target not in labels:
        yield draft.problem(
            draft.term("classifier", "target"), f"`{target}` is not a label", choose_from(target, labels)
        )
    yield from _safety_target(draft)
    cells = 1
    for _, label in parts.labels:
        cells *= len(label.values)
    if cells > 100_000:
        yield draft.problem(
            draft.term("labels"), f"{cells:,} label combinations, more than 100,000", "Use fewer or coarser labels"
        )
    elif parts.generation is not None and parts.generation.rows < cells:
        yield draft.warning(
            draft.term("generation", "rows"),
            f"{parts.generation.rows} rows for {cells} label combinations: some will be missing",
            "Generate more rows, or use coarser labels",
        )


def _safety_target(draft: Draft) -> Iterator[Problem]:
    safety, labels = draft.parts.safety_classifier, {label.column: label for _, label in draft.parts.labels}
    if safety is None or not draft.parts.all_labels_hold:
        return
    if safety.target not in labels:
        yield draft.problem(
            draft.term("safety_classifier", "target"),
            f"`{safety.target}` is not a label",
            choose_from(safety.target, list(labels)),
        )
    elif safety.unsafe not in labels[safety.target].values:
        yield draft.problem(
            draft.term("safety_classifier", "unsafe"),
            f"`{safety.unsafe}` is not a value of `{safety.target}`",
            choose_from(safety.unsafe, labels[safety.target].values),
        )


def budget(draft: Draft) -> Iterator[Problem]:
    """The releases fit the budget, and delta fits the number of units."""
    cap, unit = draft.parts.budget, draft.parts.unit
    if cap is None:
        return
    if unit is not None and cap.delta * unit.public_count >= 1:
        yield draft.problem(
            draft.term("budget", "delta"),
            f"delta {cap.delta:g} is not below 1 / public_count = {1 / unit.public_count:.2g}: "
            "publishing one unit outright would satisfy it",
            f"Write {_below(unit.public_count)} or less",
        )
    parts = draft.parts
    asked = {
        "label_histogram": parts.histogram,
        "adapter": parts.adapter,
        "labeller": parts.labeller,
        "votes": parts.votes,
        "dp_baseline": parts.dp_baseline,
    }
    costs = {name: release.epsilon_of(cap) for name, release in asked.items() if release is not None}
    for name, cost in costs.items():
        if cost > cap.epsilon:
            yield draft.problem(
                draft.term("releases", name, "epsilon"),
                f"this release alone costs epsilon {cost:g}, the budget is {cap.epsilon:g}",
                "Lower it: the ledger would refuse",
            )
    total = sum(costs.values())
    if total > cap.epsilon * (1 + 1e-9) and max(costs.values()) <= cap.epsilon:
        said = " + ".join(f"{cost:g}" for cost in costs.values())
        yield draft.warning(
            draft.term("releases"),
            f"the releases add up to epsilon {said} = {total:g}, the budget is {cap.epsilon:g}",
            "`dpsynth plan` says whether the ledger admits them all the same",
        )


def _below(count: int) -> str:
    """A round delta of at most a tenth of 1 / count, written so that every YAML reader sees a number."""
    exponent = len(str(count * 10 - 1))
    return f"1.0e-{exponent}"


def training(draft: Draft) -> Iterator[Problem]:
    """The training and generation numbers fit each other and the population."""
    unit, text, adapter, generation = draft.parts.unit, draft.parts.text, draft.parts.adapter, draft.parts.generation
    sampled = {"adapter": adapter, "labeller": draft.parts.labeller, "dp_baseline": draft.parts.dp_baseline}
    for name, release in sampled.items():
        if unit is not None and release is not None and release.expected_batch_size > unit.public_count:
            yield draft.problem(
                draft.term("releases", name, "expected_batch_size"),
                f"a batch of {release.expected_batch_size} units out of {unit.public_count}",
                f"Write {unit.public_count // 10 or 1}, a tenth of unit.public_count, or at most all of it",
            )
    if unit is not None and adapter is not None and adapter.expected_batch_size <= unit.public_count:
        batch, bands = adapter.expected_batch_size, adapter.noise_bands
        if batch * bands > unit.public_count:
            yield draft.problem(
                draft.term("releases", "adapter", "noise_bands"),
                f"a step samples one of {bands} groups of units, some {unit.public_count // bands} of "
                f"{unit.public_count}: too few for a batch of {batch}",
                f"Write at most {unit.public_count // batch}, or lower expected_batch_size",
            )
    if text is not None and adapter is not None and adapter.micro_batch_tokens < text.max_tokens:
        yield draft.problem(
            draft.term("releases", "adapter", "micro_batch_tokens"),
            f"{adapter.micro_batch_tokens} tokens at once cannot hold one text of {text.max_tokens}",
            f"Write at least {text.max_tokens}",
        )
    if text is not None and generation is not None and generation.max_new_tokens > text.max_tokens:
        yield draft.problem(
            draft.term("generation", "max_new_tokens"),
            f"{generation.max_new_tokens} tokens are more than training sees, text.max_tokens = {text.max_tokens}",
            f"Write at most {text.max_tokens}",
        )
    baseline, classifier = draft.parts.dp_baseline, draft.parts.classifier
    if baseline is not None and classifier is not None and baseline.classifier not in classifier.kinds:
        yield draft.warning(
            draft.term("releases", "dp_baseline", "classifier"),
            f"no {baseline.classifier} is trained on the synthetic table: the baseline has nothing to be compared with",
            f"Add {baseline.classifier} to classifier.kinds, or choose one of {listing(classifier.kinds)}",
        )
    labeller, curation = draft.parts.labeller, draft.parts.curation
    if labeller is not None and curation is not None and not curation.needs_labeller:
        yield draft.warning(
            draft.term("releases", "labeller"),
            "this release is paid for and not used",
            "Write `curation: {labels: relabelled}` or `agreed`, or remove it",
        )
    if draft.parts.votes is not None and curation is not None and curation.proportions != "votes":
        yield draft.warning(
            draft.term("releases", "votes"),
            "this release is paid for and not used",
            "Write `curation: {proportions: votes}`, or remove it",
        )
    base = draft.parts.base_model
    if base is not None and base.undeclared:
        yield draft.warning(
            draft.term("base_model"),
            "nothing says what the base model has seen: the source may be in its training data",
            f"Add one of {listing(('corpus', 'trained_before'))} to base_model",
        )


CHECKS: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    names,
    table,
    columns,
    roles_of_columns,
    budget,
    training,
    people.people,
    people.retention,
    places.source,
    places.copies,
    places.filters,
    places.test_split,
    places.mix,
)
