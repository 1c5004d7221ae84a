"""The command line `dpsynth`: one file per verb. Heavy libraries are imported inside the verbs that need them."""

from __future__ import annotations


def main() -> None:
    """The console script. Errors that were written for people are printed as they are, with exit code 2."""
    import sys

    try:
        from dpsynth_assets.cli.app import run
    except KeyboardInterrupt:  # nothing has begun
        sys.stderr.write("Stopped before anything was begun.\n")
        sys.exit(130)
    run()


__all__ = ["main"]
