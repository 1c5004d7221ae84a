"""Runs the small contract's source and adapter in a process of its own: `one_run.py CONTRACT MODE`.

MODE is `train` (a training stand-in that takes a moment), `hang` (one that says it has begun and never ends), `real`
(the real one), `slow` (the real one, which says that it is in its third step and then takes very long), or the place
where the process kills itself: `before` or `after` one of `WORK`, as in `after charge`. Prints `True` or `False` for
success. The tests start it, sometimes twice at once, and sometimes kill it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import dagster as dg

from dpsynth_assets.assets.release import release_asset
from dpsynth_assets.contract import load_contract
from dpsynth_assets.language import finetuning
from dpsynth_assets.quality import rules
from dpsynth_assets.releases.adapter import ADAPTER
from ledger.admission import Admission
from ledger.charging import Charging
from ledger.sealing import Sealing
from resources.platform import platform_resources

REAL = finetuning.fine_tune
WORK = {"charge": Admission, "redeem": Charging, "commit": Charging, "seal": Sealing}


def kill_at(when: str, work: str) -> None:
    """End this process as if by kill -9, before or after the ledger does that."""
    real = getattr(WORK[work], work)

    def killed(self, *given, **more):
        if when == "after":
            real(self, *given, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(WORK[work], work, killed)


def main(path: str, mode: str) -> None:
    contract = load_contract(path)
    begun = Path(path).with_name("training")

    def stand_in(contract, plan, rows, folder, progress=None, checkpoints=None, prepared=None, launch=None):
        if mode == "hang":
            begun.touch()
            time.sleep(600)
        time.sleep(1)
        (folder / "adapter.txt").write_text("an adapter", encoding="utf-8")
        return finetuning.FineTuned(folder, plan.event())

    def slow(contract, plan, rows, folder, progress=None, checkpoints=None, prepared=None, launch=None):
        def tell(step, steps):
            if step == 2:
                begun.touch()
                time.sleep(600)

        return REAL(contract, plan, rows, folder, progress=tell, checkpoints=checkpoints)

    when, _, work = mode.partition(" ")
    if work:
        kill_at(when, work)
    if work or mode in ("train", "hang"):
        finetuning.fine_tune = stand_in
        finetuning.prepare = lambda contract, plan: None
    elif mode == "slow":
        finetuning.fine_tune = slow
    rules.check_rules = lambda contract: ()
    with dg.DagsterInstance.get() as instance:
        result = dg.materialize(
            [release_asset(contract, ADAPTER)], resources=platform_resources(), instance=instance, raise_on_error=False
        )
    print(result.success and bool(result.get_asset_materialization_events()))


if __name__ == "__main__":
    main(*sys.argv[1:])
