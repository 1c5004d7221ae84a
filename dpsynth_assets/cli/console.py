"""The terminal: one console on the real standard output, which stays the terminal while the gate confines the rest."""

from __future__ import annotations

import io
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from dpsynth_assets.contract import Contract


_WIDTH = 110


class BadInput(Exception):  # noqa: N818 - a user's mistake, not the program's
    """What the user gave cannot be used; the message says what to give instead."""


@cache
def console() -> Console:
    """Where results go. Kept apart from descriptor 1, which points into the sensitive folder while the gate is open."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDTH  # a pipe has no width of its own
    return Console(file=_beside(sys.stdout), highlight=False, width=width)


def say(text: str = "", **options: Any) -> None:
    """A line of prose: wrapped on a terminal, whole in a pipe, so that paths stay in one piece."""
    console().print(text, soft_wrap=not sys.stdout.isatty(), **options)


def _beside(stream: TextIO) -> TextIO:
    try:
        number = stream.fileno()
    except (OSError, io.UnsupportedOperation):
        return stream  # a test's stream
    return os.fdopen(os.dup(number), "w", encoding="utf-8", errors="replace", buffering=1)


def fail(text: str) -> None:
    """An error on standard error, without markup."""
    from rich.console import Console
    from rich.text import Text

    message = Text("error: ", style="bold red").append(Text(text, style="default not bold"))
    Console(stderr=True, highlight=False, soft_wrap=True).print(message)


def contract_at(path: Path) -> Contract:
    """The contract at a path; a bare id stands for its file under `contracts/`."""
    from dpsynth_assets.contract import load_contract

    if not path.exists() and path.suffix == "":
        guess = Path("contracts") / f"{path}.odcs.yaml"
        path = guess if guess.exists() else path
    if not path.is_file():
        raise BadInput(f"{path} is not a file: give the path of a contract, such as contracts/inbox.odcs.yaml")
    return load_contract(path)


def variant_of(contract: Contract, name: str | None) -> Contract:
    """The contract of a release variant (`dpsynth_assets.variants`), or the contract itself where none is named.

    Raises:
        BadInput: it has no such variant, or none at all.
    """
    from dpsynth_assets import variants

    if name is None:
        return contract
    if contract.privacy.variants is None:
        raise BadInput(f"--variant {name}: {contract.id} declares no `variants`; docs/contracts.md says how")
    try:
        return variants.variant(contract, name)
    except variants.VariantError as error:
        raise BadInput(f"--variant {name}: {error}") from None


def require_source(contract: Contract, source: str) -> None:
    """Pass if `--source` is a file that is there, or a Hub data set, at a place that the contract names.

    Raises:
        BadInput: it is not.
    """
    from dpsynth_assets.contract import SourcePlaceError

    if not source.startswith("hub:") and not Path(source).exists():
        raise BadInput(f"--source {source}: there is no such file")
    try:
        contract.with_source(source)
    except SourcePlaceError as error:
        raise BadInput(f"--source {error}") from None


def shown(path: Path) -> str:
    """A path relative to the working directory where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
