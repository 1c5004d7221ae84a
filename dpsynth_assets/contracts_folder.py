"""Where contracts lie: for the code location, and for commands that name no file.

    $DPSYNTH_CONTRACTS; or `contracts` in the working directory; or, where there is none and the home in a folder above
    is used, the `contracts` beside that home.

Knows paths only, and nothing of what is in them.
"""

from __future__ import annotations

import os
from pathlib import Path

from resources.home import Home, home_above

_HERE = Path("contracts")


def contracts_folder() -> Path:
    """The folder of contracts, whether it is there or not; relative where it is that of the working directory.

    Raises:
        HomeError: the home that $DPSYNTH_HOME names is a file.
    """
    if chosen := os.environ.get("DPSYNTH_CONTRACTS"):
        return Path(chosen).expanduser()
    home = None if _HERE.is_dir() else home_above(Path.cwd())
    if home is not None and home == Home.at().root and (home.parent / _HERE).is_dir():
        return home.parent / _HERE
    return _HERE


def contract_files() -> list[Path]:
    """The files of contracts there, by name."""
    return sorted(contracts_folder().glob("*.odcs.yaml"))
