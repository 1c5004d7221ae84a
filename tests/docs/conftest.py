"""The command line as a person calls it."""

from tests.cli.conftest import dpsynth

__all__ = ["dpsynth"]
