"""`dpsynth forget`: sensitive copies go when their contract's retention is over, or at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli.console import BadInput, contract_at, say
from dpsynth_assets.cli.questions import somebody_answers
from ledger.visible import visible
from resources.home import Home


def forget(
    contract: Annotated[
        str | None, typer.Argument(help="Delete all copies of this contract now, by its file or its id.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete the sensitive copies that their contracts allow to be kept no longer; with a contract, all of its copies.

    The source itself, the ledger and what was released stay. Deleted files are unlinked, not overwritten."""
    from resources.sensitive_store import SensitiveStore

    if not (folder := Home.at().sensitive).is_dir():
        raise BadInput(f"there is no {folder}: name this deployment's home with $DPSYNTH_HOME")
    store = SensitiveStore()
    name = None
    if contract is not None:
        known = {copy.contract for copy in store.copies()}
        name = contract if contract in known else contract_at(Path(contract)).declared.id
        count = sum(copy.contract == name for copy in store.copies())
        if count and not yes:
            about = f"{count} sensitive copies of {visible(name)}"
            if not somebody_answers():
                raise BadInput(f"nobody is asked here: give --yes to delete {about}. Nothing was deleted")
            typer.confirm(f"Delete {about}, with the traces beside them?", abort=True)
    gone = store.forget(name)
    for copy in gone:
        say(f"deleted  {copy.contract}  {copy.snapshot}")
    for copy in store.copies():
        say(f"kept     {copy.contract}  {copy.snapshot}  until {copy.kept_until:%Y-%m-%d %H:%M} UTC")
    if not gone:
        say(f"Nothing of {name} lies here." if name else "No sensitive copy is over its time.")
