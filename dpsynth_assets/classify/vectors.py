"""Vectors of public texts, kept on disk from process to process: encoding a large corpus takes minutes.

A vector is as sensitive as its text. Only what may be encoded freely comes here, which is synthetic texts and rows that
are declared public; whoever asks answers for that. Nothing is kept unless a folder was named (`kept_in`).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.classify.encoder import DIMENSION, SHA256, Encoder
from dpsynth_assets.progress import Progress

FILE = "vectors.sqlite"
_SHARD = 1024  # texts; what a kill can lose
_PATIENCE = 60.0  # seconds that a process waits for another one's write
_folder: ContextVar[Path | None] = ContextVar("dpsynth_public_vectors", default=None)


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Keep vectors of public texts in `folder`, in this process."""
    folder.mkdir(parents=True, exist_ok=True)
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def public_encoder(max_tokens: int = encoders.MAX_TOKENS) -> Encoder:
    """The encoder for *public and synthetic* texts, which keeps their vectors where a folder was named for them."""
    encoder = encoders.MiniLM(max_tokens=max_tokens)
    folder = _folder.get()
    return encoder if folder is None else KeptVectors(encoder, folder)


class KeptVectors:
    """An encoder that looks a text up in a folder first, and keeps there what it had to encode.

    A text is known by its tokens, cut to the encoder's length: encoders of other lengths share what was not cut.
    Several processes may share a folder. A vector can differ in its last bits from one computed beside other texts.
    """

    def __init__(self, encoder: encoders.MiniLM, folder: Path) -> None:
        self._encoder, self._folder, self._file = encoder, folder, folder / FILE
        with self._open() as held:
            held.execute("CREATE TABLE IF NOT EXISTS vectors (tokens BLOB PRIMARY KEY, vector BLOB NOT NULL)")

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """As `MiniLM.encode`; progress is about the texts that are new."""
        keys = [_key(tokens) for tokens in self._encoder.tokenize(texts)]
        found = self._held(keys)
        new = list({key: text for key, text in zip(keys, texts, strict=True) if key not in found}.items())
        for start in range(0, len(new), _SHARD):
            shard = dict(new[start : start + _SHARD])
            found |= self._held(shard)  # another process may have come first
            lacking = [key for key in shard if key not in found]
            vectors = self._encoder.encode([shard[key] for key in lacking]).astype("<f4")
            fresh = {key: vector.tobytes() for key, vector in zip(lacking, vectors, strict=True)}
            with self._open() as held:
                held.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", fresh.items())
            found |= fresh
            if progress is not None:
                progress(start + len(shard), len(new))
        return np.frombuffer(b"".join(found[key] for key in keys), dtype="<f4").reshape(-1, DIMENSION).copy()

    def cut_to(self, max_tokens: int) -> KeptVectors:
        """As `MiniLM.cut_to`, in the same folder."""
        other = self._encoder.cut_to(max_tokens)
        return self if other is self._encoder else KeptVectors(other, self._folder)

    def _held(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        found = {}
        with self._open() as held:
            for key in keys:
                if row := held.execute("SELECT vector FROM vectors WHERE tokens = ?", (key,)).fetchone():
                    found[key] = row[0]
        return found

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=_PATIENCE)) as connection, connection:
            yield connection


def _key(tokens: Sequence[int]) -> bytes:
    """Identity of a text under these very weights."""
    return hashlib.sha256(f"{SHA256['model.safetensors']} {' '.join(map(str, tokens))}".encode()).digest()
