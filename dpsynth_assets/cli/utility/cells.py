"""Measures cells of a grid one after the other, and says how far it has come. Knows nothing of what a cell holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dpsynth_assets.cli.console import BadInput, say
from dpsynth_assets.cli.utility import grid


def say_quietly(text: str) -> None:
    """A line about what is being done within a cell."""
    say(f"  {text}", style="dim")


def measure_cells(
    todo: Sequence[grid.GridCell],
    folder: Path,
    measure: Callable[[grid.GridCell], dict[str, Any]],
    write: Callable[[], None],
    *,
    kinds: Sequence[str] = (),
    seeds: int = 1,
) -> None:
    """Measure what is not measured yet and in nobody else's hands; `write` is called after each.

    Raises:
        BadInput: a cell failed.
    """
    for number, cell in enumerate(todo, start=1):
        with grid.claimed(cell, folder, kinds, seeds) as ours:
            if not ours:
                continue
            say((cell.line.name, "bold"), f", run {cell.run} (cell {number} of {len(todo)})")
            try:
                result = measure(cell)
            except grid.GridError as error:
                raise BadInput(f"{cell.line.name}, run {cell.run}: {error}") from None
            grid.keep(cell, folder, result)
            write()
            say(f"  {result['minutes']} minutes")
