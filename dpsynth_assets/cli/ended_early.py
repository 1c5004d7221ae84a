"""What is said of a run that ended before its end: what it was charged, and the command that goes on from there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dpsynth_assets.cli.charged import charged_in, own_charges, went_on
from dpsynth_assets.cli.console import say
from dpsynth_assets.variants import name_of
from ledger import Ledger

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from resources.home import Home

Asked = Mapping[str, tuple[object, ...]]  # the options of a run by their names, each with what was given for it


def called(contract: Contract) -> str:
    """The contract as the commands take it."""
    return contract.file + (f" --variant {name_of(contract)}" if contract.base else "")


def goes_on_by(contract: Contract, home: Home, run: str | None, asked: Asked) -> str:
    """The command that goes on with what a run with these options was charged: without the names of releases that it
    has made, which would be paid for once more."""
    from resources.artifact_store import ArtifactStore

    own = {each.id for each in Ledger(home.ledger_file).reservations() if each.owner == run} if run else set()
    store, command = ArtifactStore(home=str(home.root)), f"dpsynth run {called(contract)}"
    for option, values in asked.items():
        for value in values:
            made = own and option in ("--again", "--only") and store.find(contract.id, str(value))
            if value is not None and not (made and own & {charge.reservation for charge in made.charges}):
                command += f" {option} {value}"
    return command


def say_stopped(contract: Contract, home: Home, run: str | None, asked: Asked) -> None:
    """One sentence on a run that a person or the system stopped; `run` is None where it had not begun."""
    charges = charged_in(Ledger(home.ledger_file), run) if run else []
    charged, before = own_charges(charges), went_on(charges)
    command = goes_on_by(contract, home, run, asked)
    if sys.stdout.isatty():
        say()  # the terminal has printed ^C
    if charged:
        say(("Stopped", "bold"), f": this run was charged {charged}, which stays, and ", (command, "bold"), " goes on.")
    elif before:
        say(("Stopped", "bold"), ": this run was charged nothing, and ", (command, "bold"), " goes on.")
    else:
        say(("Stopped", "bold"), " before this run was charged anything: ", (command, "bold"), " runs it again.")
    if before:
        say(before)
