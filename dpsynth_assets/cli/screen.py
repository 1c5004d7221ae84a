"""`dpsynth screen`: screens text lines with an exported safety classifier. Loads neither torch nor Dagster."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from dpsynth_assets.cli.console import BadInput, put
from ledger.seals import RECEIPT
from resources.heads import open_ledger
from resources.home import Home
from resources.seals import differences, digests_in


def screen(
    file: Annotated[str, typer.Argument(help="A file with a text on each line, or - for standard input.")],
    model: Annotated[
        Path | None, typer.Option(help="The folder of an exported classifier; otherwise the newest one made here.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Repeat each text beside its outcome.")] = False,
) -> None:
    """Say for each line whether to allow, review or block it: a JSON object a line, as they come. Blank lines are left
    out; `line` counts them."""
    folder = model or newest(Home.at())
    from dpsynth_assets.safety.screening import Screener, ScreeningError

    try:
        screener = Screener(folder)
    except ScreeningError as error:
        raise BadInput(str(error)) from None
    with _opened(file) as lines:
        for number, raw in enumerate(lines, start=1):
            line = raw.decode("utf-8", "replace").strip()
            if not line:
                continue
            found = screener.screen(line)
            said = {"line": number, "outcome": found.outcome, "probability": round(found.probability, 6)}
            put(json.dumps(said | ({"text": line} if text else {}), ensure_ascii=False))


def newest(home: Home) -> Path:
    """The chosen student of the newest safety classifier in a home folder, which must be as it was sealed.

    By the ledger's seals, and without `resources.artifact_store`, which would load Dagster.
    """
    made = [seal for seal in open_ledger(home).seals() if seal.kind == "safety_classifier"]
    if not made:
        raise BadInput(
            f"there is no exported safety classifier in {home.root} yet: run a contract that has the terms "
            "`safety_classifier` (docs/safety-classifier.md), or name a folder with --model"
        )
    folder = home.artifacts / made[-1].name / made[-1].id
    wrong = differences(digests_in(folder), made[-1].files) if folder.is_dir() else ["it is gone"]
    if wrong:
        raise BadInput(
            f"{folder} is not what was sealed: {'; '.join(wrong)}. Materialize {made[-1].name} again, which is free"
        )
    receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
    return folder / str(receipt["about"]["student"])


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115 - closed below; only the opening is a user's mistake
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror}): name a text file, or - for input") from None
    with opened:
        yield opened
