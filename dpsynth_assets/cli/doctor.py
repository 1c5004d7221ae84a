"""`dpsynth doctor`: whether this machine, the home and the contracts are fit to run; what to do where they are not.

Looks and changes nothing. Reads no source and asks no network.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import typer

from dpsynth_assets.cli.console import put, say
from dpsynth_assets.contract import ContractError, load_contract
from dpsynth_assets.contracts_folder import contract_files, contracts_folder
from dpsynth_assets.language.model_places import lacking
from ledger import LedgerError
from resources.heads import open_ledger
from resources.home import Home

_MARKS = {"good": ("✓ ", "green"), "warning": ("! ", "yellow"), "bad": ("✗ ", "red")}
_PACKAGES = ("dagster", "torch", "transformers", "peft", "opacus", "dp-accounting", "duckdb", "great-expectations")
_ROOM = 5 * 10**9  # bytes: a base model, an adapter with its checkpoints, and tables
_MEMORY = 4 * 10**9  # bytes: what the demo of a model that writes English takes, and some


@dataclass(frozen=True)
class Finding:
    """What was looked at and how it is; `remedy` says what to do."""

    state: Literal["good", "warning", "bad"]
    said: str
    remedy: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False) -> None:
    """Look at machine, home, ledger, contracts and base models, and say what to do where something is not fit. Exit
    code 1 if something is broken."""
    found = [*_machine(), *_home(Home.at()), *_contracts()]
    if as_json:
        put(json.dumps([asdict(each) for each in found], indent=2))
    for each in () if as_json else found:
        say(_MARKS[each.state], each.said + (f": {each.remedy}" if each.remedy else ""))
    raise typer.Exit(1 if any(each.state == "bad" for each in found) else 0)


def _machine() -> Iterator[Finding]:
    installed, missing = [], []
    for name in _PACKAGES:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding("good", f"Python {platform.python_version()}, {', '.join(installed)}")
    if missing:
        yield Finding("bad", f"not installed: {', '.join(missing)}", "install dpsynth-assets with its dependencies")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else _MEMORY
    said = f"{os.cpu_count()} processors, {memory / 10**9:.0f} GB of memory"
    enough = memory >= _MEMORY
    yield Finding(
        "good" if enough else "warning", said, "" if enough else "the embedded base model fits, others may not"
    )
    if shutil.which("ssh-keygen") is None:
        yield Finding("warning", "there is no ssh-keygen", "who signs with a key signs elsewhere (--signature)")


def _home(home: Home) -> Iterator[Finding]:
    place = next(each for each in (home.root, *home.root.parents) if each.exists())
    if not home.root.exists():
        yield Finding("warning", f"there is no home at {home.root} yet", "dpsynth init makes it")
    stores = (home.ledger_file.parent, home.sensitive, home.artifacts, home.warehouse)
    for folder in [each for each in stores if each.exists()] or [
        place
    ]:  # each may be a volume of its own, in a home that is read-only itself
        if not os.access(folder, os.W_OK | os.X_OK):
            remedy = "let this account write there, or name another home with $DPSYNTH_HOME"
            yield Finding("bad", f"{folder} cannot be written to", remedy)
    free = shutil.disk_usage(place).free
    said = f"home {home.root}, {free / 10**9:.0f} GB free"
    yield Finding("good", said) if free >= _ROOM else Finding("warning", said, "free some space: runs need a few GB")
    for folder in (home.ledger_file.parent, home.sensitive):
        if folder.exists() and stat.S_IMODE(folder.stat().st_mode) & 0o007:
            yield Finding("bad", f"{folder} is open to other accounts", f"chmod 700 {folder}")
    if not home.has_ledger:
        if home.root.exists():
            yield Finding("warning", "there is no ledger", "dpsynth init makes one; if there was one, restore it first")
        return
    try:
        book = open_ledger(home)
        entries = len(book.entries())
    except LedgerError as error:
        yield Finding("bad", f"the ledger cannot be read. {error}")
    else:
        many = "1 entry" if entries == 1 else f"{entries:,} entries"
        yield Finding("good", f"ledger at {home.ledger_name} with {many} (dpsynth audit verify recomputes all of it)")
        try:
            book.require_known()
        except LedgerError as error:
            yield Finding("bad", str(error))


def _contracts() -> Iterator[Finding]:
    files: dict[str, Path] = {}
    paths = contract_files()
    if not paths:
        yield Finding("warning", f"no contract in {contracts_folder()}/", "dpsynth new FILE drafts one")
    for path in paths:
        try:
            contract = load_contract(path)
        except ContractError as error:
            count = len(error.problems)
            yield Finding("bad", f"{path}: {count} problem{'' if count == 1 else 's'}", f"dpsynth lint {path}")
            continue
        if (first := files.setdefault(contract.id, path)) != path:
            yield Finding("bad", f"{path} has the id of {first}", "give each contract an id of its own")
        elif (absent := lacking(contract)) is not None:
            what, _, remedy = absent.partition(": ")
            yield Finding("warning", f"{path}: {what}", remedy)
        else:
            yield Finding("good", f"{path} holds")
