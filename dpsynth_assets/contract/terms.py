"""The privacy terms of a contract: what a data owner promises about a sensitive text source, as strict types.

They stand in an ODCS contract as the custom property `privacy` of the schema object; `dpsynth_assets.contract.odcs`
reads them from there. What must hold between the parts stands in `consistency`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from dpsynth_assets.contract import consistency
from dpsynth_assets.contract.budget import Budget
from dpsynth_assets.contract.classifiers import Classifier, PublicTestSplit, SafetyClassifier
from dpsynth_assets.contract.parts import Parts
from dpsynth_assets.contract.prompt import Prompt
from dpsynth_assets.contract.releases import PlannedReleases
from dpsynth_assets.contract.source_terms import Blocks, LabelColumn, PersonalData, PrivacyUnit, TextColumn
from dpsynth_assets.contract.synthesis import BaseModelTerms, Curation, Generation
from dpsynth_assets.contract.variants import Variants
from dpsynth_assets.term import Equalities, Identifier, Name, Terms, TermsError


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
    prompt: Annotated[
        Prompt | None, Field(description="how a text is asked for in words; none: by its labels alone")
    ] = None
    releases: Annotated[PlannedReleases, Field(description="what is released, and what each release may cost")]
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
        for fault in consistency.faults(Parts.of(self)):
            if fault.severity == "error":
                raise TermsError(fault.what, fault.remedy)
        return self
