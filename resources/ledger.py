"""The privacy ledger as a Dagster resource. Opening it fails closed where there is none."""

from __future__ import annotations

from ledger import Ledger
from resources.deployed import Deployed
from resources.heads import open_ledger
from resources.home import Home


class LedgerResource(Deployed):
    """Opens the home folder's ledger."""

    def open(self) -> Ledger:
        """The ledger; raises `LedgerMissing` where `dpsynth init` has not made one."""
        return open_ledger(Home.at(self.home))
