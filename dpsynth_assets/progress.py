"""How far a long piece of work has come, as the work tells it."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Told how much is done, of how much: steps, rows or texts, as the work says. Never a loss, a figure or a text."""
