"""What people and files say is printed as text: no markup is read in it, and nothing in it commands the terminal."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.panel import Panel
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from dpsynth_assets.cli import console as terminal
from ledger import Ledger

COMMAND_LINE = Path(terminal.__file__).parent
HOSTILE = "[/foo] [bold]x[/bold] [link=https://example.org]y :warning: \\[z]"
CONTROLS = "a\x1b[2J\x1b]0;title\x07 \x9b31m \x08\x7f \r \u202egnp.exe\u202c \u2066 \u2028 \ufeff"
STYLE = re.compile("\x1b\\[[0-9;]*m")  # what the console itself writes to a terminal

anything = st.text(st.characters(), max_size=60) | st.sampled_from((HOSTILE, CONTROLS))


class Screen(io.StringIO):
    """A terminal that can be read afterwards."""

    def isatty(self) -> bool:
        return True


def commands_in(printed: str) -> list[str]:
    """The characters that a terminal would obey, the styles of the console left out."""
    left = STYLE.sub("", printed).replace("\n", "").replace("\t", "")
    categories = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [each for each in left if unicodedata.category(each) in categories and each not in "\u200c\u200d"]


@contextmanager
def screen() -> Iterator[Screen]:
    """Standard output and error as one terminal. Within a test only: pytest sets streams of its own before it."""
    made = Screen()
    terminal.console.cache_clear()
    try:
        with mock.patch.dict(os.environ, TERM="xterm-256color"), redirect_stdout(made), redirect_stderr(made):
            yield made
    finally:
        terminal.console.cache_clear()


@given(anything)
def test_what_is_visible_commands_nothing_and_plain_text_is_left_alone(text):
    assert commands_in(terminal.visible(text)) == []
    if text.isprintable():
        assert terminal.visible(text) == text


@given(anything)
def test_json_that_was_made_visible_is_the_same_json(text):
    assert json.loads(terminal.visible(json.dumps(text, ensure_ascii=False))) == text


@given(anything)
def test_no_text_commands_the_terminal_wherever_it_is_printed(text):
    with screen() as shown:
        terminal.say("said ", (text, "bold"), text)
        terminal.fail(text)
        terminal.put(text)
        table = Table(title=text, caption=text)
        table.add_column(text)
        table.add_row(text)
        terminal.console().print(table)
        terminal.console().print(Panel(text, title=Text(text)))
        with Progress(TextColumn("{task.description}", markup=False), console=terminal.console()) as bar:
            bar.add_task(text, total=3)
    own = re.sub("\x1b\\[(\\?25[lh]|2K|1A)|\r", "", shown.getvalue())  # the progress moves its own cursor
    assert "said" in own
    assert commands_in(own) == []


def test_markup_in_a_text_is_printed_as_it_stands():
    with screen() as shown:
        terminal.say("reason: ", HOSTILE)
        terminal.fail(HOSTILE)
    assert " ".join(STYLE.sub("", shown.getvalue()).split()).count(HOSTILE) == 2


def test_a_name_cannot_add_a_line_to_what_is_said(capsys, forget_console):
    terminal.say("population ", "x\n✓ The ledger is intact")
    assert capsys.readouterr().out == "population x\\n✓ The ledger is intact\n"


def test_a_program_gets_what_it_asked_for_to_the_letter(capsys, forget_console):
    terminal.put(CONTROLS)
    assert capsys.readouterr().out == CONTROLS + "\n"


def test_an_unforeseen_error_commands_nothing_either():
    with screen() as shown:
        terminal.fail_unexpectedly(ValueError(CONTROLS))
    assert "ValueError" in shown.getvalue()
    assert commands_in(shown.getvalue()) == []


def test_the_command_line_prints_through_the_console_alone_and_uses_no_markup():
    markup = re.compile(r"\[/?(?:bold|dim|red|green|yellow|blue|italic|link)?\]|\[(?:bold|dim|red|green|yellow)\]")
    for file in sorted(COMMAND_LINE.rglob("*.py")):
        if file.name == "console.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{file.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not markup.search(node.value), f"{where}: markup is printed as text; give (text, style)"
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("print", "typer.echo", "click.echo", "sys.stdout.write", "Console"), where


@pytest.fixture
def signed(home, contract_path):
    """A ledger in which every name, title and reason that may hold markup does."""
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.gate.approval import sign

    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace("name: Small inbox", f"name: '{HOSTILE}'"), encoding="utf-8")
    contract = load_contract(contract_path)
    book = Ledger(home.ledger_file)
    for actor in ("owner@example.org", "privacy@example.org"):
        sign(contract, book, actor=actor, reason=HOSTILE)
    return book


def test_markup_in_reasons_and_titles_breaks_no_command(dpsynth, signed, contract_path, rooms):
    event = '{"event": "gaussian", "version": 1, "noise_multiplier": 30.0}'
    commands = (
        ("audit", "external", "small-bank", event, "--yes", "--as", "owner@example.org", "--reason", HOSTILE),
        ("approve", "--list"),
        ("audit",),
        ("audit", "verify"),
        ("audit", "report"),
        ("lint", contract_path),
        ("plan", contract_path),
        ("diff", contract_path),
        ("run", contract_path),
        ("run", contract_path),
        ("approve", contract_path),
        ("forget", contract_path, "--yes"),
    )
    printed = {}
    for command in commands:
        code, out, err = dpsynth(*command)
        assert "Traceback" not in err, (command, err)
        assert "MarkupError" not in out + err, command
        assert code in (0, 3), (command, out, err)
        printed[command] = "".join(re.sub("[│┃]", "", out).split())
    wanted = "".join(HOSTILE.split())
    assert "[/foo]" in printed["approve", "--list"]
    assert wanted in printed["audit",]
    assert wanted in printed["run", contract_path]


@pytest.mark.parametrize("verb", ["lint", "plan", "run", "diff", "approve"])
def test_controls_in_a_contract_reach_no_terminal(verb, dpsynth, signed, contract_path):
    written = json.dumps(CONTROLS)  # as YAML takes it too
    text = contract_path.read_text(encoding="utf-8")
    for before in (f"name: '{HOSTILE}'", "description: Writer.", "purpose: For tests.", "target: topic"):
        changed = text.replace(before, f"{before.split(':')[0]}: {written}")
        assert changed != text
        contract_path.write_text(changed, encoding="utf-8")
        _, out, err = dpsynth(verb, contract_path)
        assert commands_in(out + err) == [], (verb, before)


def test_controls_in_the_name_of_a_file_reach_no_terminal(dpsynth, home, tmp_path):
    for verb in ("lint", "plan", "run", "diff", "approve"):
        _, out, err = dpsynth(verb, tmp_path / "\x1b[31m[/foo].odcs.yaml")
        assert commands_in(out + err) == []
        assert "\\u001b[31m[/foo]" in "".join((out + err).split())


def test_a_table_of_lines_can_be_read_back(capsys, forget_console):
    lines = io.StringIO()
    csv.writer(lines).writerow([CONTROLS, HOSTILE])
    terminal.put(lines.getvalue().removesuffix("\r\n"))
    assert next(csv.reader(io.StringIO(capsys.readouterr().out, newline=""))) == [CONTROLS, HOSTILE]


def test_a_check_is_called_by_its_name_for_people():
    """Whatever it checks: its step begins with its asset."""
    from dpsynth_assets.cli.running import title_of

    assert title_of("adapter_privacy_audit") == "Training attacked"
    assert title_of("evolution_base_model_has_not_read_the_source") == "Base model and source compared"
    assert title_of("dp_baseline") != "dp_baseline"
