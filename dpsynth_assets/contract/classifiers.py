"""The classifiers that are trained on the synthetic table, and the public rows that they meet beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dpsynth_assets.contract.source_terms import CsvFiles, LabelColumn
from dpsynth_assets.releases.labeller import LABELLER, TheLabeller
from dpsynth_assets.term import Equalities, Name, Positive, Probability, Terms, TermsError


class PublicTestSplit(Terms):
    """A labelled split that the owner declares public: evaluating on it is free.

    A split that lies in the source's own file is addressed as `path: source` with a row filter in `where`.
    """

    path: Annotated[Name, Field(description="the file or Hub data set, or `source`")]
    csv: Annotated[CsvFiles | None, Field(description="how it is written, if it is a CSV file")] = None
    where: Equalities = Field(default_factory=dict, description="only the rows whose columns hold these values")
    declared_public_by: Annotated[Name, Field(description="who answers for the split being public")]


class PublicRows(Terms):
    """Labelled rows beside the source that the owner declares public: training on them is free."""

    path: Annotated[Name, Field(description="the file or Hub data set that holds them")]
    csv: Annotated[CsvFiles | None, Field(description="how it is written, if it is a CSV file")] = None
    where: Equalities = Field(default_factory=dict, description="only the rows whose columns hold these values")
    declared_public_by: Annotated[Name, Field(description="who answers for these rows being public")]


class Classifier(Terms):
    """Classifiers on the published synthetic table; `target` is one of the label columns."""

    target: Annotated[Name, Field(description="the label column to predict")]
    kinds: Annotated[
        tuple[Literal["minilm", "minilm_tuned", "word_cnn"], ...],
        Field(min_length=1, strict=False, description="which kinds of classifiers are trained"),
    ] = ("minilm",)
    seeds: Annotated[int, Field(ge=1, le=100, description="how many of each kind, alike but for their seed")] = 1
    mix: Annotated[PublicRows | None, Field(description="public rows to train on beside the synthetic ones")] = None
    augmentation: Annotated[bool, Field(description="train on each text once more with spelling tricks in it")] = False
    teacher: Annotated[
        TheLabeller | None,
        Field(description="learn the labeller's probabilities in place of the published labels"),
    ] = None

    @property
    def taught_by_labeller(self) -> bool:
        return self.teacher == LABELLER.name

    @model_validator(mode="after")
    def _kinds_are_distinct(self) -> Classifier:
        if len(set(self.kinds)) != len(self.kinds):
            raise TermsError("the kinds are not distinct", "Keep each once; `seeds` trains several of one", "kinds")
        return self


def usual_classifier(labels: Sequence[LabelColumn]) -> Classifier | None:
    """The classifiers of a contract that says nothing of any: of its first label, if it has one."""
    return Classifier(target=labels[0].column) if labels else None


class SafetyClassifier(Terms):
    """A classifier for devices that tells unsafe texts, trained on the published synthetic table.

    `unsafe` is one of the values of the label column `target`; all others are safe.
    """

    target: Annotated[Name, Field(description="the label column that says which texts are unsafe")]
    unsafe: Annotated[Name, Field(description="the value of that label that is unsafe; all others are safe")]
    precision: Annotated[Probability, Field(description="at least this share of the blocked texts is unsafe")] = 0.95
    recall: Annotated[
        Probability, Field(description="at least this share of the unsafe texts is blocked or sent to review")
    ] = 0.9
    confidence: Annotated[Probability, Field(description="how surely both of these hold")] = 0.95
    students: Annotated[
        tuple[Literal["minilm", "minilm_tuned", "word_cnn"], ...],
        Field(min_length=1, strict=False, description="which kinds of small classifiers are tried"),
    ] = ("minilm", "word_cnn")
    teacher: Annotated[
        Literal[TheLabeller, "minilm"] | None,
        Field(description="whose probabilities students learn in place of labels: the labeller's, or a head's"),
    ] = None
    max_megabytes: Annotated[Positive, Field(description="larger exports are left out")] = 25.0
    validation: Annotated[
        Literal["synthetic", "test_split"], Field(description="the rows on which the thresholds are set")
    ] = "synthetic"
    mix: Annotated[PublicRows | None, Field(description="public rows to train on beside the synthetic ones")] = None
    filtering: Annotated[bool, Field(description="leave out synthetic rows whose label the other rows contradict")] = (
        False
    )
    augmentation: Annotated[bool, Field(description="train on each text once more with spelling tricks in it")] = False
    functional_tests: Annotated[
        tuple[Literal["negation", "quotation", "reclaimed", "spelling"], ...],
        Field(strict=False, description="suites of small tests whose results are reported"),
    ] = ()

    @property
    def taught_by_labeller(self) -> bool:
        return self.teacher == LABELLER.name

    @model_validator(mode="after")
    def _distinct(self) -> SafetyClassifier:
        for name in ("students", "functional_tests"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise TermsError(f"the {name} are not distinct", "Keep each once", name)
        return self
