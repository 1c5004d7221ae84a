"""The command line `dpsynth`: one file per verb. Heavy libraries are imported inside the verbs that need them."""

from __future__ import annotations


def main() -> None:
    """The console script. Errors that were written for people are printed as they are, with exit code 2."""
    from dpsynth_assets.cli.app import run

    run()


__all__ = ["main"]
