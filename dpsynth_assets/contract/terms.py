"""The privacy terms of a contract: what a data owner promises about a sensitive text source, as strict types.

They stand in an ODCS contract as the custom property `privacy` of the schema object; `dpsynth_assets.contract.odcs`
reads them from there. What must hold between the parts stands in `consistency`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from dpsynth_assets.contract import consistency
from dpsynth_assets.contract.budget import Budget
from dpsynth_assets.contract.classifiers import Classifier, PublicTestSplit, SafetyClassifier, usual_classifier
from dpsynth_assets.contract.monitoring import Monitoring
from dpsynth_assets.contract.parts import Parts
from dpsynth_assets.contract.prompt import Prompt
from dpsynth_assets.contract.releases import PlannedReleases
from dpsynth_assets.contract.source_terms import Blocks, CsvFiles, LabelColumn, PersonalData, PrivacyUnit, TextColumn
from dpsynth_assets.contract.synthesis import BaseModelTerms, Curation, Generation
from dpsynth_assets.contract.variants import Variants
from dpsynth_assets.term import AssetName, Equalities, Identifier, Name, Terms, TermsError


class PrivacyTerms(Terms):
    """All privacy terms of one contract. `population` owns the budget; the contract's name never does."""

    asset: Annotated[AssetName | None, Field(description="what assets and SQL call the contract; none: its `id`")] = (
        None
    )
    population: Annotated[Identifier, Field(description="the people or things the budget belongs to")]
    unit: Annotated[PrivacyUnit, Field(description="whom the guarantee protects")]
    text: Annotated[TextColumn, Field(description="the sensitive text")]
    labels: Annotated[
        tuple[LabelColumn, ...],
        Field(strict=False, description="the columns to condition on; none: all texts are of one class"),
    ] = ()
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
    csv: Annotated[CsvFiles | None, Field(description="how CSV files of the source and its copies are written")] = None
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
    test_split: Annotated[
        PublicTestSplit | None, Field(description="a public test split; none: nothing is evaluated")
    ] = None
    classifier: Annotated[
        Classifier | None,
        Field(
            default_factory=lambda held: usual_classifier(held.get("labels", ())),
            description="the classifiers trained on the synthetic table",
        ),
    ]
    safety_classifier: Annotated[
        SafetyClassifier | None, Field(description="a classifier of unsafe texts for devices")
    ] = None
    monitoring: Annotated[
        Monitoring | None, Field(description="how new texts are compared with the published table; none: as usual")
    ] = None
    variants: Annotated[
        Variants | None, Field(description="further versions of the release, by method and epsilon, to be compared")
    ] = None

    @property
    def target(self) -> str:
        """The label that is classified, where there are labels."""
        assert self.classifier is not None, "nobody asks of terms without labels"
        return self.classifier.target

    @property
    def classes(self) -> tuple[str, ...]:
        """The values of the label that is classified, where there are labels."""
        return next(label.values for label in self.labels if label.column == self.target)

    @property
    def evaluated(self) -> bool:
        """Whether there are classifiers to evaluate, and public rows to do it on."""
        return self.classifier is not None and self.test_split is not None

    @model_validator(mode="before")
    @classmethod
    def _empty_is_left_out(cls, said: Any) -> Any:
        """An empty `classifier` is one that nothing is said of."""
        if isinstance(said, dict) and said.get("classifier", said) is None:
            return {name: value for name, value in said.items() if name != "classifier"}
        return said

    @model_validator(mode="after")
    def _consistent(self) -> PrivacyTerms:
        for fault in consistency.faults(Parts.of(self)):
            if fault.severity == "error":
                raise TermsError(fault.what, fault.remedy)
        return self
