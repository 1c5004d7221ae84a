"""What the rules of a corpus and the report on it are given: synthetic rows, public rows, an encoder, the base model.

The only rows that come in are those of a charged release, of a split that the contract declares public, and, where it
declares the source itself public, the source's. Embeddings of the corpus are kept as an artifact beside it, so that
checking it again does not embed it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dpsynth_assets.contract.expectations import SOURCE, TEST_SPLIT
from dpsynth_assets.gate.public_rows import public_rows, test_rows
from dpsynth_assets.progress import Progress
from dpsynth_assets.quality.metrics.materials import SHOWN, TEXTS, Materials
from dpsynth_assets.quality.metrics.measuring import needs_of
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.shards import Pool
    from resources.artifact_store import Artifact, ArtifactStore

EMBEDDINGS = "embeddings.npy"
_READERS = {TEST_SPLIT: test_rows, SOURCE: public_rows}


def materials_for(
    contract: Contract,
    corpus: Artifact,
    frame: pd.DataFrame,
    artifacts: ArtifactStore,
    sensitive: SensitiveStore,
    progress: Progress,
    pool: Pool | None = None,
) -> Materials:
    """What the contract's own rules ask for, and the public test split, beside which the report shows the corpus. Where
    that cannot be read, and no rule asks for it, the report does without.

    Args:
        pool: encodes, for as long as the materials are used; this process unless given.

    Raises:
        SourceError: a reference that a rule asks for cannot be read.
        GrantRequiredError: a rule compares with a source that is not declared public; `lint` refuses that before.
    """
    needs = needs_of(contract.quality)
    text = contract.privacy.text.column
    references: dict[str, pd.DataFrame] = {}
    for name, read in _READERS.items():
        if name in needs.references:
            references[name] = read(contract, sensitive).rename(columns={"text": text})
        elif name == TEST_SPLIT and contract.privacy.test_split is not None:
            with suppress(SourceError):
                references[name] = read(contract, sensitive).rename(columns={"text": text})
    return Materials(
        frame,
        text,
        references,
        encode=_encoder(corpus, artifacts, progress, pool),
        score=_scorer(contract) if needs.base_model else None,
        embedded=TEXTS if needs.encoder else SHOWN,
    )


def _encoder(
    corpus: Artifact, artifacts: ArtifactStore, progress: Progress, pool: Pool | None
) -> Callable[[Sequence[str], str | None], NDArray[Any]]:
    """MiniLM, loaded when first asked; the corpus' own texts are embedded once, in whichever run asks first."""
    import numpy as np

    from dpsynth_assets.classify import encoder
    from dpsynth_assets.classify.pooled import PooledEncoder

    loaded: list[Any] = []

    def embed(texts: Sequence[str]) -> NDArray[Any]:
        loaded[:] = loaded or [encoder.MiniLM() if pool is None else PooledEncoder(pool)]
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
