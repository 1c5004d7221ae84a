"""Every command in README and docs is one that the programs take: its verb, its options, the types of their values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from dpsynth_assets.cli.app import app
from tests.docs.commands import ROOT, Command, commands, lines_of

COMMAND_LINE = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def refused(words: tuple[str, ...], whole: bool = True) -> str | None:
    """What the command line has against these words, without doing what they say; None if nothing. Of a command in
    the running text it is no fault that something is left out."""
    context, rest = None, list(words)
    command, name = COMMAND_LINE, "dpsynth"
    try:
        while True:
            context = command.make_context(name, rest, parent=context)
            rest = [*getattr(context, "_protected_args", ()), *context.args]
            if not rest or not hasattr(command, "resolve_command"):
                return None
            name, command, rest = command.resolve_command(context, rest)
    except typer.Exit:  # --help and --version
        return None
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        said = str(error.format_message())
        cut_short = type(error).__name__ in {"NoArgsIsHelpError", "MissingParameter", "BadOptionUsage"}
        return None if cut_short and not whole else said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("run contracts/inbox.odcs.yaml --sise 0.2", "No such option"),
        ("run contracts/inbox.odcs.yaml --size some", "Invalid value"),
        ("ran contracts/inbox.odcs.yaml", "No such command"),
        ("audit veryfy", "No such command"),
        ("sql one two", "unexpected extra argument"),
        ("verify table.parquet --key", "requires an argument"),
        ("run", "Missing argument"),
    ],
)
def test_a_wrong_command_would_be_found(words: str, says: str) -> None:
    assert says in (refused(tuple(words.split())) or "")


def test_commands_are_found_as_a_shell_reads_them() -> None:
    block = "dpsynth new a.csv \\\n    --epsilon 8   # drafts\n# only a remark\ndpsynth audit      what was spent\n"
    assert lines_of(block) == ["dpsynth new a.csv --epsilon 8", "dpsynth audit"]


def test_commands_in_a_container_are_found() -> None:
    found = {command.words for command in commands() if command.page == "docs/operators.md" and command.whole}
    assert {("dpsynth", "doctor"), ("dpsynth", "run", "inbox", "--yes")} <= found
    assert ("dpsynth", "audit", "report", "--out", "/tmp/audit/report.html") in found


def test_every_command_of_the_docs_is_one(subtests, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands()
    assert len({command.words for command in found}) > 100
    for command in found:
        with subtests.test(str(command)):
            assert problem(command) is None


def problem(command: Command) -> str | None:
    program, *words = command.words
    if program == "dpsynth":
        return refused(tuple(words), command.whole)
    if program == "make":
        return None if set(words) <= TARGETS else f"the Makefile has no {words}"
    if words[0] in {"-", "-c"}:  # a program of its own
        return None
    if words[0] != "-m":
        return None if (ROOT / words[0]).is_file() else f"there is no {words[0]}"
    source = "".join(path.read_text(encoding="utf-8") for path in modules(words[1:]))
    if not source:
        return f"there is no module {words[1]}"
    unknown = [word for word in words[2:] if word.startswith("--") and f'"{word}"' not in source]
    return f"{words[1]} has no {unknown}" if unknown else None


def modules(words: list[str]) -> list[Path]:
    """The files of `python -m MODULE`, and of `python -m benchmarks NAME` those of both. None is imported: some are
    slow to."""
    module = ROOT.joinpath(*words[0].split("."))
    beside = [module / f"{word}.py" for word in words[1:2] if word.isidentifier()]
    return [path for path in (module.with_suffix(".py"), module / "__main__.py", *beside) if path.is_file()]
