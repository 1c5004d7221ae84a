"""From base model to corpus: what is fine-tuned, how much is drawn from it, and what is done with drawn texts."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from dpsynth_assets.contract.base_models import KNOWN, is_path
from dpsynth_assets.releases.votes import BY_VOTES, ByVotes
from dpsynth_assets.term import Name, Positive, Share, Terms, TermsError

EMBEDDED = "embedded"  # the base model that ships; what it was trained on ships with it
INDEX_SUFFIX = ".idx"  # of the file that holds a corpus' index


_EXAMPLE = "http://localhost:8000/v1"


def _endpoint(value: str) -> str:
    """The value, where it is the address of a server and nothing else. No fault quotes it: it may hold a password."""
    remedy = f"Write for example {_EXAMPLE}"
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port  # a port that is none is found by asking for it
    except ValueError:
        raise TermsError("the endpoint is not a URL", remedy) from None
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise TermsError(
            "the endpoint holds more than a place: contracts are read by many, and may hold no credentials",
            "Write the place alone, without `user@`, `?` and `#`, and as `key_variable` the name of the environment "
            "variable that holds the key",
        )
    if "{" in value:
        raise TermsError("the endpoint stands as it is written: no variable of the environment is put in", remedy)
    if (
        parts.scheme not in ("http", "https")
        or not (host or "").strip(".")
        or port == 0
        or not re.fullmatch(r"[!-~]+", value)
    ):
        raise TermsError("the endpoint is not an http or https URL", remedy)
    if parts.path.rstrip("/").endswith("/completions"):
        raise TermsError(
            "the endpoint names one request, and is where all of them begin",
            "Leave `/chat/completions` or `/completions` out",
        )
    return value


def _variable(value: str) -> str:
    """The value, where it can be the name of an environment variable. What is none may be a key: it is not quoted."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", value):
        raise TermsError(
            "the key's variable is not the name of an environment variable",
            "Write its name, such as WRITER_KEY; the key itself stands in no contract",
        )
    return value


_Url = Annotated[str, AfterValidator(_endpoint)]
_Variable = Annotated[str, AfterValidator(_variable)]


class BaseModelTerms(Terms):
    """The model to fine-tune: `embedded`, one that is known by name (`base_models`), the path of a Hugging Face folder
    or of a `.gguf` file, or a Hub name. With an `endpoint`, the model that a server has under that name: it is asked
    for texts, and never loaded here.

    `trained_before` or `corpus` declares what the model cannot have seen, so that memorised pre-training data is not
    mistaken for private learning. A `corpus` that is the path of an index (`*.idx`) is compared with the source.
    """

    name: Annotated[Name, Field(description="embedded, a known name, a path, or a Hub name")] = EMBEDDED
    endpoint: Annotated[
        _Url | None,
        Field(description="the OpenAI-compatible server that is asked for texts, and has the model under its name"),
    ] = None
    key_variable: Annotated[
        _Variable | None,
        Field(description="the environment variable that holds the endpoint's key"),
    ] = None
    trained_before: Annotated[
        str | None,
        Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$", description="the model saw nothing written after this date"),
    ] = None
    corpus: Annotated[Name | None, Field(description="what the model was trained on, in words or as an index")] = None

    @model_validator(mode="after")
    def _a_server_s_name_is_the_server_s(self) -> BaseModelTerms:
        if not self.name.isprintable():
            raise TermsError("the model's name holds a line's end or a control character", "Write it plain", "name")
        if self.endpoint is None:
            if self.key_variable is not None:
                raise TermsError(
                    "there is a key's variable and no endpoint that would want the key",
                    f"Leave it out, or add an endpoint, such as `endpoint: {_EXAMPLE}`",
                    "key_variable",
                )
            return self
        remedy = "Write the name that the server's list of models (`/models`) has for it, or leave `endpoint` out"
        if self.known:
            raise TermsError(f"`{self.name}` is a model that is loaded here, and not one of a server", remedy, "name")
        if self.name.endswith(".gguf") or (is_path(self.name) and self.name[0] in "./~"):
            what = f"`{self.name}` is a path, and a server's models have names"
            more = "servers can be started with one (`--alias` of llama.cpp, `--served-model-name` of vLLM)"
            raise TermsError(what, f"{remedy}; {more}", "name")
        return self

    @property
    def is_path(self) -> bool:
        """Whether the name is a path. Of a server's model it never is, however many parts it has."""
        return self.endpoint is None and is_path(self.name)

    @property
    def shows_its_key(self) -> bool:
        """Whether the endpoint's key crosses a network in the clear."""
        if self.endpoint is None or self.key_variable is None:
            return False
        parts = urlsplit(self.endpoint)
        return parts.scheme == "http" and not _is_here(parts.hostname or "")

    @property
    def on_hub(self) -> bool:
        """It is loaded by a name of the Hugging Face Hub: whether it can be had, only the Hub or its cache knows."""
        return self.endpoint is None and not self.known and not is_path(self.name)

    @property
    def known(self) -> bool:
        """It is one of those that are known by name. They have read next to nothing but English."""
        return self.name == EMBEDDED or self.name in KNOWN

    @property
    def undeclared(self) -> bool:
        """Nothing says what the model has seen."""
        return not self.known and self.trained_before is None and self.corpus is None


def _is_here(host: str) -> bool:
    """Whether a host's name is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


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
