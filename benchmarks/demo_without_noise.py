"""The demo by a program whose noise was taken out: its audit must refute it, and nothing may be published.

    python -m benchmarks.demo_without_noise FOLDER

FOLDER becomes a home of its own, with a ledger of its own. What is printed is what `dpsynth demo` prints.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.faults import FAULTS
from dpsynth_assets.cli import main as dpsynth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a home that is not there yet")
    chosen = parser.parse_args()
    if chosen.folder.exists():
        parser.error(
            f"{chosen.folder} is there already: an unprotected adapter must not lie among others, name another"
        )
    os.environ["DPSYNTH_HOME"] = str(chosen.folder.absolute())
    sys.argv = ["dpsynth", "demo"]
    fault = next(fault for fault in FAULTS if fault.name == "no noise")
    with fault.put_in():
        dpsynth()


if __name__ == "__main__":
    main()
