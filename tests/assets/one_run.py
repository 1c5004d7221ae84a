"""Runs the small contract's source and adapter in a process of its own: `one_run.py CONTRACT MODE`.

MODE is `train` (a training stand-in that takes a moment) or `hang` (one that says it has begun and never ends). Prints
`True` or `False` for success. The tests start it, sometimes twice at once, and sometimes kill it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import dagster as dg

from dpsynth_assets.assets.adapter import adapter_asset
from dpsynth_assets.contract import load_contract
from dpsynth_assets.language import base_model, finetuning
from dpsynth_assets.quality import rules
from resources.platform import platform_resources


def main(path: str, mode: str) -> None:
    contract = load_contract(path)

    def fine_tune(contract, plan, frame, folder, progress=None):
        if mode == "hang":
            Path(path).with_name("training").touch()
            time.sleep(600)
        time.sleep(1)
        (folder / "adapter.txt").write_text("an adapter", encoding="utf-8")
        return finetuning.FineTuned(folder, plan.event())

    finetuning.fine_tune = fine_tune
    base_model.load_base_model = lambda name: None
    rules.check_rules = lambda contract: ()
    with dg.DagsterInstance.get() as instance:
        result = dg.materialize(
            [adapter_asset(contract)], resources=platform_resources(), instance=instance, raise_on_error=False
        )
    print(result.success)


if __name__ == "__main__":
    main(*sys.argv[1:])
