"""Who writes a text when it is asked for one in words: a protocol, so that synthesis knows neither model nor network.

A request is made of public constants and of texts that were released, and of nothing else: what is asked may leave this
machine. Knows no row, no contract and no mechanism.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dpsynth_assets.contract.prompt import TURN_MARKER
from dpsynth_assets.folding import folded
from dpsynth_assets.releases.release import AwayError


@dataclass(frozen=True)
class Request:
    """One text that is wanted.

    Attributes:
        asked: what is asked for, in words.
        begin: how the text begins; the writer goes on from there. Empty for a text of its own.
        examples: texts that were written when the same was asked before; the writer sees them so.
        before: what else was asked before these, each with its text.
        words: in small letters, what the text is to hold; `Insistent` asks again for one that does not.
        tries: how often it is asked for at most, for the sake of its words.
    """

    asked: str
    begin: str = ""
    examples: tuple[str, ...] = ()
    before: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()
    tries: int = 1

    def is_met_by(self, text: str) -> bool:
        """Whether each of the words stands in the text, in whichever form of Unicode, and as a part of another too:
        who is asked for `loan` may write of loans. What a server wrote behind a turn marker is not kept."""
        said = folded(TURN_MARKER.split(text, maxsplit=1)[0]) if self.words else ""
        return all(word in said for word in self.words)

    def turns(self) -> list[dict[str, str]]:
        """The request as a chat, up to where the answer begins."""
        said = [
            turn
            for asked, text in self.answered()
            for turn in ({"role": "user", "content": asked}, {"role": "assistant", "content": text})
        ]
        return [*said, {"role": "user", "content": self.asked}]

    def answered(self) -> tuple[tuple[str, str], ...]:
        """What was asked before, each with its text, in order."""
        return (*self.before, *((self.asked, text) for text in self.examples))


class WriterError(AwayError):
    """A writer cannot be had, or does not answer."""


class Writer(Protocol):
    """Writes texts. The same requests and seed give the same texts, as far as the model behind it holds to that."""

    def write(self, requests: Sequence[Request], seed: int, told: Callable[[int], None] | None = None) -> list[str]:
        """One text for each request, in their order, its `begin` included; empty where none can be had for it.

        Args:
            told: how many texts are ready.

        Raises:
            WriterError: the writer cannot be asked.
        """


class Insistent:
    """A writer that asks another one again for texts without the words that they are to hold. Of what never has them
    the last stands: whether it will do is not decided here. Raises as that one does."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self, requests: Sequence[Request], seed: int, told: Callable[[int], None] | None = None) -> list[str]:
        """As `Writer.write`; the first time with the seed itself."""
        texts = [""] * len(requests)
        left = list(range(len(requests)))
        for turn in range(max((request.tries for request in requests), default=0)):
            ready = len(requests) - len(left)
            again = seed if turn == 0 else seed_of(f"{seed} words {turn}")
            written = self._writer.write([requests[at] for at in left], again, _after(ready, told))
            for place, text in zip(left, written, strict=True):
                texts[place] = text
            left = [at for at in left if turn + 1 < requests[at].tries and not requests[at].is_met_by(texts[at])]
            if not left:
                break
        return texts


def _after(ready: int, told: Callable[[int], None] | None) -> Callable[[int], None] | None:
    """What tells of more texts, where some are ready already."""
    return None if told is None else lambda more: told(ready + more)


def seed_of(occasion: str) -> int:
    """A seed of 56 bits for what is asked on an occasion: the same one for the same words, else another."""
    return int.from_bytes(hashlib.sha256(occasion.encode()).digest()[:7], "big")
