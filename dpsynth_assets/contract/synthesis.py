"""From base model to corpus: what is fine-tuned, how much is drawn from it, and what is done with drawn texts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dpsynth_assets.contract.base_models import KNOWN
from dpsynth_assets.releases.votes import BY_VOTES, ByVotes
from dpsynth_assets.term import Name, Positive, Share, Terms

EMBEDDED = "embedded"  # the base model that ships; what it was trained on ships with it
INDEX_SUFFIX = ".idx"  # of the file that holds a corpus' index


class BaseModelTerms(Terms):
    """The model to fine-tune: `embedded`, one that is known by name (`base_models`), the path of a Hugging Face folder
    or of a `.gguf` file, or a Hub name.

    `trained_before` or `corpus` declares what the model cannot have seen, so that memorised pre-training data is not
    mistaken for private learning. A `corpus` that is the path of an index (`*.idx`) is compared with the source.
    """

    name: Annotated[Name, Field(description="embedded, a known name, a path, or a Hub name")] = EMBEDDED
    trained_before: Annotated[
        str | None,
        Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$", description="the model saw nothing written after this date"),
    ] = None
    corpus: Annotated[Name | None, Field(description="what the model was trained on, in words or as an index")] = None

    @property
    def undeclared(self) -> bool:
        """Nothing says what the model has seen."""
        known = self.name == EMBEDDED or self.name in KNOWN
        return not known and self.trained_before is None and self.corpus is None


class Generation(Terms):
    """How many synthetic records to draw, and how. Post-processing of releases: costs nothing."""

    rows: Annotated[int, Field(ge=1, le=10**8, description="how many synthetic records are drawn")]
    max_new_tokens: Annotated[int, Field(ge=4, le=4096, description="the longest synthetic text, in tokens")]
    temperature: Annotated[Positive, Field(description="below 1 more usual texts, above 1 more varied ones")] = 1.0
    top_p: Annotated[Share, Field(description="each token comes from the likeliest ones that make up this share")] = (
        0.95
    )
    min_p: Annotated[
        float | None,
        Field(gt=0, lt=1, allow_inf_nan=False, description="no token is less likely than this share of the likeliest"),
    ] = None
    top_k: Annotated[
        int | None, Field(ge=1, le=10**6, description="each token is one of so many likeliest; no bound if not given")
    ] = None
    min_characters: Annotated[int, Field(ge=1, le=10**5, description="shorter synthetic texts are drawn again")] = 1
    stop: Annotated[
        tuple[Name, ...], Field(strict=False, description="a synthetic text ends before the first of these")
    ] = ()
    batch_size: Annotated[
        int, Field(ge=1, le=10**5, description="how many texts are drawn at once: memory and speed only")
    ] = 256
    seed: Annotated[int, Field(ge=0, lt=2**32, description="the same seed draws the same texts")] = 0


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
        Literal["histogram", "even", ByVotes],
        Field(description="how many rows each label gets: as the histogram says, alike, or each cluster too by votes"),
    ] = "histogram"
    drawn: Annotated[
        float,
        Field(ge=1, le=50, allow_inf_nan=False, description="how many texts are drawn for every row that is kept"),
    ] = 1.0

    @property
    def needs_labeller(self) -> bool:
        return self.labels != "asked" or self.confidence is not None

    @property
    def needs_votes(self) -> bool:
        return self.proportions == BY_VOTES
