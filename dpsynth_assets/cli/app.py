"""Puts the verbs together and turns the platform's own errors, the system's and wrong usage into one clear sentence.

Exit codes: 0 done, 1 something was found (lint, audit verify) or a run failed, 2 bad input, 3 refused by the ledger,
130 stopped.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli import (
    approve,
    audit,
    bench,
    demo,
    diff,
    doctor,
    export,
    forget,
    init,
    ledger_place,
    lint,
    model,
    monitor,
    new,
    pages,
    people,
    plan,
    rehearse,
    screen,
    source,
    sql,
    status,
    ui,
    verify,
)
from dpsynth_assets.cli import run as run_verb
from dpsynth_assets.cli.console import STOPPED, BadInput, fail, fail_unexpectedly, open_streams, output_fails, put
from dpsynth_assets.cli.questions import Stopped
from resources.home import Home, home_above, of_sqlite
from resources.own_process import keep_to_itself


def _show_version(wanted: bool) -> None:
    if wanted:
        put(f"dpsynth {version('dpsynth-assets')}")
        raise typer.Exit


app = typer.Typer(
    name="dpsynth",
    help="Differentially private synthetic text from data contracts, with a privacy ledger that says no.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, which may hold sensitive rows
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _dpsynth(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and end.")
    ] = False,
) -> None:
    if not os.environ.get("DPSYNTH_HOME") and (home := home_above(Path.cwd())) is not None:
        os.environ["DPSYNTH_HOME"] = str(home)  # for the processes that are started too


app.command("init")(init.init)
app.command("new")(new.new)
app.command("lint")(lint.lint)
app.add_typer(source.app, name="source")
app.command("plan")(plan.plan)
app.command("rehearse")(rehearse.rehearse)
app.command("diff")(diff.diff)
app.command("approve")(approve.approve)
app.add_typer(people.app, name="people")
app.add_typer(model.app, name="model")
app.command("run")(run_verb.run)
app.command("sql")(sql.sql)
app.command("card")(pages.card)
app.command("report")(pages.report)
app.command("monitor")(monitor.monitor)
app.command("export")(export.export)
app.command("screen")(screen.screen)
app.command("verify")(verify.verify)
app.add_typer(audit.app, name="audit")
app.add_typer(ledger_place.app, name="ledger")
app.add_typer(bench.app, name="bench")
app.command("forget")(forget.forget)
app.command("demo")(demo.demo)
app.command("ui")(ui.ui)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)


def run() -> None:
    """Run the command line. Only errors whose texts are written for people are shown by their text."""
    keep_to_itself()
    os.environ["PYTHONSAFEPATH"] = "1"  # no process that is started imports what lies in the working directory
    open_streams()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # both end a run in the same words
    try:
        ended = app(standalone_mode=False)  # typer would print what it was given as it is, controls included
    except Exception as error:
        ended = _said(error)
    sys.exit(ended if isinstance(ended, int) else 0)


def _said(error: Exception) -> int:
    """Say an error; gives the exit code."""
    if isinstance(error, typer.Abort):
        fail("stopped")
        return STOPPED if isinstance(error.__context__, KeyboardInterrupt) else 1  # or somebody said no
    if hasattr(error, "format_message"):  # wrong usage, by typer
        if type(error).__name__ != "NoArgsIsHelpError":  # whose help has been printed
            context = getattr(error, "ctx", None)
            help_ = f" (`{context.command_path} --help` says what it takes)" if context is not None else ""
            fail(f"{error.format_message().rstrip('.')}{help_}")
        return 2
    if isinstance(error, OSError) and error.errno is not None:
        fail(_of_the_system(error))
        return 2
    if isinstance(error, _spoken_errors()):
        fail(str(error))
        return STOPPED if isinstance(error, Stopped) else 2
    if (said := of_sqlite(error)) is not None:
        fail(_of_the_history(said))
        return 2
    fail_unexpectedly(error)
    return 1


_REMEDIES = {
    errno.EACCES: "use the account that it belongs to, or $DPSYNTH_HOME to name a home of this one",
    errno.EPERM: "use the account that it belongs to, or $DPSYNTH_HOME to name a home of this one",
    errno.EROFS: "it lies on a disk that cannot be written: name another place",
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there",
    errno.ENOENT: "check the path, and $DPSYNTH_HOME",
    errno.ENOTDIR: "a part of the path is no folder: check it, and $DPSYNTH_HOME",
    errno.EEXIST: "something else is there: name another place",
    errno.EISDIR: "give the name of a file",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EADDRINUSE: "choose another --port",
}


_LEAST_FREE = 2**21  # bytes


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, where, and what to do."""
    remedy = _REMEDIES.get(error.errno or 0)
    where = "standard output" if output_fails() else error.filename
    said = os.strerror(error.errno or 0) + (f": {remedy}" if remedy else "")
    return said if where is None or isinstance(where, int) else f"{os.fsdecode(where)}: {said}"


def _of_the_history(error: sqlite3.Error) -> str:
    """What is wrong with Dagster's files, and what to do. They say what ran when; what was charged, the ledger says."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _is_full(Home.at().dagster)):
        remedy = "the disk is full: free some space there. What was charged stays, and the same command goes on"
    elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        remedy = "let this account write there, or name another home with $DPSYNTH_HOME"
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        remedy = "let the other run end, and try again"
    else:
        remedy = (
            "move the folder away and the next command makes it anew. Only the history of runs goes with it: budget, "
            "releases and tables lie elsewhere"
        )
    return (
        f"Dagster's files in {Home.at().dagster} cannot be used ({error}): {remedy}. `dpsynth audit` says what stands"
    )


def _is_full(folder: Path) -> bool:
    """Whether next to nothing can be written there: SQLite calls that an I/O error where it writes beside its file."""
    try:
        return shutil.disk_usage(folder).free < _LEAST_FREE
    except OSError:
        return False


def _spoken_errors() -> tuple[type[Exception], ...]:
    """Error types that quote no sensitive text, by design. Of a module that was not loaded none can have come."""
    from dpsynth_assets.contract import ContractError
    from ledger import LedgerError

    spoken: list[type[Exception]] = [BadInput, ContractError, LedgerError]
    for module, name in (
        ("resources.home", "HomeError"),
        ("resources.buckets", "BucketError"),
        ("resources.formats", "SourceError"),
        ("resources.artifact_store", "ArtifactError"),
        ("dpsynth_assets.publish.release", "PublishError"),
        ("dpsynth_assets.quality.verdict", "QualityError"),
        ("dpsynth_assets.language.model_places", "BaseModelError"),
        ("dpsynth_assets.language.prompts", "PromptError"),
        ("dpsynth_assets.language.writing", "WriterError"),
    ):
        if module in sys.modules:
            spoken.append(getattr(sys.modules[module], name))
    return tuple(spoken)
