"""`dpsynth init`: makes the home folder and its empty privacy ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpsynth_assets.cli.console import say

if TYPE_CHECKING:
    from resources.home import Home


def init() -> None:
    """Make the home folder ($DPSYNTH_HOME, or .dpsynth here) and an empty privacy ledger.

    An explicit step: a ledger that goes missing must stop everything instead of starting anew with a full budget.
    """
    from resources.home import Home

    home = Home.at()
    if home.ledger_file.exists():
        say(f"There is a ledger at {home.ledger_file} already; it stays as it is.")
        return
    create_home(home)
    say("Made an empty privacy ledger at ", (str(home.ledger_file), "bold"), ".")
    say("Next: ", ("dpsynth plan contracts/inbox.odcs.yaml", "bold"), " shows what its releases would cost.")


def create_home(home: Home) -> None:
    """The home folder and its empty ledger."""
    from resources.heads import create_ledger

    home.create()
    create_ledger(home)
