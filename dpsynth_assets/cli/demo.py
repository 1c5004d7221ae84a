"""`dpsynth demo`: the shipped demo contract end to end on the project's own fictional inbox."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth_assets.cli.console import BadInput, contract_at, say
from dpsynth_assets.cli.init import create_home
from dpsynth_assets.cli.run import run_contract
from dpsynth_assets.gate.approval import needs, sign
from dpsynth_assets.language.model_places import require_base_model
from resources.heads import open_ledger
from resources.home import Home

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from ledger import Ledger

_CONTRACTS = {
    "embedded": Path("contracts/inbox.odcs.yaml"),
    "smollm2-135m": Path("contracts/inbox_smollm2.odcs.yaml"),
}


def demo(
    base_model: Annotated[
        str, typer.Option(help=f"Who writes: {' or '.join(_CONTRACTS)} (after `dpsynth model add`).")
    ] = "embedded",
) -> None:
    """Write the fictional inbox, make a ledger if there is none, and run the demo contract.

    Run again, it uses the releases that stand. Another adapter (`dpsynth run --again adapter`) is refused: the budget
    is spent.
    """
    if base_model not in _CONTRACTS:
        raise BadInput(f"--base-model {base_model}: the demo is written by {' or '.join(_CONTRACTS)}")
    shipped = _CONTRACTS[base_model]
    path = shipped if shipped.exists() else Path(__file__).parents[2] / shipped
    if not path.exists() or find_spec("dpsynth_assets.demo") is None:  # which an installed wheel leaves out
        raise BadInput("the demo is part of the project's checkout: run it there")
    from dpsynth_assets.demo.inbox import write_inbox

    contract = contract_at(path)
    require_base_model(contract)
    write_inbox(path.parent.parent / "data" / "inbox")
    home = Home.at()
    if not home.has_ledger:
        create_home(home)
        say(f"Made an empty privacy ledger at {home.ledger_file}.")
    _sign_for_both(contract, open_ledger(home))
    raise typer.Exit(run_contract(contract, yes=True))  # its people are invented


def _sign_for_both(contract: Contract, book: Ledger) -> None:
    """The owner's and the reviewer's signature: the bank is invented, and so are they."""
    if not needs(contract, book):
        return
    owner, reviewer = contract.owners[0], contract.approvers[0]
    sign(contract, book, actor=owner, reason="to train a router of customer messages on a synthetic inbox")
    sign(contract, book, actor=reviewer, reason="read the contract; the demo signs for both of us")
    say(f"Signed for the invented owner ({owner}) and reviewer ({reviewer}): `dpsynth approve --list` shows it.")
