"""A classifier on disk: its weights without pickle, and a JSON file that names them by digest and says the rest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpsynth_assets.atomic import replacing
from dpsynth_assets.classify.errors import ClassifierError

WEIGHTS, ABOUT = "classifier.safetensors", "classifier.json"
_FORMAT = 2


def save(folder: Path, weights: bytes, about: Mapping[str, Any]) -> None:
    """Write the weights (safetensors) and, as the last step, what is said about them."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {"format": _FORMAT, **about, "sha256": hashlib.sha256(weights).hexdigest()}
    text = json.dumps(said, indent=2, allow_nan=False) + "\n"
    for name, content in ((WEIGHTS, weights), (ABOUT, text.encode())):
        with replacing(folder / name) as file:
            file.write(content)


def load(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Both back.

    Raises:
        ClassifierError: a file is missing or cannot be read, or the two do not belong together.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        weights = (folder / WEIGHTS).read_bytes()
        known, digest = about["format"] == _FORMAT, about["sha256"]
    except FileNotFoundError as error:
        raise ClassifierError(f"no classifier in {folder}: {Path(error.filename).name} is missing; train it") from None
    except (KeyError, TypeError, ValueError):
        raise ClassifierError(f"{folder / ABOUT} cannot be read; train the classifier again") from None
    if not known or hashlib.sha256(weights).hexdigest() != digest:
        raise ClassifierError(f"{folder} holds weights other than {ABOUT} says; train the classifier again")
    return weights, about
