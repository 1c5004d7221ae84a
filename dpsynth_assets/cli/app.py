"""Puts the verbs together and turns the platform's own errors into one clear sentence.

Exit codes: 0 done, 1 something was found (lint, audit verify) or a run failed, 2 bad input, 3 refused by the ledger.
"""

from __future__ import annotations

import sys

import typer

from dpsynth_assets.cli import (
    approve,
    audit,
    bench,
    demo,
    diff,
    forget,
    init,
    lint,
    people,
    plan,
    screen,
    sql,
    ui,
    verify,
)
from dpsynth_assets.cli import run as run_verb
from dpsynth_assets.cli.console import BadInput, fail, fail_unexpectedly
from resources.home import nobody_else_writes

app = typer.Typer(
    name="dpsynth",
    help="Differentially private synthetic text from data contracts, with a privacy ledger that says no.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, which may hold sensitive rows
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("lint")(lint.lint)
app.command("plan")(plan.plan)
app.command("diff")(diff.diff)
app.command("approve")(approve.approve)
app.add_typer(people.app, name="people")
app.command("run")(run_verb.run)
app.command("sql")(sql.sql)
app.command("screen")(screen.screen)
app.command("verify")(verify.verify)
app.add_typer(audit.app, name="audit")
app.add_typer(bench.app, name="bench")
app.command("forget")(forget.forget)
app.command("demo")(demo.demo)
app.command("ui")(ui.ui)


def run() -> None:
    """Run the command line. Only errors whose texts are written for people are shown by their text."""
    nobody_else_writes()
    try:
        app()
    except Exception as error:
        if not isinstance(error, _spoken_errors()):
            fail_unexpectedly(error)
            sys.exit(1)
        fail(str(error))
        sys.exit(2)


def _spoken_errors() -> tuple[type[Exception], ...]:
    """Error types that quote no sensitive text, by design. Those of rooms that were not loaded cannot have occurred."""
    from dpsynth_assets.contract import ContractError
    from ledger import LedgerError

    spoken: list[type[Exception]] = [BadInput, ContractError, LedgerError]
    for module, name in (
        ("resources.tabular", "SourceError"),
        ("resources.artifact_store", "ArtifactError"),
        ("dpsynth_assets.publish.release", "PublishError"),
        ("dpsynth_assets.quality.verdict", "QualityError"),
        ("dpsynth_assets.language.base_model", "BaseModelError"),
    ):
        if module in sys.modules:
            spoken.append(getattr(sys.modules[module], name))
    return tuple(spoken)
