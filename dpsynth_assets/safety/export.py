"""A trained safety classifier as one folder for a device: an int8 ONNX model, its tokenizer, a manifest.

    model.onnx        tokens of one text -> calibrated probability that it is unsafe
    tokenizer.json    the encoder's, where the student has one; the other student's words are hashed
    manifest.json     thresholds, evidence, guarantee, receipts, sizes and digests of the files; written last

What is calibrated, given thresholds and measured is this very model, not the one it was made from. The one it was made
from is what it is compared with (`parity`). Reads and writes synthetic and public things only.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.classify.encoder import MiniLM, packaged_tokenizer
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.neural import Neural
from dpsynth_assets.classify.recipes import Frozen
from dpsynth_assets.classify.tuned import TunedMiniLM
from dpsynth_assets.classify.word_cnn import WordCnn
from dpsynth_assets.safety import graphs
from dpsynth_assets.safety.calibration import Platt
from dpsynth_assets.safety.screening import FORMAT, MANIFEST, MODEL, TOKENIZER, Screener, Tokens, outcome
from dpsynth_assets.safety.threshold import Thresholds

if TYPE_CHECKING:
    import onnx

    from dpsynth_assets.classify.recipes import StoredClassifier

AGREEMENT = 0.995  # of decisions, exported and trained
DIFFERENCE = 0.2  # of any probability: more is a broken graph, not rounding


@dataclass(frozen=True)
class Small:
    """A classifier's network before it is calibrated, and how its input is made from a text.

    Attributes:
        network: `tokens` to `log_odds` (`dpsynth_assets.safety.graphs`).
        tokenizer: the manifest's entry of that name.
        files: further files of the folder, by name.
    """

    student: str
    network: onnx.ModelProto
    tokenizer: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def bytes(self) -> int:
        """The size of the exported files, but for the manifest and some hundred bytes of calibration."""
        return int(self.network.ByteSize()) + sum(map(len, self.files.values()))

    def log_odds(self, texts: Sequence[str]) -> np.ndarray:
        """What the network says before it is calibrated, shape (texts,), float64."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        session = onnxruntime.InferenceSession(self.network.SerializeToString(), options)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.files.items():
                (Path(folder) / name).write_bytes(content)
            tokens = Tokens(dict(self.tokenizer), Path(folder))
        found = [session.run([graphs.LOG_ODDS], {graphs.INPUT: tokens(text)})[0][0] for text in texts]
        return np.array(found, dtype=np.float64)


def small(student: str, classifier: StoredClassifier, *, int8: bool = True) -> Small:
    """The network of a trained classifier of the two classes safe and unsafe, in this order, with int8 weights.

    `int8=False` leaves the weights as they are: to tell what rounding does from what the graph does.

    Raises:
        ClassifierError: it is of a kind that has no exported form, or has other classes.
    """
    if len(classifier.classes) != 2 or classifier.facts.get("classes_without_rows"):
        raise ClassifierError("only a classifier that has learnt two classes, safe and unsafe, can be exported")
    if isinstance(classifier, Frozen):
        limit = classifier.head.facts.get("max_tokens", encoders.MAX_TOKENS)
        bert = encoders.MiniLM(max_tokens=limit).model
        graph = graphs.minilm(bert, classifier.head.weights, classifier.head.bias, limit, int8=int8)
        return _wordpiece(student, graph, limit)
    if isinstance(classifier, Neural):
        network, temperature = classifier.network, classifier.temperature
        weights, bias = (
            p.detach().double().numpy() / temperature for p in (network.output.weight, network.output.bias)
        )
        if isinstance(network, TunedMiniLM):
            limit = int(network.about()["max_tokens"])
            return _wordpiece(student, graphs.minilm(network.bert, weights, bias, limit, int8=int8), limit)
        if isinstance(network, WordCnn):
            shape = network.shape
            about = {
                "kind": "hashed_words",
                "buckets": shape.buckets,
                "max_words": shape.max_words,
                "least": max(shape.widths),
            }
            return Small(student, graphs.word_cnn(network, weights, bias, int8=int8), about, {})
    raise ClassifierError(f"a classifier of the kind {student} has no exported form")


def _wordpiece(student: str, graph: onnx.ModelProto, max_tokens: int) -> Small:
    about = {"kind": "wordpiece", "file": TOKENIZER, "max_tokens": max_tokens}
    return Small(student, graph, about, {TOKENIZER: packaged_tokenizer()})


def device_encoder() -> MiniLM:
    """The sentence encoder with the rounded weights that a device gets. Heads for devices are trained on it: what is
    exported then decides as what was trained."""
    encoder = MiniLM()
    graphs.round_encoder(encoder.model)
    return encoder


def log_odds(classifier: StoredClassifier, texts: Sequence[str]) -> np.ndarray:
    """What the trained classifier says of the second class against the first, shape (texts,), float64."""
    safe, unsafe = np.clip(classifier.predict_proba(texts), 1e-300, None).T
    return np.asarray(np.log(unsafe) - np.log(safe))


def write(model: Small, calibration: Platt, thresholds: Thresholds, about: Mapping[str, Any], folder: Path) -> Screener:
    """Write the folder, and read it back as a device would.

    `about` are further entries of the manifest: labels, guarantee, receipts, intended use, limits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = graphs.calibrated(model.network, calibration.slope, calibration.intercept)
    files = {MODEL: network.SerializeToString(deterministic=True), **model.files}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    manifest = {
        "format": FORMAT,
        "student": model.student,
        "input": {"name": graphs.INPUT, "type": "int64", "shape": [1, "tokens"]},
        "output": {"name": graphs.PROBABILITY, "type": "float32", "shape": [1]},
        "tokenizer": dict(model.tokenizer),
        "thresholds": thresholds.to_json(),
        "calibration": asdict(calibration),
        **about,
        "files": listed,
        "bytes": sum(each["bytes"] for each in listed.values()),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return Screener(folder)


def amend(folder: Path, entries: Mapping[str, Any]) -> Screener:
    """Add what was measured with the exported model to its manifest."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest.update(entries)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return Screener(folder)


def parity(trained: np.ndarray, screener: Screener, texts: Sequence[str]) -> dict[str, Any]:
    """How far the exported model and the trained one agree on texts: `texts`, `agreement`, `max_difference`.

    Args:
        trained: the texts' probabilities by the trained classifier, calibrated as the exported one is.

    Raises:
        ClassifierError: fewer than `AGREEMENT` of the decisions are the same, or a probability differs by more than
            `DIFFERENCE`. Nothing of the kind may be shipped.
    """
    ours = screener.probabilities(texts)
    limits = screener.manifest["thresholds"]
    same = [
        outcome(a, limits["block"], limits["review"]) == outcome(b, limits["block"], limits["review"])
        for a, b in zip(ours.tolist(), trained.tolist(), strict=True)
    ]
    agreement, difference = float(np.mean(same)), float(np.abs(ours - trained).max())
    if agreement < AGREEMENT or difference > DIFFERENCE:
        raise ClassifierError(
            f"the exported {screener.manifest['student']} decides as the trained one does on {agreement:.2%} of "
            f"{len(texts):,} texts (at least {AGREEMENT:.1%} are required), and its probabilities differ by up to "
            f"{difference:.3f} (at most {DIFFERENCE} are allowed): it was not exported"
        )
    return {"texts": len(texts), "agreement": agreement, "max_difference": difference}
