"""An exported safety classifier at work: a text in; allow, review or block out.

For devices: needs onnxruntime, numpy and tokenizers, and of this project `words` only. It reads nothing but the folder,
writes nothing and asks no network. One text at a time: the int8 model scales its activations by tensor, so in a batch
a text's probability would depend on its neighbours.

    screener = Screener(Path("exported"))
    screener.screen("some text")          # Screened(outcome='allow', probability=0.03)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime

from dpsynth_assets.classify.words import buckets_of

MANIFEST, MODEL, TOKENIZER = "manifest.json", "model.onnx", "tokenizer.json"
FORMAT = 1

Outcome = Literal["allow", "review", "block"]


class ScreeningError(ValueError):
    """A folder that holds no usable exported classifier; the message says what is wrong with it."""


@dataclass(frozen=True)
class Screened:
    """What is to be done with a text, and the calibrated probability that it is unsafe."""

    outcome: Outcome
    probability: float


class Tokens:
    """Texts to the model's input as the manifest's `tokenizer` describes it."""

    def __init__(self, about: dict[str, Any], folder: Path) -> None:
        self._about = about
        self._tokenizer: Any = None
        if about["kind"] == "wordpiece":
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(about["max_tokens"])
        elif about["kind"] != "hashed_words":
            raise ScreeningError(f"{folder}: a tokenizer of an unknown kind; use a newer version to read it")

    def __call__(self, text: str) -> np.ndarray:
        """Shape (1, tokens), int64, at least one token."""
        if self._tokenizer is not None:
            # Lone surrogates are in no tokenizer's alphabet.
            ids = self._tokenizer.encode(text.encode("utf-8", "replace").decode()).ids
        else:
            [ids] = buckets_of([text], self._about["buckets"], self._about["max_words"])
            ids += [0] * (self._about["least"] - len(ids))
        return np.array([ids], dtype=np.int64)


class Screener:
    """The exported classifier in a folder, on one core."""

    def __init__(self, folder: Path) -> None:
        """Raises `ScreeningError` where the folder is not as it was exported."""
        self.manifest = manifest_of(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._tokens = Tokens(self.manifest["tokenizer"], folder)
        self._session = onnxruntime.InferenceSession(
            (folder / MODEL).read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def probability(self, text: str) -> float:
        """The calibrated probability that the text is unsafe."""
        [found] = self._session.run(["probability"], {"tokens": self._tokens(text)})
        return float(found[0])

    def probabilities(self, texts: Iterable[str]) -> np.ndarray:
        """That of each text, shape (texts,)."""
        return np.array([self.probability(text) for text in texts], dtype=np.float64)

    def screen(self, text: str) -> Screened:
        """What is to be done with a text."""
        probability = self.probability(text)
        thresholds = self.manifest["thresholds"]
        return Screened(outcome(probability, thresholds["block"], thresholds["review"]), probability)


def outcome(probability: float, block: float | None, review: float) -> Outcome:
    """The three-way decision. Without a block threshold nothing is blocked."""
    if block is not None and probability >= block:
        return "block"
    return "review" if probability >= review else "allow"


def manifest_of(folder: Path) -> dict[str, Any]:
    """The folder's manifest, after every file that it names was found to be the one that was exported.

    Raises:
        ScreeningError: something is missing, unreadable or another's.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        known, files = manifest["format"] == FORMAT, manifest["files"]
        digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    except FileNotFoundError as error:
        raise ScreeningError(f"no exported classifier in {folder}: {Path(error.filename).name} is missing") from None
    except (OSError, KeyError, TypeError, ValueError):
        raise ScreeningError(f"{folder / MANIFEST} cannot be read; export the classifier again") from None
    if not known:
        raise ScreeningError(f"{folder} was exported in a format that this version does not read")
    for name, digest in digests.items():
        if digest != files[name]["sha256"]:
            raise ScreeningError(f"{folder / name} is not the file that was exported; copy the whole folder again")
    if MODEL not in files:
        raise ScreeningError(f"{folder / MANIFEST} names no model; export the classifier again")
    return manifest
