"""`dpsynth status`: where things stand: home, contracts, budgets, what stands and may be resumed, and the next step.

Reads the ledger and what was sealed; opens no source and charges nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dpsynth_assets.cli.console import console, fail, put, say
from dpsynth_assets.contract import ContractError, load_contract
from dpsynth_assets.contracts_folder import contract_files, contracts_folder
from dpsynth_assets.releases.registry import planned_names
from ledger import Ledger, LedgerError
from ledger.rounded import down, up
from resources.heads import open_ledger
from resources.home import Home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dpsynth_assets.contract import Contract
    from ledger import Reservation, Spending
    from resources.artifact_store import ArtifactStore

_BEGUN = ("activated", "redeemed")  # charged, and not finished


@dataclass(frozen=True)
class _Line:
    """How far a contract is, and what its owner does next, if anything."""

    file: Path
    contract: Contract | None
    state: str
    stands: str = ""
    next: str | None = None


def status(as_json: Annotated[bool, typer.Option("--json", help="Print where things stand as JSON.")] = False) -> None:
    """Show the home, the contracts that lie here and how far each is, every budget, and what to do next."""
    home = Home.at()
    book = open_ledger(home) if home.has_ledger else None
    refused = None if book is None else _refused(book)
    lines = [_line(path, home, book) for path in contract_files()]
    steps = [] if book is not None else ["dpsynth init"]
    steps += [each.next for each in lines if each.next is not None]
    if not lines:
        steps.append("dpsynth new FILE")
    if refused is not None:
        steps = ["dpsynth audit verify"]
    budgets = {} if book is None else {name: book.spending(name) for name in book.populations()}
    begun = [] if book is None else [each for each in book.reservations() if each.state in _BEGUN]
    if as_json:
        put(json.dumps(_as_json(home, lines, budgets, begun, steps) | {"refused": refused}, indent=2))
        return
    say("Home: ", (str(home.root), "bold"))
    _show_contracts(lines)
    if book is not None:
        _show_budgets(budgets)
        _show_begun(begun, {each.contract.id: each.file for each in lines if each.contract})
    if refused is not None:
        fail(refused)
    for step in steps[:3]:
        say("Next: ", (step, "bold"))
    if not steps:
        say("Next: ", ("dpsynth sql", "bold"), " queries what is published, ", ("dpsynth ui", "bold"), " shows it.")


def _refused(book: Ledger) -> str | None:
    """Why the ledger would enter nothing, if so."""
    try:
        book.require_known()
    except LedgerError as error:
        return str(error)
    return None


def _as_json(
    home: Home,
    lines: Sequence[_Line],
    budgets: Mapping[str, Spending],
    begun: Sequence[Reservation],
    steps: Sequence[str],
) -> dict[str, Any]:
    """The same for programs."""
    return {
        "home": str(home.root),
        "contracts": [
            {
                "file": str(each.file),
                "id": each.contract and each.contract.id,
                "population": each.contract and each.contract.privacy.population,
                "state": each.state,
                "stands": each.stands,
                "next": each.next,
            }
            for each in lines
        ],
        "budgets": {
            name: {
                "epsilon_cap": stands.epsilon_cap,
                "delta": stands.delta,
                "epsilon_spent": stands.epsilon_spent - stands.epsilon_reserved,
                "epsilon_reserved": stands.epsilon_reserved,
                "epsilon_remaining": stands.epsilon_remaining,
            }
            for name, stands in budgets.items()
        },
        "unfinished": [
            {"release": each.release, "reservation": each.id, "epsilon_alone": each.epsilon_alone, "state": each.state}
            for each in begun
        ],
        "next": list(steps),
    }


def _line(path: Path, home: Home, book: Ledger | None) -> _Line:
    from dpsynth_assets.gate.approval import needs
    from resources.artifact_store import ArtifactStore

    try:
        contract = load_contract(path)
    except ContractError as error:
        count = len(error.problems)
        return _Line(path, None, f"{count} problem{'' if count == 1 else 's'}", next=f"dpsynth lint {path}")
    if book is None:
        return _Line(path, contract, "no ledger yet")
    try:
        if needs(contract, book):
            return _Line(path, contract, "not signed for", next=f"dpsynth approve {path}")
    except LedgerError:
        return _Line(path, contract, "contradicts the ledger", next=f"dpsynth lint {path}")
    stands, published = _standing(contract, ArtifactStore(home=str(home.root)))
    return _Line(path, contract, "signed for", stands, None if published else f"dpsynth run {path}")


def _standing(contract: Contract, store: ArtifactStore) -> tuple[str, bool]:
    """Which releases of a contract there are, in words, and whether its table is published."""
    from resources.artifact_store import ArtifactError

    try:
        released = [name for name in planned_names(contract) if store.find(contract.id, name) is not None]
        table = store.find(contract.id, "synthetic")
    except ArtifactError:
        return "not as it was sealed: dpsynth audit verify", True
    said = ", ".join(released) or "nothing yet"
    rows = "" if table is None else f"; table of {table.receipt['about']['rows']:,} rows published"
    return said + rows, table is not None


def _show_contracts(lines: Sequence[_Line]) -> None:
    if not lines:
        say(f"No contract in {contracts_folder()}/.")
        return
    table = Table()
    for heading in ("contract", "population", "state", "what stands"):
        table.add_column(heading, overflow="fold")
    for each in lines:
        population = each.contract.privacy.population if each.contract else ""
        table.add_row(*map(Text, (each.file.name, population, each.state, each.stands)))
    console().print(table)
    files: dict[str, Path] = {}
    for each in lines:
        if each.contract is not None:
            first = files.setdefault(each.contract.id, each.file)
            if first != each.file:
                say(("! ", "yellow"), f"{each.file} has the id of {first}: give each contract an id of its own.")


def _show_budgets(budgets: Mapping[str, Spending]) -> None:
    if not budgets:
        say("No population is registered in the ledger yet.")
        return
    table = Table()
    table.add_column("population", overflow="fold")
    for heading in ("ε cap", "spent", "held", "left", "δ"):
        table.add_column(heading, justify="right")
    for name, stands in budgets.items():
        spent = round(stands.epsilon_spent - stands.epsilon_reserved, 9)  # a difference of floats: none is none
        figures = up(spent), up(stands.epsilon_reserved), down(stands.epsilon_remaining)
        table.add_row(Text(name), f"{stands.epsilon_cap:g}", *figures, f"{stands.delta:g}")
    console().print(table)


def _show_begun(begun: Sequence[Reservation], files: Mapping[str, Path]) -> None:
    """What was charged and not finished: the same run goes on with it."""
    for each in begun:
        file = files.get(each.release.partition("/")[0].partition("--")[0])
        goes_on = f"if its process has ended, dpsynth run {file} goes on with it" if file else "its contract is gone"
        say(("! ", "yellow"), f"{each.release} was charged ε {up(each.epsilon_alone)} and is not finished: {goes_on}.")
