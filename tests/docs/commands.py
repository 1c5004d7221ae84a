"""The commands that the docs name: in blocks of code as they are typed, in the running text perhaps cut short.

for command in commands(): ...      # README, CONTRIBUTING and docs/, but for the pages that are generated
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```|((?:^ {4}[^\n]*\n|^\n)+)", re.MULTILINE | re.DOTALL)
SHELL = {"", "sh", "console", "bash"}
IN_TEXT = re.compile(r"(?<!`)`([^`]+)`(?!`)")
SET = r"(?:\w+=(?:\$\([^)]*\)|\S+) +)*"  # variables of the environment before a command
IN_CONTAINER = re.compile(r"^(?:docker compose|kubectl) .*?(?:exec (?:-\w+ )*code|-c code --) ")
CALLS = re.compile(rf"(?:^|\| *){SET}(?:[\w./]+/)?(?:dpsynth|make|python) ")


@dataclass(frozen=True)
class Command:
    """What a page tells to type. `whole`: it stands in a block of its own, with all that it needs."""

    page: str
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def pages() -> list[Path]:
    """Everything that people read and people wrote; what changed stands as it was then."""
    docs = [path for path in (ROOT / "docs").rglob("*.md") if "reference" not in path.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(docs)]


def commands() -> list[Command]:
    """Every command of every page, each once a page."""
    return list(dict.fromkeys(command for page in pages() for command in commands_of(page)))


def commands_of(page: Path) -> Iterator[Command]:
    text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
    for language, fenced, indented in BLOCK.findall(text):
        if language in SHELL:
            for line in lines_of(fenced or indented):
                yield from (Command(name, words, True) for words in _words(line))
    for paragraph in re.split(r"\n\n|\n(?=[|-])", BLOCK.sub("\n\n", text)):
        for code in IN_TEXT.findall(paragraph):
            if "\\n" not in code:  # which is a text with line ends in it, and no command
                yield from (Command(name, words, False) for words in _words(" ".join(code.split())))


def lines_of(block: str) -> list[str]:
    """The lines of a block as a shell reads them: continued ones joined, without comments and explanations."""
    joined = re.sub(r"\\\n\s*", "", block)
    joined = re.sub(r'"[^"]*"', lambda quoted: " ".join(quoted[0].split()), joined)
    lines = [re.split(r"\s{2,}|\s#\s", line.strip())[0] for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _words(line: str) -> Iterator[tuple[str, ...]]:
    """The programs of a line with their arguments, without assignments before them, the container that they are
    started in, and where their output goes."""
    line = IN_CONTAINER.sub("", line)
    if not CALLS.search(line):
        return
    lexer = shlex.shlex(re.sub(rf"(^|\| *){SET}", r"\1", line), posix=True, punctuation_chars="|<>;&")
    lexer.whitespace_split = True
    words: list[str] = []
    skipped = False
    for token in [*lexer, "|"]:
        if set(token) <= set("|;&"):
            if words and Path(words[0]).name in {"dpsynth", "make", "python"}:
                yield (Path(words[0]).name, *words[1:])
            words = []
        elif set(token) <= set("<>"):
            skipped = True
        elif skipped:
            skipped = False
        else:
            words.append(token)
