"""The privacy ledger as a Dagster resource. Opening it fails closed where there is none."""

from __future__ import annotations

import dagster as dg

from ledger import Ledger
from resources.home import Home


class LedgerResource(dg.ConfigurableResource[Ledger]):
    """Opens the home folder's ledger. `home` empty means $DPSYNTH_HOME, or `.dpsynth` in the working directory."""

    home: str = ""

    def open(self) -> Ledger:
        """The ledger; raises `LedgerMissing` where `dpsynth init` has not made one."""
        return Ledger(Home.at(self.home).ledger_file)
