"""The privacy terms of a contract: what a data owner promises about a sensitive text source, as strict types.

They stand in an ODCS contract as the custom property `privacy` of the schema object; `dpsynth_assets.contract.odcs`
reads them from there. Here are whom the terms protect, what is read, and what must hold between the parts; the parts
themselves are in `releases`, `synthesis` and `classifiers`.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dpsynth_assets.contract.classifiers import Classifier, PublicTestSplit, SafetyClassifier
from dpsynth_assets.contract.releases import Budget, Releases, Variants
from dpsynth_assets.contract.synthesis import BaseModelTerms, Curation, Generation
from dpsynth_assets.contract.term import Equalities, Fraction, Identifier, Name, Terms, TermsError

RECORD = "record"  # what a unit is called that no column tells apart


class PrivacyUnit(Terms):
    """Whom the guarantee protects: everything one unit contributed is hidden together.

    `column` names the attribute that identifies the unit; without it each record is a unit of its own, and is called
    `record`: a certificate about customers over records would promise what nothing keeps.
    `public_count` is a round, public estimate of how many units there are. A wrong one costs utility, never privacy:
    it sets the sampling rate, and the sampling rate is what is accounted.
    """

    name: Annotated[Identifier, Field(description="what one unit is called, such as customer")]
    column: Annotated[Name | None, Field(description="the column that tells units apart")] = None
    max_records: Annotated[int, Field(ge=1, le=10_000, description="at most so many records of one unit are used")] = 1
    public_count: Annotated[int, Field(ge=2, description="a round, public estimate of the number of units")]
    neighbouring_relation: Annotated[
        Literal["add_or_remove_one_unit"], Field(description="which two data sets must be indistinguishable")
    ]

    @model_validator(mode="after")
    def _record_units_are_single(self) -> PrivacyUnit:
        if self.column is None and self.max_records != 1:
            raise TermsError(
                f"without a unit column each record is one unit, so max_records must be 1, not {self.max_records}",
                "Name the unit's column, or remove max_records",
                "max_records",
            )
        return self

    @model_validator(mode="after")
    def _called_what_it_is(self) -> PrivacyUnit:
        if (self.column is None) != (self.name == RECORD):
            what = f"the unit is called `{self.name}`, and "
            what += "no column tells one from another: each record is protected by itself"
            if self.column is not None:
                what = f"the unit is called `{RECORD}`, and the column `{self.column}` tells units apart"
            raise TermsError(
                what,
                f"Name the unit's `column`, or write `name: {RECORD}` where each record is a unit of its own",
                "name",
            )
        return self


class TextColumn(Terms):
    """The sensitive text, cut to `max_tokens` tokens of the base model before anything is computed from it."""

    column: Annotated[Name, Field(description="the column that holds the text")]
    max_tokens: Annotated[int, Field(ge=4, le=4096, description="texts are cut to so many tokens")]


class LabelColumn(Terms):
    """A column to condition on, with its closed, public set of values in a fixed order.

    Where the source stores something else, `codes` gives the stored number of each entry of `values` and `spellings`
    the stored text: 0..3 and World, Sports, Business, Sci/Tech for the two forms AG News comes in.
    """

    column: Annotated[Name, Field(description="the column that holds the label")]
    values: Annotated[
        tuple[str, ...], Field(min_length=2, strict=False, description="all labels there are, in a fixed order")
    ]
    codes: Annotated[
        tuple[int, ...] | None, Field(strict=False, description="the stored number of each of the values")
    ] = None
    spellings: Annotated[
        tuple[str, ...] | None, Field(strict=False, description="the stored text of each of the values")
    ] = None

    @property
    def decoding(self) -> dict[str | int, str]:
        """From what the source may store to the plain value. A record with anything else has no label."""
        stored: dict[str | int, str] = {}
        for alternative in (self.codes, self.spellings, self.values):  # the plain values have the last word
            stored.update(zip(alternative or (), self.values, strict=False))
        return stored

    @model_validator(mode="after")
    def _closed_and_distinct(self) -> LabelColumn:
        for value in self.values:
            if not value.strip() or value != value.strip() or len(value) > 64 or set(value) & set(",:\n\t"):
                raise TermsError(
                    f"the label value {value!r} cannot be written into a condition",
                    "Use 1 to 64 characters, no comma or colon; what the source stores goes under `spellings`",
                    "values",
                )
        if len(set(self.values)) != len(self.values):
            raise TermsError("the label values are not distinct", "Keep each value once", "values")
        for name, stored in (("codes", self.codes), ("spellings", self.spellings)):
            if stored is None:
                continue
            if len(stored) != len(self.values):
                raise TermsError(
                    f"{len(stored)} {name} for {len(self.values)} values", f"Give {name} in the order of `values`", name
                )
            if len(set(stored)) != len(stored):
                raise TermsError(f"the {name} are not distinct", "Two labels cannot be stored alike", name)
        for spelling, value in zip(self.spellings or (), self.values, strict=False):
            if spelling in self.values and spelling != value:
                raise TermsError(
                    f"{spelling!r} is both a value and the spelling of another value",
                    "Choose plain values that no other label is stored as",
                    "spellings",
                )
        return self


class PersonalData(Terms):
    """How many synthetic texts may look as if they held personal data: a rule of the platform that always applies.

    A generator invents look-alikes, so the limits are not zero. Lower ones need nobody; higher ones are weaker terms,
    which two people sign, and the card names them.
    """

    account_numbers: Annotated[
        Fraction, Field(description="at most this share of the texts may look as if it held a card number or an IBAN")
    ] = 0.005
    addresses: Annotated[
        Fraction,
        Field(description="a larger share that looks as if it held e-mail addresses or phone numbers is warned of"),
    ] = 0.02


class Blocks(Terms):
    """The population divided, each part with the whole budget: new people bring new budget, for themselves only.

    A unit lies in exactly one block for good: the one that it first appears in. Its records that say another are left
    out. `values` are the blocks that this contract's source holds, named in advance.
    """

    column: Annotated[Name, Field(description="the column that says in which block a record is")]
    values: Annotated[
        tuple[str, ...], Field(min_length=1, strict=False, description="the blocks that the source holds")
    ]

    @model_validator(mode="after")
    def _names(self) -> Blocks:
        for value in self.values:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", value) or value == "everything":
                raise TermsError(
                    f"{value!r} cannot name a block",
                    "Use 1 to 63 letters, digits, dots, dashes and underscores, and not `everything`",
                    "values",
                )
        if len(set(self.values)) != len(self.values):
            raise TermsError("the blocks are not distinct", "Keep each once", "values")
        return self


class PrivacyTerms(Terms):
    """All privacy terms of one contract. `population` owns the budget; the contract's name never does."""

    population: Annotated[Identifier, Field(description="the people or things the budget belongs to")]
    unit: Annotated[PrivacyUnit, Field(description="whom the guarantee protects")]
    text: Annotated[TextColumn, Field(description="the sensitive text")]
    labels: Annotated[
        tuple[LabelColumn, ...], Field(min_length=1, strict=False, description="the columns to condition on")
    ]
    budget: Annotated[Budget, Field(description="the cap on everything ever released about the population")]
    blocks: Annotated[
        Blocks | None, Field(description="parts of the population with a budget each; none: it is one block")
    ] = None
    source_is_public: Annotated[
        bool, Field(description="true where the source is published, so that comparing with it is free")
    ] = False
    source_copies: Annotated[
        tuple[Name, ...], Field(strict=False, description="other places that hold the same source, for `--source`")
    ] = ()
    source_where: Equalities = Field(default_factory=dict, description="only the rows whose columns hold these values")
    base_model: Annotated[BaseModelTerms, Field(description="the model to fine-tune")] = BaseModelTerms()
    releases: Annotated[Releases, Field(description="what is released, and what each release may cost")]
    generation: Annotated[Generation, Field(description="how many synthetic records to draw, and how")]
    curation: Annotated[Curation, Field(description="what is done with drawn texts before they become the corpus")] = (
        Curation()
    )
    personal_data: Annotated[
        PersonalData, Field(description="how many synthetic texts may look as if they held personal data")
    ] = PersonalData()
    test_split: Annotated[PublicTestSplit, Field(description="a public test split")]
    classifier: Annotated[Classifier, Field(description="the classifiers trained on the synthetic table")]
    safety_classifier: Annotated[
        SafetyClassifier | None, Field(description="a classifier of unsafe texts for devices")
    ] = None
    variants: Annotated[
        Variants | None, Field(description="further versions of the release, by method and epsilon, to be compared")
    ] = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The values of the label that is classified."""
        return next(label.values for label in self.labels if label.column == self.classifier.target)

    @model_validator(mode="after")
    def _consistent(self) -> PrivacyTerms:
        columns = [label.column for label in self.labels]
        if len(set(columns)) != len(columns):
            raise TermsError("two labels have the same column", "Keep one entry for each column", "labels")
        if self.blocks is not None and self.blocks.column in (self.unit.column, self.text.column):
            raise TermsError("the blocks' column is the unit's or the text's", "Name another column", "blocks")
        if self.classifier.target not in columns:
            raise TermsError(
                f"classifier.target {self.classifier.target!r} is not one of the label columns {columns}",
                "Name one of the label columns",
                "classifier",
            )
        if self.classifier.teacher == "labeller" and not self.curation.needs_labeller:
            raise TermsError(
                "the labeller is to teach the classifiers, and no labeller judges the corpus",
                "Let it choose or label the drawn texts (`curation`), or leave `teacher` out",
                "classifier",
            )
        if self.safety_classifier is not None:
            safety = self.safety_classifier
            values = next((label.values for label in self.labels if label.column == safety.target), ())
            if safety.unsafe not in values:
                raise TermsError(
                    f"{safety.unsafe!r} is not a value of a label column {safety.target!r}",
                    "Name a label column, and the one of its values that is unsafe",
                    "safety_classifier",
                )
            judged = self.curation.needs_labeller and safety.target == self.classifier.target
            if safety.teacher == "labeller" and not judged:
                raise TermsError(
                    f"the labeller is to teach what is {safety.unsafe}, and no labeller judges `{safety.target}` in "
                    "the corpus",
                    "Let it choose or label the drawn texts (`curation`), by the same target, or write "
                    "`teacher: minilm`",
                    "safety_classifier",
                )
        if self.variants is not None and "none" in self.variants.epsilons and not self.source_is_public:
            raise TermsError(
                "a variant without privacy would publish the source's people without any guarantee",
                "Leave `none` out; only a source that is declared public (`source_is_public: true`) may have it",
                "variants",
            )
        if self.variants is not None and self.budget.rule == "closed_plan":
            raise TermsError(
                "a closed plan names every release in advance, and variants are released one at a time",
                "Write `rule: renyi_filter`, or leave the variants out",
                "variants",
            )
        if self.curation.needs_labeller and self.releases.labeller is None:
            raise TermsError(
                "the labeller is to judge the drawn texts, and no release `labeller` is planned",
                "Plan `releases.labeller`, or write `labels: asked` and no `confidence`",
                "curation",
            )
        cells = math.prod(len(label.values) for label in self.labels)
        if self.curation.proportions == "votes" and self.releases.votes is None:
            raise TermsError(
                "votes are to say which drawn texts are taken, and no release `votes` is planned",
                "Plan `releases.votes`, or write `proportions: histogram`",
                "curation",
            )
        if self.releases.votes is not None and cells * self.releases.votes.clusters > 100_000:
            raise TermsError(
                f"{self.releases.votes.clusters} clusters of each of {cells} label combinations are more than 100,000 "
                "cells",
                "Lower releases.votes.clusters",
                "releases",
            )
        planned = (self.releases.adapter, self.releases.labeller, self.releases.dp_baseline)
        sampled = [release for release in planned if release is not None]
        if max(release.expected_batch_size for release in sampled) > self.unit.public_count:
            raise TermsError(
                "expected_batch_size exceeds unit.public_count: a batch cannot exceed the population",
                "Lower expected_batch_size",
                "releases",
            )
        if self.releases.adapter.expected_batch_size * self.releases.adapter.noise_bands > self.unit.public_count:
            raise TermsError(
                "expected_batch_size x noise_bands exceeds unit.public_count: a step samples one group of noise_bands",
                "Lower one of them",
                "releases",
            )
        if cells > 100_000:
            raise TermsError("more than 100,000 label combinations", "Condition on fewer or coarser labels", "labels")
        return self
