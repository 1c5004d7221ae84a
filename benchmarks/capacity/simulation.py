"""A contract on a machine, phase by phase, with its steps drawn as the sampler would.

Each step's units are a Poisson sample, shared out over devices as ranks share them; their records differ in length. A
step ends when the last device has added up its share, the sums have met, and one device has added the noise and taken
the optimiser's step (`docs/decisions/0037-ranks.md`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.capacity.machine import Machine
from benchmarks.capacity.work import Work

_SIMULATED = 500  # steps at most; more are as these


@dataclass(frozen=True)
class Prediction:
    """Seconds of each phase, bytes of one device at the peak, and the price of all devices for all of the time.

    Attributes:
        step: seconds of a step, median.
        slowest: of twenty steps.
        busy: of all devices' time in training, the share in which they compute.
    """

    seconds: dict[str, float]
    memory: float
    fits: bool
    price: float
    step: float
    slowest: float
    busy: float

    @property
    def hours(self) -> float:
        return sum(self.seconds.values()) / 3600


def predict(work: Work, machine: Machine, seed: int = 0) -> Prediction:
    """
    Args:
        seed: of the simulated steps; the same gives the same.
    """
    steps, computing = _steps(work, machine, np.random.default_rng(seed))
    drawn = work.rows * work.tokens * work.model.forward(work.tokens)
    drawing = machine.rate(work.model.parameters, machine.drawing) * machine.devices
    seconds = {
        "ingestion": work.records * machine.ingest,
        "encoding": min(work.records, work.units * work.used) * work.tokens * machine.encode,
        "training": float(steps.mean()) * work.steps,
        "drawing": drawn / drawing,
        "vectors and checks": work.rows * machine.vector,
    }
    trained = work.model.trained(work.method)
    memory = (
        work.model.weights
        + trained * 4 * 5  # itself, its sum, its gradient and the optimiser's two
        + work.micro_batch * work.model.layers * work.model.width * machine.activations
        + work.encoded / machine.devices
    )
    hours = sum(seconds.values()) / 3600
    return Prediction(
        seconds,
        memory,
        memory <= machine.memory,
        hours * machine.devices * machine.price,
        float(np.median(steps)),
        float(np.quantile(steps, 0.95)),
        float(computing.mean() / (steps.mean() * machine.devices)),
    )


def _steps(work: Work, machine: Machine, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of simulated steps, and the seconds in which devices compute in them, all devices together."""
    number, devices = min(work.steps, _SIMULATED), machine.devices
    units = rng.binomial(int(work.units // devices), work.sampling_probability, (number, devices))
    records = units * work.used
    tokens = np.maximum(0.0, rng.normal(records * work.tokens, np.sqrt(records) * work.tokens * work.deviation))
    rate = machine.rate(work.model.parameters, machine.operations) * (machine.efficiency if devices > 1 else 1)
    computing = tokens * work.model.training(work.tokens, work.method) / rate
    trained = work.model.trained(work.method)
    meeting = 0.0 if devices == 1 else trained * (8 + 4) / machine.link * np.ceil(np.log2(devices))
    return computing.max(1) + meeting + trained * machine.noise, computing.sum(1)
