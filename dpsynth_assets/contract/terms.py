"""The privacy terms of a contract: what a data owner promises about a sensitive source, as strict types.

Everything here is a *public constant*. Nothing may be measured on the source: a bound, a size or a label set that was
read off the data would itself be an unmetered release. The terms stand in an ODCS contract as the custom property
`privacy` of the schema object; `dpsynth_assets.contract.odcs` reads them from there. Each field says in one sentence
what it means: the sentences appear in the errors of a contract that lacks the field and in docs/contracts.md.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Name = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]

EMBEDDED = "embedded"  # the base model that ships; what it was trained on ships with it
INDEX_SUFFIX = ".idx"  # of the file that holds a corpus' index


class TermsError(ValueError):
    """Terms that do not hold together: what is wrong, what to do about it, and the field to point at."""

    def __init__(self, what: str, remedy: str, field: str | None = None) -> None:
        self.what, self.remedy, self.field = what, remedy, field
        super().__init__(f"{what}. {remedy}")


def _equalities(value: Any) -> dict[str, str | int | bool]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TermsError("a row filter is a mapping from column to value", "Write for example {split: test}")
    for column, wanted in value.items():
        if not isinstance(wanted, str | int | bool):
            raise TermsError(f"the filter on `{column}` wants {wanted!r}", "Write one text or whole number", column)
    return dict(value)


Equalities = Annotated[dict[str, str | int | bool], PlainValidator(_equalities)]


class Terms(BaseModel):
    """Base of all terms: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PrivacyUnit(Terms):
    """Whom the guarantee protects: everything one unit contributed is hidden together.

    `column` names the attribute that identifies the unit; without it each record is a unit of its own.
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


class Budget(Terms):
    """The cap on everything ever released about the population, over all contracts that draw on it."""

    epsilon: Annotated[Positive, Field(description="the cap on the privacy loss of all releases together")]
    delta: Annotated[
        float,
        Field(
            gt=0,
            lt=0.01,
            allow_inf_nan=False,
            description="the small probability with which the epsilon bound may fail",
        ),
    ]
    rule: Annotated[
        Literal["renyi_filter", "closed_plan"],
        Field(description="what admits a release: a filter, or that it stands in a plan of all releases"),
    ] = "renyi_filter"


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


class Release(Terms):
    """What one release may cost: `epsilon` outright, or a `share` of the budget's epsilon."""

    epsilon: Annotated[Positive | None, Field(description="what this release may cost")] = None
    share: Annotated[Share | None, Field(description="the part of the budget's epsilon it may cost")] = None

    @model_validator(mode="after")
    def _one_price(self) -> Release:
        if (self.epsilon is None) == (self.share is None):
            said = "neither epsilon nor share is" if self.epsilon is None else "both epsilon and share are"
            raise TermsError(f"{said} given", "Give one of them")
        return self

    def epsilon_of(self, budget: Budget) -> float:
        """The epsilon this release is calibrated to, at the budget's delta."""
        if self.epsilon is not None:
            return self.epsilon
        assert self.share is not None
        return self.share * budget.epsilon


class HistogramRelease(Release):
    """Counts of records per label combination, with discrete Laplace noise."""

    mechanism: Annotated[Literal["discrete_laplace_histogram"], Field(description="how the counts are made noisy")]


class AdapterRelease(Release):
    """What is trained of the base model with DP-SGD. All numbers are public and fixed before training."""

    mechanism: Annotated[Literal["dp_sgd"], Field(description="how the adapter is trained")]
    method: Annotated[Literal["lora", "prompt", "full"], Field(description="what is trained of the base model")]
    rank: Annotated[int, Field(ge=1, le=512, description="the rank of the adapter's matrices")] = 8
    alpha: Annotated[Positive, Field(description="the adapter's scale; LoRA multiplies by alpha / rank")] = 16.0
    prompt_tokens: Annotated[int, Field(ge=1, le=512, description="how many virtual tokens stand before a text")] = 20
    expected_batch_size: Annotated[int, Field(ge=1, description="how many units a step samples on average")]
    steps: Annotated[int, Field(ge=1, le=1_000_000, description="how many noisy steps are taken")]
    clipping: Annotated[
        Literal["flat", "per_layer", "automatic"], Field(description="how a unit's gradient is bounded")
    ] = "flat"
    clipping_norm: Annotated[Positive, Field(description="no unit's gradient may be longer than this")] = 1.0
    learning_rate: Annotated[Positive, Field(description="the optimiser's step size")]
    schedule: Annotated[
        Literal["linear", "cosine", "constant"], Field(description="how the step size falls after the warm-up")
    ] = "linear"
    optimiser: Annotated[
        Literal["adam", "adam_noise_corrected", "sgd"], Field(description="how noisy gradients become steps")
    ] = "adam"
    averaging: Annotated[
        float | None,
        Field(gt=0, lt=1, allow_inf_nan=False, description="the decay of the average of the models along the way"),
    ] = None
    noise_bands: Annotated[
        int, Field(ge=1, le=64, description="over how many steps the noise is correlated; 1: not at all")
    ] = 1
    micro_batch_tokens: Annotated[
        int, Field(ge=64, description="how many tokens are computed at once: memory only")
    ] = 2048
    precision: Annotated[
        Literal["float32", "bfloat16"], Field(description="of the passes; norms, sums and noise are always in float32")
    ] = "float32"
    gradient_checkpointing: Annotated[
        bool, Field(description="activations are computed again and not kept: less memory, more time")
    ] = False

    @model_validator(mode="after")
    def _only_the_method_s_own_terms(self) -> AdapterRelease:
        for name, method in (("rank", "lora"), ("alpha", "lora"), ("prompt_tokens", "prompt")):
            if name in self.model_fields_set and self.method != method:
                raise TermsError(
                    f"`{name}` says nothing to the method `{self.method}`",
                    f"Remove it, or write `method: {method}`",
                    name,
                )
        if self.noise_bands > self.steps:
            raise TermsError(
                f"noise cannot be correlated over {self.noise_bands} steps where there are {self.steps}",
                f"Write {self.steps} or less",
                "noise_bands",
            )
        return self


class ClassifierRelease(Release):
    """A classifier trained on the sensitive rows themselves with DP-SGD."""

    mechanism: Annotated[Literal["dp_sgd"], Field(description="how the classifier is trained")] = "dp_sgd"
    classifier: Annotated[
        Literal["minilm", "word_cnn"], Field(description="a linear head on a frozen encoder, or a network over words")
    ]
    expected_batch_size: Annotated[int, Field(ge=1, description="how many units a step samples on average")]
    steps: Annotated[int, Field(ge=1, le=1_000_000, description="how many noisy steps are taken")]
    clipping_norm: Annotated[Positive, Field(description="no unit's gradient may be longer than this")] = 1.0
    learning_rate: Annotated[Positive, Field(description="the optimiser's step size")]


class Releases(Terms):
    """The releases a contract plans. Every one is charged to the population's ledger before it reads a row."""

    label_histogram: Annotated[HistogramRelease, Field(description="noisy counts per label")]
    adapter: Annotated[AdapterRelease, Field(description="the model that writes the synthetic texts")]
    labeller: Annotated[
        ClassifierRelease | None,
        Field(description="a classifier trained on the sensitive rows, by which drawn texts are chosen or labelled"),
    ] = None
    dp_baseline: Annotated[
        ClassifierRelease | None, Field(description="a classifier trained on the sensitive rows, to compare with")
    ] = None


class BaseModelTerms(Terms):
    """The model to fine-tune: `embedded`, a local Hugging Face folder, or a Hub name.

    `trained_before` or `corpus` declares what the model cannot have seen, so that memorised pre-training data is not
    mistaken for private learning. A `corpus` that is the path of an index (`*.idx`) is compared with the source.
    """

    name: Annotated[Name, Field(description="embedded, a model folder, or a Hugging Face Hub name")] = EMBEDDED
    trained_before: Annotated[
        str | None,
        Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$", description="the model saw nothing written after this date"),
    ] = None
    corpus: Annotated[Name | None, Field(description="what the model was trained on, in words or as an index")] = None

    @property
    def undeclared(self) -> bool:
        """Nothing says what the model has seen."""
        return self.name != EMBEDDED and self.trained_before is None and self.corpus is None


class Generation(Terms):
    """How many synthetic records to draw, and how. Post-processing of releases: costs nothing."""

    rows: Annotated[int, Field(ge=1, description="how many synthetic records are drawn")]
    max_new_tokens: Annotated[int, Field(ge=4, le=4096, description="the longest synthetic text, in tokens")]
    temperature: Annotated[Positive, Field(description="below 1 more usual texts, above 1 more varied ones")] = 1.0
    top_p: Annotated[Share, Field(description="each token comes from the likeliest ones that make up this share")] = (
        0.95
    )
    batch_size: Annotated[int, Field(ge=1, description="how many texts are drawn at once: memory and speed only")] = 256
    seed: Annotated[int, Field(description="the same seed draws the same texts")] = 0


class Curation(Terms):
    """What is done with drawn texts before they become the corpus. Post-processing of releases: costs nothing more."""

    labels: Annotated[
        Literal["asked", "agreed", "relabelled"],
        Field(description="the label a text was asked for; only where the labeller agrees; or the labeller's"),
    ] = "asked"
    confidence: Annotated[
        float | None,
        Field(gt=0, lt=1, allow_inf_nan=False, description="texts of which the labeller is less sure are left out"),
    ] = None
    near_duplicates: Annotated[
        float | None,
        Field(gt=0, lt=1, allow_inf_nan=False, description="of texts that are more alike than this one is kept"),
    ] = None
    proportions: Annotated[
        Literal["histogram", "even"],
        Field(description="how many rows each label gets: as the histogram says, or all alike"),
    ] = "histogram"
    drawn: Annotated[
        float,
        Field(ge=1, le=50, allow_inf_nan=False, description="how many texts are drawn for every row that is kept"),
    ] = 1.0

    @property
    def needs_labeller(self) -> bool:
        return self.labels != "asked" or self.confidence is not None


class PublicTestSplit(Terms):
    """A labelled split that the owner declares public: evaluating on it is free.

    A split that lies in the source's own file is addressed as `path: source` with a row filter in `where`.
    """

    path: Annotated[Name, Field(description="the file or Hub data set, or `source`")]
    where: Annotated[Equalities, Field(description="only the rows whose columns hold these values")] = {}
    declared_public_by: Annotated[Name, Field(description="who answers for the split being public")]


class Classifier(Terms):
    """Classifiers on the published synthetic table; `target` is one of the label columns."""

    target: Annotated[Name, Field(description="the label column to predict")]
    kinds: Annotated[
        tuple[Literal["minilm", "minilm_tuned", "word_cnn"], ...],
        Field(min_length=1, strict=False, description="which kinds of classifiers are trained"),
    ] = ("minilm",)
    seeds: Annotated[int, Field(ge=1, le=100, description="how many of each kind, alike but for their seed")] = 1

    @model_validator(mode="after")
    def _kinds_are_distinct(self) -> Classifier:
        if len(set(self.kinds)) != len(self.kinds):
            raise TermsError("the kinds are not distinct", "Keep each once; `seeds` trains several of one", "kinds")
        return self


class PublicRows(Terms):
    """Labelled rows beside the source that the owner declares public: training on them is free."""

    path: Annotated[Name, Field(description="the file or Hub data set that holds them")]
    where: Annotated[Equalities, Field(description="only the rows whose columns hold these values")] = {}
    declared_public_by: Annotated[Name, Field(description="who answers for these rows being public")]


Probability = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


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

    @model_validator(mode="after")
    def _distinct(self) -> SafetyClassifier:
        for name in ("students", "functional_tests"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise TermsError(f"the {name} are not distinct", "Keep each once", name)
        return self


class VariantMethod(Terms):
    """How a variant's adapter is trained where that differs from `releases.adapter`; everything else is as there."""

    method: Annotated[Literal["lora", "prompt", "full"], Field(description="what is trained of the base model")]
    learning_rate: Annotated[Positive, Field(description="the optimiser's step size")]
    rank: Annotated[int | None, Field(ge=1, le=512, description="the rank of the adapter's matrices")] = None
    alpha: Annotated[Positive | None, Field(description="the adapter's scale; LoRA multiplies by alpha / rank")] = None
    prompt_tokens: Annotated[
        int | None, Field(ge=1, le=512, description="how many virtual tokens stand before a text")
    ] = None


class Variants(Terms):
    """Further versions of the whole release, one for each method and epsilon, to be compared with each other.

    Each is charged for what it releases: all of them together are one large release about the population.
    """

    methods: Annotated[
        tuple[VariantMethod, ...], Field(min_length=1, strict=False, description="how the variants' adapters are made")
    ]
    epsilons: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...],
        Field(
            min_length=1,
            strict=False,
            description="what everything in a variant may cost together; .inf: no privacy, for public sources",
        ),
    ]

    @model_validator(mode="after")
    def _distinct(self) -> Variants:
        if len({each.method for each in self.methods}) != len(self.methods):
            raise TermsError("two variants have the same method", "Keep one entry for each method", "methods")
        if len(set(self.epsilons)) != len(self.epsilons):
            raise TermsError("the epsilons are not distinct", "Keep each once", "epsilons")
        if any(math.isnan(epsilon) for epsilon in self.epsilons):
            raise TermsError("an epsilon is not a number", "Write a positive number, or .inf", "epsilons")
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
    source_where: Annotated[Equalities, Field(description="only the rows whose columns hold these values")] = {}
    base_model: Annotated[BaseModelTerms, Field(description="the model to fine-tune")] = BaseModelTerms()
    releases: Annotated[Releases, Field(description="what is released, and what each release may cost")]
    generation: Annotated[Generation, Field(description="how many synthetic records to draw, and how")]
    curation: Annotated[Curation, Field(description="what is done with drawn texts before they become the corpus")] = (
        Curation()
    )
    test_split: Annotated[PublicTestSplit, Field(description="a public test split")]
    classifier: Annotated[Classifier, Field(description="the classifiers trained on the synthetic table")]
    safety_classifier: Annotated[
        SafetyClassifier | None, Field(description="a classifier of unsafe texts for devices")
    ] = None
    variants: Annotated[
        Variants | None, Field(description="further versions of the release, by method and epsilon, to be compared")
    ] = None

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
        if self.safety_classifier is not None:
            safety = self.safety_classifier
            values = next((label.values for label in self.labels if label.column == safety.target), ())
            if safety.unsafe not in values:
                raise TermsError(
                    f"{safety.unsafe!r} is not a value of a label column {safety.target!r}",
                    "Name a label column, and the one of its values that is unsafe",
                    "safety_classifier",
                )
        if self.variants is not None and math.inf in self.variants.epsilons and not self.source_is_public:
            raise TermsError(
                "a variant with an infinite epsilon would publish the source's people without any guarantee",
                "Leave .inf out; only a source that is declared public (`source_is_public: true`) may have it",
                "variants",
            )
        if self.curation.needs_labeller and self.releases.labeller is None:
            raise TermsError(
                "the labeller is to judge the drawn texts, and no release `labeller` is planned",
                "Plan `releases.labeller`, or write `labels: asked` and no `confidence`",
                "curation",
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
        if math.prod(len(label.values) for label in self.labels) > 100_000:
            raise TermsError("more than 100,000 label combinations", "Condition on fewer or coarser labels", "labels")
        return self
