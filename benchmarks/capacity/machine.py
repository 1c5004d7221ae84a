"""How fast a machine is, what it holds and what it costs. Knows no contract.

This machine's figures come from `units`. Those of others are what their makers publish, with shares of them that are
assumed and not measured here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """
    Attributes:
        devices: that train together, and then draw together.
        operations: a second of one device in training, by the model's parameters: (parameters, rate), by parameters.
        drawing: as `operations`, where as many texts are drawn at once as fit.
        memory: bytes of one device.
        activations: bytes for each token of a micro-batch, layer and unit of width.
        ingest, encode, vector: seconds for a record, a token of one, and a text that is made a vector.
        noise: seconds for each trained parameter of a step: its noise, the sum's exact form, the optimiser.
        link: bytes a second between devices; sums cross it as whole numbers of 8 bytes.
        efficiency: of two devices over twice one, where nothing but computing is counted.
        price: of a device's hour.
    """

    name: str
    devices: int
    operations: tuple[tuple[float, float], ...]
    drawing: tuple[tuple[float, float], ...]
    memory: float
    activations: float
    ingest: float
    encode: float
    vector: float
    noise: float
    link: float
    efficiency: float = 1.0
    price: float = 0.0

    @classmethod
    def load(cls, file: Path) -> Machine:
        """
        Raises:
            FileNotFoundError: nothing was measured yet.
        """
        said = json.loads(file.read_text(encoding="utf-8"))
        rates = {name: tuple(map(tuple, said[name])) for name in ("operations", "drawing")}
        return cls(**{**said, **rates})

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def rate(self, parameters: float, measured: tuple[tuple[float, float], ...]) -> float:
        """Between two measured sizes in proportion to the size's logarithm; beyond them, that of the nearest."""
        import numpy as np

        sizes, rates = zip(*measured, strict=True)
        return float(np.interp(np.log(parameters), np.log(sizes), rates))


def gpus(name: str, devices: int, peak: float, bandwidth: float, memory: float, price: float, here: Machine) -> Machine:
    """GPUs by their published figures: `peak` operations a second in bfloat16, `bandwidth` of memory in bytes a second.

    Assumed: 30 % of the peak in training; in drawing, where each token reads all weights for a batch of 256 texts,
    60 % of the memory's bandwidth and no more than 30 % of the peak. Ingestion stays with the processors.
    """
    training, texts = 0.3 * peak, 256
    sizes = (1e8, 1e9, 1e10, 1e11)
    by_memory = [2 * size * texts / (2 * size / (0.6 * bandwidth)) for size in sizes]
    return Machine(
        name,
        devices,
        tuple((size, training) for size in sizes),
        tuple((size, min(training, each)) for size, each in zip(sizes, by_memory, strict=True)),
        memory,
        here.activations / 2,  # in bfloat16
        here.ingest,
        here.encode,
        here.vector / 50,
        1e-9,
        5e10,
        0.9,
        price,
    )
