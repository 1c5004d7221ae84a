"""`dpsynth lint`: every problem of a contract at once, with line and remedy."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli.console import BadInput, contract_at, put, say
from dpsynth_assets.cli.signing import say_who_stands
from dpsynth_assets.contract import ContractError, Problem, lint_contract, load_contract
from dpsynth_assets.contract.odcs import line_of
from dpsynth_assets.contracts_folder import contract_files, contracts_folder
from dpsynth_assets.gate.approval import needs
from dpsynth_assets.language.model_places import lacking
from ledger import Ledger, LedgerError, TermsConflict
from resources.home import Home


def lint(
    contracts: Annotated[
        list[Path] | None, typer.Argument(help="Contract files; all of contracts/, or of $DPSYNTH_CONTRACTS, if none.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print problems as JSON.")] = False,
) -> None:
    """Check contracts against the standard and the platform's privacy terms, and against what the ledger, where there
    is one, has registered for good. Exit code 1 if there is any error."""
    paths = contracts or contract_files()
    if not paths:
        raise BadInput(f"there is no *.odcs.yaml in {contracts_folder()}/: name the files to check")
    if missing := [path for path in paths if not path.is_file()]:
        raise BadInput(", ".join(f"{'not a file' if path.exists() else 'no such file'}: {path}" for path in missing))
    found = {path: problems_of(path) for path in paths}
    errors = sum(problem.severity == "error" for problems in found.values() for problem in problems)
    if as_json:
        report = [{"file": str(path), **vars(problem)} for path, problems in found.items() for problem in problems]
        put(json.dumps(report, indent=2))
    else:
        for path, problems in found.items():
            if not show_problems(path, problems) and _ledger():
                say_who_stands(contract_at(path))
    if not as_json and _ledger() is None:
        say("Note: not compared with the ledger, which this account may not read.")
    raise typer.Exit(1 if errors else 0)


def show_problems(path: Path, problems: list[Problem]) -> bool:
    """Show them; whether there is an error among them."""
    for problem in problems:
        say(f"{path}:{problem.line}: {problem.where}: {problem.what}")
        say(f"    {problem.severity}: {problem.remedy}")
    if not problems:
        say(("✓ ", "green"), str(path))
    return any(problem.severity == "error" for problem in problems)


def problems_of(path: Path) -> list[Problem]:
    """All that there is to say of a contract: by itself, beside the others of its folder, and against the ledger."""
    found = lint_contract(path)
    broken = any(problem.severity == "error" for problem in found)
    return found if broken else sorted([*found, *_taken_id(path), *_absent_model(path), *_contradictions(path)])


def _taken_id(path: Path) -> list[Problem]:
    """Where another contract of the same folder has this one's id: the code location loads neither."""
    id_ = load_contract(path).id
    for other in sorted(path.parent.glob("*.odcs.yaml")):
        with suppress(ContractError):
            if not other.samefile(path) and load_contract(other).id == id_:
                what = f"the id `{id_}` is that of {other.name} too"
                remedy = "Give each contract an id of its own, or add `asset: ...` to the privacy terms of one"
                return [Problem(line_of(path, "id", privacy=False), "id", what, remedy)]
    return []


def _absent_model(path: Path) -> list[Problem]:
    """Where the base model, or the key for it, is not on this machine. A warning: the contract is right, and may be
    meant for another."""
    contract = load_contract(path)
    absent = lacking(contract)
    if absent is None:
        return []
    what, _, remedy = absent.partition(": ")
    place = ("base_model", "name" if contract.privacy.base_model.endpoint is None else "key_variable")
    remedy = f"{remedy[:1].upper()}{remedy[1:]}; nothing is charged before"
    return [Problem(line_of(path, *place), f"privacy.{'.'.join(place)}", what, remedy, "warning")]


def _ledger() -> Path | None:
    """Where the ledger is, or would be; None where this account may not look."""
    file = Home.at().ledger_file
    try:
        file.exists()
    except OSError:
        return None
    return file


def _contradictions(path: Path) -> list[Problem]:
    """Where the contract changes what never changes about its population. Nothing where no ledger can be asked."""
    ledger = _ledger()
    if ledger is None or not ledger.exists():
        return []
    contract = load_contract(path)
    with suppress(LedgerError):
        try:
            needs(contract, Ledger(ledger))
        except TermsConflict as conflict:
            what, _, remedy = str(conflict).partition(". It never changes: ")
            remedy = remedy[:1].upper() + remedy[1:]
            return [Problem(line_of(path, "population"), "privacy.population", what, f"It never changes. {remedy}")]
    return []
