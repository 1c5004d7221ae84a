"""Vectors of synthetic and public texts, encoded by a pool of workers.

Whoever asks answers for what the texts are: they leave this process. Sensitive ones are encoded inside a charged
mechanism, by `dpsynth_assets.classify.encoder` itself.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.progress import Progress
from dpsynth_assets.shards import Work

if TYPE_CHECKING:
    from dpsynth_assets.shards import Pool

_SHARD = 1024  # texts


class PooledEncoder:
    """An `Encoder` for *synthetic and public* texts. A vector is a function of its own text, so that it does not matter
    how texts are shared out; its bits are those of `MiniLM` on this machine with the workers' number of threads."""

    def __init__(self, pool: Pool, max_tokens: int = encoders.MAX_TOKENS) -> None:
        self._pool, self._max_tokens = pool, max_tokens

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """As `MiniLM.encode`."""
        cut = [list(texts[start : start + _SHARD]) for start in range(0, len(texts), _SHARD)]
        vectors = np.empty((len(texts), encoders.DIMENSION), dtype=np.float32)
        work = Work("dpsynth_assets.classify.pooled:encoding", {"max_tokens": self._max_tokens})
        done = 0
        with closing(self._pool.map(work.maker, work.setup, work.environment, cut)) as results:
            for place, encoded in results:
                part = np.frombuffer(b64decode(encoded), dtype="<f4").reshape(-1, encoders.DIMENSION)
                vectors[place * _SHARD : place * _SHARD + len(part)] = part
                done += len(part)
                if progress is not None:
                    progress(done, len(texts))
        return vectors

    def cut_to(self, max_tokens: int) -> PooledEncoder:
        """As `MiniLM.cut_to`."""
        return self if max_tokens == self._max_tokens else PooledEncoder(self._pool, max_tokens)


def encoding(setup: Mapping[str, Any]) -> Callable[[Sequence[str]], str]:
    """What encodes a shard of texts, for `dpsynth_assets.shards`: float32, little-endian, in base64."""
    encoder = encoders.MiniLM(max_tokens=setup["max_tokens"])

    def encode(texts: Sequence[str]) -> str:
        return b64encode(encoder.encode(texts).astype("<f4").tobytes()).decode("ascii")

    return encode
