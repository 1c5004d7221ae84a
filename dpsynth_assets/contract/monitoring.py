"""What a contract says of new texts that arrive later: where they lie, and how far they may be from the table.

Declares nothing public and allows no charge: what is measured of new texts stays in the sensitive store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from dpsynth_assets.contract.addresses import is_address
from dpsynth_assets.term import Fault, Fraction, Name, Terms

if TYPE_CHECKING:
    from dpsynth_assets.contract.terms import PrivacyTerms

LABELS = "expect_column_label_distance_to_be_between"
LENGTHS = "expect_column_length_ks_distance_to_be_between"
WORDS = "expect_column_word_js_distance_to_be_between"
VECTORS = "expect_column_vector_energy_distance_to_be_between"

USUAL = {LABELS: 0.1, LENGTHS: 0.15, WORDS: 0.15, VECTORS: 0.1}
"""What is allowed where a contract says nothing; docs/operators.md has what texts of other topics come to."""


class Bound(Terms):
    """The arguments of an expectation about new texts."""

    column: Annotated[Name, Field(description="the text column, or for a label distance the label's")]
    max_value: Annotated[Fraction, Field(description="by so much more than the table's own error they may differ")]


class Allowed(Terms):
    """How far new texts may be from the table in one respect, as Great Expectations would say it."""

    type: Annotated[
        Literal[
            "expect_column_label_distance_to_be_between",
            "expect_column_length_ks_distance_to_be_between",
            "expect_column_word_js_distance_to_be_between",
            "expect_column_vector_energy_distance_to_be_between",
        ],
        Field(description="in which respect"),
    ]
    kwargs: Annotated[Bound, Field(description="its arguments")]


class Monitoring(Terms):
    """How new texts are compared with the published synthetic table."""

    batches: Annotated[
        Name | None, Field(description="files in which new texts arrive, for the job that compares them; none: no job")
    ] = None
    false_alarm: Annotated[
        float,
        Field(ge=1e-3, le=0.2, description="how often a batch that is like the table may be called drifted, at most"),
    ] = 0.01
    expectations: Annotated[
        tuple[Allowed, ...],
        Field(strict=False, description="how far new texts may be from the table; others: as usual"),
    ] = ()


def allowed(terms: PrivacyTerms) -> dict[tuple[str, str], float]:
    """How far new texts may be from the table, by expectation and column."""
    usual = {(LABELS, label.column): USUAL[LABELS] for label in terms.labels}
    usual |= {(name, terms.text.column): USUAL[name] for name in (LENGTHS, WORDS, VECTORS)}
    said = terms.monitoring.expectations if terms.monitoring else ()
    return usual | {(each.type, each.kwargs.column): each.kwargs.max_value for each in said}


def faults(monitoring: Monitoring, text: str | None, labels: Sequence[str] | None) -> Iterator[Fault]:
    """What does not hold between this and the columns, as far as these are known."""
    seen = set()
    for place, each in enumerate(monitoring.expectations):
        path = ("monitoring", "expectations", place)
        column = each.kwargs.column
        fitting = labels if each.type == LABELS else None if text is None else [text]
        if fitting is not None and column not in fitting:
            about = "a label" if each.type == LABELS else "the text"
            remedy = f"Write one of {', '.join(fitting)}" if fitting else "Leave it out: the contract has no label"
            yield Fault((*path, "kwargs", "column"), f"{each.type} is about {about}, and `{column}` is none", remedy)
        if (each.type, column) in seen:
            yield Fault(path, f"{each.type} stands twice for `{column}`", "Keep one")
        seen.add((each.type, column))
    batches = monitoring.batches
    if batches is None:
        return
    where = ("monitoring", "batches")
    if is_address(batches) or "$" in batches:
        # Nobody signs for this place: nothing may be told to a server by it.
        yield Fault(
            where, "new texts arrive in files of this machine", "Name files, such as ../arrivals/letters-*.jsonl"
        )
    elif "**" in batches or set(batches) & set("?#[]"):
        what = f"`{batches}` is more than names and `*`"
        yield Fault(where, what, "A `*` stands for the rest of one file's or folder's name")
