"""The commands of `benchmarks.capacity`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

import benchmarks.capacity as package
from benchmarks.capacity.machine import Machine, gpus
from benchmarks.capacity.simulation import predict
from benchmarks.capacity.work import MODELS, Work

_FILE = Path("capacity.json")
_RECORDS = (1e5, 1e6, 1e7, 1e8, 1e9)
# Makers' figures: operations a second in bfloat16 without sparsity, bytes a second and bytes of memory. Prices are of
# no provider: give your own with --price.
_GPUS = {"h100": (989e12, 3.35e12, 80e9), "a100": (312e12, 2.0e12, 80e9), "l4": (121e12, 0.3e12, 24e9)}


def main() -> None:
    asked = argparse.ArgumentParser(description=package.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("command", choices=("measure", "check", "predict", "table"))
    asked.add_argument(
        "--machine", default="this", help=f"this, or GPUs by their published figures: {', '.join(_GPUS)}"
    )
    asked.add_argument("--devices", type=int, default=1, help="GPUs that train together")
    asked.add_argument("--price", type=float, default=0.0, help="of a device's hour")
    asked.add_argument("--model", choices=list(MODELS), default="0.1", help="billions of parameters")
    asked.add_argument("--method", choices=("lora", "full"), default="lora")
    asked.add_argument("--records", type=float, default=1e6)
    asked.add_argument("--per-unit", type=float, default=2, help="records of a unit that are used, on average")
    asked.add_argument("--tokens", type=float, default=64, help="of a record, its prompt with it")
    asked.add_argument("--batch", type=int, default=4096, help="expected units of a step")
    asked.add_argument("--steps", type=int, default=200)
    asked.add_argument("--rows", type=float, default=50_000, help="synthetic rows")
    chosen = asked.parse_args()
    if chosen.command == "measure":
        from benchmarks.capacity.units import measure

        measure().save(_FILE)
        Console().print(f"Written to {_FILE}.")
        return
    if not _FILE.exists():
        sys.exit(f"there is no {_FILE}: `python -m benchmarks.capacity measure` makes it, in ten minutes or so")
    here = Machine.load(_FILE)
    if chosen.command == "check":
        from benchmarks.capacity.check import checked

        Console().print(checked(here))
        return
    machine = _machine(chosen.machine, chosen.devices, chosen.price, here)
    work = Work(
        MODELS[chosen.model],
        chosen.records,
        chosen.records / chosen.per_unit,
        tokens=chosen.tokens,
        used=chosen.per_unit,
        method=chosen.method,
        batch=chosen.batch,
        steps=chosen.steps,
        rows=chosen.rows,
    )
    Console().print(_one(work, machine) if chosen.command == "predict" else _many(work, machine))


def _machine(name: str, devices: int, price: float, here: Machine) -> Machine:
    if name == "this":
        return replace(here, price=price)
    if name not in _GPUS:
        sys.exit(f"unknown machine {name}: there are this, {', '.join(_GPUS)}")
    return gpus(f"{devices} x {name}", devices, *_GPUS[name], price=price, here=here)


def _one(work: Work, machine: Machine) -> Table:
    found = predict(work, machine)
    table = Table("phase", "hours", title=f"{work.model.name}, {work.records:.0e} records, {machine.name}")
    for phase, seconds in found.seconds.items():
        table.add_row(phase, f"{seconds / 3600:.2f}")
    table.add_row("together", f"{found.hours:.2f}", style="bold")
    table.caption = (
        f"a step takes {found.step:.2f} s, one in twenty over {found.slowest:.2f} s; devices compute in "
        f"{found.busy:.0%} of it; {found.memory / 1e9:.1f} GB a device"
        + ("" if found.fits else f", which has {machine.memory / 1e9:.0f}")
        + (f"; {found.price:,.0f} for all" if machine.price else "")
    )
    return table


def _many(work: Work, machine: Machine) -> Table:
    table = Table("records", *(model.name for model in MODELS.values()), title=f"hours on {machine.name}")
    for records in _RECORDS:
        cells = []
        for model in MODELS.values():
            found = predict(replace(work, model=model, records=records, units=records / work.used), machine)
            cost = f", {found.price:,.0f}" if machine.price else ""
            cells.append(f"{found.hours:,.1f}{cost}" if found.fits else f"{found.memory / 1e9:,.0f} GB: too large")
        table.add_row(f"{records:.0e}", *cells)
    return table


if __name__ == "__main__":
    main()
