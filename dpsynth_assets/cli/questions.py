"""Questions to whoever sits at the terminal, each with its reason; without a terminal an option answers, or a default.

One parser serves both: what is typed and what an option says are checked alike. Knows nothing of what is asked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from dpsynth_assets.cli.console import BadInput, say

T = TypeVar("T")


class AnswersEnd(BadInput):
    """Nobody answers any more."""


class Stopped(AnswersEnd):
    """Somebody stopped the program at a question, as by Ctrl-C."""


@dataclass(frozen=True)
class Question(Generic[T]):
    """One thing that is asked.

    Attributes:
        option: that answers it, without its dashes.
        asks, why: the question and the reason for it, as sentences.
        read: makes a value of what is typed; a ValueError says what is wrong with it.
        default: taken for an empty line, and where nobody can be asked. None: it must be answered.
        proposal: taken for an empty line, but by nobody's silence: where nobody can be asked an option must say it.
    """

    option: str
    asks: str
    why: str
    read: Callable[[str], T]
    default: str | None = None
    proposal: str | None = None


def somebody_answers() -> bool:
    """Whether there is a terminal to ask at."""
    return sys.stdin.isatty()


def answer(question: Question[T], given: str | None) -> T:
    """What the option says, or else what is typed, or else the default.

    Raises:
        BadInput: the option says what cannot be, or there is neither terminal nor default.
    """
    if given is not None:
        try:
            return question.read(given.strip())
        except ValueError as error:
            raise BadInput(f"--{question.option} {given}: {error}") from None
    if not somebody_answers():
        if question.default is None:
            raise BadInput(lacking([question]))
        return question.read(question.default)
    say()
    say((question.asks, "bold"))
    say(question.why, style="dim")
    return _typed(question)


def lacking(questions: Sequence[Question[T]]) -> str:
    """What must be said by options where nobody can be asked, each on a line with its reason."""
    listed = "".join(f"\n  --{each.option}: {each.asks} {each.why}" for each in questions)
    return f"there is no terminal to ask at, so options must say:{listed}"


def _typed(question: Question[T]) -> T:
    usual = question.default if question.proposal is None else question.proposal
    while True:
        say("> " if not usual else f"[{usual}] > ", end="")
        try:
            line = input().strip() or usual
        except EOFError:
            raise AnswersEnd(f"the answers end before `{question.option}`: nothing was written") from None
        except KeyboardInterrupt:
            say()  # the terminal has printed ^C
            raise Stopped(f"stopped at `{question.option}`: nothing was written") from None
        if line is None:
            say("This cannot be guessed: an answer is needed.", style="yellow")
            continue
        try:
            return question.read(line)
        except ValueError as error:
            said = str(error)
            say(f"{said[:1].upper()}{said[1:]}{'' if said.endswith(('?', '.')) else '.'}", style="yellow")
