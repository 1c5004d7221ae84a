"""The terminal: one console on the real standard output, which stays the terminal while the gate confines the rest.

Everything that is printed passes here, and all of it is text: names, reasons and cells that come from people and files
are printed as they are, brackets included, and a character that a terminal would obey is printed as its number. So
there is no markup in what is handed over: what is to stand out is a pair of text and style.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from dpsynth_assets.contract import SourcePlaceError, load_contract
from dpsynth_assets.contract.addresses import is_fixed
from dpsynth_assets.contracts_folder import contract_files, contracts_folder
from ledger import LedgerError
from ledger.seals import public_key_in
from ledger.visible import visible

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract


_WIDTH = 110
_NAME = "dpsynth"
_COMMAND = re.compile(rf"(?<![\w./-]){_NAME} (?=[a-z-])")

Part = str | tuple[str, str]


REFUSED = 3  # the exit code where the ledger says no
STOPPED = 130  # that of a run which was interrupted, as shells have it


class BadInput(Exception):  # noqa: N818 - a user's mistake, not the program's
    """What the user gave cannot be used; the message says what to give instead."""


def open_streams() -> None:
    """Give a process that was started without some of its standard streams empty ones: the next file that it opens
    would take a missing one's number, and what is printed would go there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good


def output_fails() -> bool:
    """Whether standard output cannot be written. What it still holds is dropped then, and the process can end in
    peace."""
    try:
        for file in (sys.stdout, console().file):
            file.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for file in (sys.stdout, console().file):
            os.dup2(nowhere, file.fileno())
        os.close(nowhere)
        return True
    return False


@cache
def console() -> Console:
    """Where results go. Kept apart from descriptor 1, which points into the sensitive folder while the gate is open."""
    width = None if sys.stdout.isatty() else _WIDTH  # a pipe has no width of its own
    return _console(_beside(sys.stdout), width)


@cache
def program() -> str:
    """What this program is called by from here: its name where the shell finds it, or else its path."""
    called = Path(sys.argv[0])
    if called.name != _NAME or not called.is_file():
        return _NAME
    found = shutil.which(_NAME)
    return _NAME if found is not None and called.samefile(found) else shown(called.absolute())


def as_called(text: str) -> str:
    """Our text with the commands that it names as they are called from here."""
    return _COMMAND.sub(lambda _: f"{program()} ", text)


def say(*parts: Part, style: str = "", end: str = "\n") -> None:
    r"""A line of prose: wrapped on a terminal, whole in a pipe, so that paths stay in one piece.

    Each part is a text, or a pair of a text and its style: `say("Wrote ", (name, "bold"), ".")`. It is one line
    whatever the parts hold, so that no name can add a line to what we say: their line breaks are printed as `\n`.
    """
    line = Text(style=style)
    for part in parts:
        text, how = (part, "") if isinstance(part, str) else part
        line.append(visible(as_called(text)).replace("\n", "\\n"), how)
    console().print(line, soft_wrap=not sys.stdout.isatty(), end=end)


def put(text: str) -> None:
    """Text for programs: to a file or a pipe as it is, to a terminal as `visible`."""
    try:
        sys.stdout.write((visible(text) if sys.stdout.isatty() else text) + "\n")
    except UnicodeEncodeError:
        raise BadInput(
            f"standard output takes {sys.stdout.encoding} only, which cannot say all of this: set PYTHONUTF8=1"
        ) from None
    sys.stdout.flush()


def fail(text: str) -> None:
    """An error on standard error."""
    message = Text("error: ", style="bold red").append(Text(visible(as_called(text)), style="default not bold"))
    with suppress(OSError):  # nothing can be said; the exit code says it
        _console(sys.stderr).print(message, soft_wrap=True)


def aside(text: str) -> None:
    """What a person should see beside an output that goes to a file or a program, on standard error."""
    with suppress(OSError):
        _console(sys.stderr).print(Text(visible(as_called(text))), soft_wrap=True)


def fail_unexpectedly(error: BaseException) -> None:
    """The trace of an error that nobody foresaw, on standard error."""
    with suppress(OSError):
        sys.stderr.write(visible("".join(traceback.format_exception(error))))


def _console(file: IO[str], width: int | None = None) -> Console:
    """A console that prints text as text: no markup, no emoji names, and nothing that a terminal would obey but what
    the console itself writes."""

    class Terminal(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(visible(text), **options)

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(visible(segment.text), segment.style)

    return Terminal(file=file, width=width, highlight=False, markup=False, emoji=False)


def _beside(stream: TextIO) -> TextIO:
    try:
        number = stream.fileno()
    except (OSError, io.UnsupportedOperation):
        return stream  # a test's stream
    return os.fdopen(os.dup(number), "w", encoding="utf-8", errors="replace", buffering=1)


def contract_at(path: Path) -> Contract:
    """The contract at a path; a bare id stands for its file where contracts lie."""
    if not path.exists() and path.suffix == "":
        guess = contracts_folder() / f"{path}.odcs.yaml"
        path = guess if guess.exists() else path
    if not path.is_file():
        raise BadInput(f"{path} is not a file: give the path of a contract. {_contracts_here()}")
    return load_contract(path)


def _contracts_here() -> str:
    if here := contract_files():
        return f"There are {', '.join(map(str, here))}"
    return f"There is none in {contracts_folder()}/: `dpsynth new FILE` drafts one"


def variant_of(contract: Contract, name: str | None) -> Contract:
    """The contract of a release variant (`dpsynth_assets.variants`), or the contract itself where none is named.

    Raises:
        BadInput: it has no such variant, or none at all.
    """
    from dpsynth_assets import variants

    if name is None:
        return contract
    if contract.privacy.variants is None and name != variants.NOTHING:
        raise BadInput(
            f"--variant {name}: {contract.id} declares no `variants`; docs/contracts.md says how. It has "
            f"{variants.NOTHING!r} all the same, which reads no row"
        )
    try:
        return variants.variant(contract, name)
    except variants.VariantError as error:
        raise BadInput(f"--variant {name}: {error}") from None


def public_key(given: str) -> str:
    """The publisher's public key that `--key` gives, in hex: the key itself, or the name of a file that holds it.

    Raises:
        BadInput: it is none.
    """
    file = Path(given)
    try:
        return public_key_in(file.read_text(encoding="utf-8") if len(given) < 256 and file.is_file() else given)
    except UnicodeDecodeError:
        raise BadInput(f"--key: {file} is not a text file: give the 64 hex digits, or a file that holds them") from None
    except LedgerError as error:
        raise BadInput(f"--key: {error}") from None


def require_source(contract: Contract, source: str) -> None:
    """Pass if `--source` is a file that is there, or an address or pattern, at a place that the contract names.

    Raises:
        BadInput: it is not.
    """
    if not is_fixed(source) and "*" not in source and not Path(source).exists():
        raise BadInput(f"--source {source}: there is no such file")
    try:
        contract.with_source(source)
    except SourcePlaceError as error:
        raise BadInput(f"--source {error}") from None


def shown(path: Path) -> str:
    """A path relative to the working directory where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
