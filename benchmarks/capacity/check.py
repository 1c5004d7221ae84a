"""The model held against measurements that it was not fitted to: predicted time or memory over what was measured."""

from __future__ import annotations

from dataclasses import replace

from rich.table import Table

from benchmarks.capacity import units
from benchmarks.capacity.machine import Machine
from benchmarks.capacity.simulation import predict
from benchmarks.capacity.work import Method, Work

_STEPS: tuple[tuple[str, Method, int], ...] = (
    ("gpt2", "lora", 128),
    ("gpt2", "full", 128),
    ("embedded", "full", 128),
    ("embedded", "lora", 512),
    ("smollm2", "lora", 64),
)


def checked(here: Machine) -> Table:
    """Each case, what was predicted, what was measured, and the ratio."""
    table = Table("case", "predicted", "measured", "ratio")
    for name, method, length in _STEPS:
        model = units.shape_of(name)
        seconds = units.step_operations(name, model, method, length) / here.rate(model.parameters, here.operations)
        seconds += model.trained(method) * here.noise
        _add(table, f"a step, {name}, {method}, {length} tokens: s", seconds, units.step_seconds(name, method, length))
    for name in ("embedded", "gpt2"):
        model = units.shape_of(name)
        bound = units.held(model) + units.activation_units(name, model) * here.activations
        _add(table, f"peak memory, {name}, lora: MB", bound / 1e6, units.peak(name) / 1e6)
    model = units.shape_of("smollm2")
    rate = here.rate(model.parameters, here.drawing) / model.forward(2 * units.DRAWN)
    measured = units.drawing_rate("smollm2", 2 * units.DRAWN)
    _add(table, f"drawing, smollm2, {2 * units.DRAWN} tokens: tokens a second", rate, measured)
    _add(table, "ingesting a million records: s", 1e6 * here.ingest, units.ingestion_seconds(1_000_000))
    _add(table, "a step of two processes over one's", *_two(here))
    return table


def _two(here: Machine) -> tuple[float, float]:
    """Predicted and measured, with one thread each."""
    from benchmarks import ranks

    work = Work(units.shape_of("embedded"), 1e6, 1e6, tokens=units.LENGTH, deviation=0, used=1, batch=64, steps=100)
    one, two = (predict(work, replace(here, devices=devices)).step for devices in (1, 2))
    [(_, _, ratios)] = ranks.rows()
    return two / one, sorted(ratios)[len(ratios) // 2]


def _add(table: Table, case: str, predicted: float, measured: float) -> None:
    table.add_row(case, f"{predicted:.3g}", f"{measured:.3g}", f"{predicted / measured:.2f}")
