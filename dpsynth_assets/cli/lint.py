"""`dpsynth lint`: every problem of a contract at once, with line and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli.console import BadInput, contract_at, put, say
from dpsynth_assets.cli.signing import say_who_stands


def lint(
    contracts: Annotated[list[Path] | None, typer.Argument(help="Contract files; all of contracts/ if none.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print problems as JSON.")] = False,
) -> None:
    """Check contracts against the standard and the platform's privacy terms. Exit code 1 if there is any error."""
    from dpsynth_assets.contract import lint_contract

    paths = contracts or sorted(Path("contracts").glob("*.odcs.yaml"))
    if not paths:
        raise BadInput("there is no contracts/*.odcs.yaml here: name the files to check")
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise BadInput(f"no such file: {', '.join(missing)}")
    found = {path: lint_contract(path) for path in paths}
    errors = sum(problem.severity == "error" for problems in found.values() for problem in problems)
    if as_json:
        report = [{"file": str(path), **vars(problem)} for path, problems in found.items() for problem in problems]
        put(json.dumps(report, indent=2))
    else:
        for path, problems in found.items():
            for problem in problems:
                say(f"{path}:{problem.line}: {problem.where}: {problem.what}")
                say(f"    {problem.severity}: {problem.remedy}")
            if not problems:
                say(("✓ ", "green"), str(path))
            if not any(problem.severity == "error" for problem in problems):
                say_who_stands(contract_at(path))
    raise typer.Exit(1 if errors else 0)
