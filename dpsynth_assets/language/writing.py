"""Who writes a text when it is asked for one in words: a protocol, so that synthesis knows neither model nor network.

A request is made of public constants and of texts that were released, and of nothing else: what is asked may leave this
machine. Knows no row, no contract and no mechanism.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dpsynth_assets.releases.release import AwayError


@dataclass(frozen=True)
class Request:
    """One text that is wanted.

    Attributes:
        asked: what is asked for, in words.
        begin: how the text begins; the writer goes on from there. Empty for a text of its own.
        examples: texts that were written when the same was asked before; the writer sees them so.
    """

    asked: str
    begin: str = ""
    examples: tuple[str, ...] = ()

    def turns(self) -> list[dict[str, str]]:
        """The request as a chat, up to where the answer begins."""
        asking = {"role": "user", "content": self.asked}
        before = [turn for text in self.examples for turn in (asking, {"role": "assistant", "content": text})]
        return [*before, asking]


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
