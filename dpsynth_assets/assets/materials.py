"""What the quality rules of a corpus are given: synthetic rows, public rows, an encoder, the base model.

The only rows that come in are those of a charged release, of a split that the contract declares public, and, where it
declares the source itself public, the source's. Embeddings of the corpus are kept as an artifact beside it, so that
checking it again does not embed it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dpsynth_assets.gate.public_rows import public_rows, test_rows
from dpsynth_assets.progress import Progress
from dpsynth_assets.quality.metrics.materials import Materials
from dpsynth_assets.quality.metrics.measuring import needs_of
from resources.sensitive_store import SensitiveStore

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from dpsynth_assets.contract import Contract
    from resources.artifact_store import Artifact, ArtifactStore

EMBEDDINGS = "embeddings.npy"
_READERS = {"test_split": test_rows, "source": public_rows}


def materials_for(
    contract: Contract,
    corpus: Artifact,
    frame: pd.DataFrame,
    artifacts: ArtifactStore,
    sensitive: SensitiveStore,
    progress: Progress,
) -> Materials:
    """What the contract's own rules ask for, and nothing that none of them asks for.

    Raises:
        SourceError: a reference cannot be read.
        GrantRequiredError: a rule compares with a source that is not declared public; `lint` refuses that before.
    """
    needs = needs_of(contract.quality)
    text = contract.privacy.text.column
    references: dict[str, pd.DataFrame] = {}
    if needs.references:
        references = {
            name: read(contract, sensitive).rename(columns={"text": text})
            for name, read in _READERS.items()
            if name in needs.references
        }
    return Materials(
        frame,
        text,
        references,
        encode=_encoder(corpus, artifacts, progress) if needs.encoder else None,
        score=_scorer(contract) if needs.base_model else None,
    )


def _encoder(
    corpus: Artifact, artifacts: ArtifactStore, progress: Progress
) -> Callable[[Sequence[str], str | None], NDArray[Any]]:
    """MiniLM, loaded when first asked; the corpus' own texts are embedded once, in whichever run asks first."""
    import numpy as np

    from dpsynth_assets.classify import encoder

    loaded: list[Any] = []

    def embed(texts: Sequence[str]) -> NDArray[Any]:
        loaded[:] = loaded or [encoder.MiniLM()]
        vectors: NDArray[Any] = loaded[0].encode(texts, progress=progress)
        return vectors

    def encode(texts: Sequence[str], reference: str | None) -> NDArray[Any]:
        if reference is not None:
            return embed(texts)
        facts = {"texts": len(texts), "encoder": encoder.SHA256["model.safetensors"]}
        about = {"corpus": corpus.id, **facts}
        kept = artifacts.find(corpus.contract, "embeddings")
        if kept is not None and about.items() <= kept.receipt["about"].items():
            stored: NDArray[Any] = np.load(kept.folder / EMBEDDINGS, allow_pickle=False)
            return stored
        vectors = embed(texts)
        with artifacts.draft(corpus.contract, "embeddings") as draft:
            np.save(draft.folder / EMBEDDINGS, vectors, allow_pickle=False)
            artifacts.seal(draft, made_from={"corpus": corpus}, about=facts)
        return vectors

    return encode


def _scorer(contract: Contract) -> Callable[[Sequence[str]], float]:
    """Perplexity under the contract's base model, as it was before it saw a record."""

    def score(texts: Sequence[str]) -> float:
        from dpsynth_assets.language import base_model, model_places
        from dpsynth_assets.quality.metrics.perplexity import perplexity

        model, tokenizer = base_model.load_base_model(model_places.located(contract.privacy.base_model.name, contract))
        return perplexity(model, tokenizer, texts, contract.privacy.text.max_tokens)

    return score
