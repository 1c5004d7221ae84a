"""A published table as a folder to give away: its rows in a form of choice, a README, and its sealed certificate.

    README.md                    what it is, in Hugging Face's dataset-card form
    <release>.parquet            the sealed file itself, with its seal; or messages.csv, messages.jsonl, made from it
    card/                        the certificate as it was sealed

`hf` is as `parquet`, with the file under `data/`, as the Hub's tools expect it. Whoever calls this has seen that table
and card are as they were sealed. Knows neither ledger nor stores.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from dpsynth_assets.publish.card import DATA, dataset_card
from dpsynth_assets.publish.release import PublishError

FORMATS = ("parquet", "csv", "jsonl", "hf")
CERTIFICATE = "card"
README = "README.md"
_UNFINISHED = ".unfinished"


def export(table: Path, seal: Path, card: Path, out: Path, form: str) -> Path:
    """Write the folder, whole or not at all; the place of the rows in it. What an export to the same place left that
    was killed is removed.

    Args:
        table, seal: a release's file, and the seal that travels with it.
        card: the folder of its certificate.
        form: one of `FORMATS`.

    Raises:
        PublishError: something lies at `out`, nothing can be written there, or the table cannot be read.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PublishError(f"{out} is there already: name another folder with --out, or move it away")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(out)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=_UNFINISHED, dir=out.parent))
        held = _held(draft)
    except OSError as error:
        raise PublishError(f"{out} cannot be written ({error.strerror}): name another folder with --out") from None
    try:
        file = _rows(table, seal, draft, form)
        shutil.copytree(card, draft / CERTIFICATE, copy_function=shutil.copyfile)
        said = json.loads((card / DATA).read_text(encoding="utf-8"))
        readme = dataset_card(said, file, beside=CERTIFICATE, sealed=file.endswith(table.name))
        (draft / README).write_text(readme, encoding="utf-8")
        draft.chmod(0o755)  # a temporary folder is its maker's alone
        if out.exists():
            out.rmdir()
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(held)
    return out / file


def _held(draft: Path) -> int:
    """A descriptor of a draft, by whose lock others see that somebody writes there. It goes with the process."""
    held = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def _remove_left(out: Path) -> None:
    """Remove drafts of `out` that nobody writes to any more."""
    name = re.compile(rf"\.{re.escape(out.name)}\.[a-z0-9_]{{8}}{re.escape(_UNFINISHED)}")
    for draft in out.parent.iterdir():
        if name.fullmatch(draft.name):
            with suppress(OSError):  # somebody writes there, or it is somebody else's
                held = _held(draft)
                shutil.rmtree(draft, ignore_errors=True)
                os.close(held)


def _rows(table: Path, seal: Path, folder: Path, form: str) -> str:
    """Write the rows; the name of their file in the folder."""
    if form in ("parquet", "hf"):
        within = folder / "data" if form == "hf" else folder
        within.mkdir(exist_ok=True)
        for file in (table, seal):
            shutil.copyfile(file, within / file.name)
        return (within / table.name).relative_to(folder).as_posix()
    from dpsynth_assets.publish.parquet import load

    frame, name = load(table), f"{table.parent.name}.{form}"
    if form == "csv":
        frame.to_csv(folder / name, index=False, lineterminator="\n")
    else:
        frame.to_json(folder / name, orient="records", lines=True, force_ascii=False)
    return name
