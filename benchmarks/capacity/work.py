"""What has to be done for a release and its corpus, counted in operations and bytes. Knows no machine.

Counts are those of a decoder: a pass forward takes 2 operations a token for each parameter that multiplies, and
attention 4 for each layer, width and token that is looked back at (Kaplan et al. 2020, table 1). Backward takes as much
again for the activations, and once more for the weights where all of them are trained. What clipping adds to that is
in the measured rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Model:
    """A decoder's shape.

    Attributes:
        parameters: that multiply: all but looked-up tables; the output matrix counts.
        layers, width, vocabulary: of it.
        bytes: of one parameter as it is held.
    """

    name: str
    parameters: float
    layers: int
    width: int
    vocabulary: int
    bytes: int = 2

    @property
    def weights(self) -> float:
        """Bytes of its weights."""
        return self.parameters * self.bytes

    def forward(self, length: float) -> float:
        """Operations of one token in a text of that length, on average."""
        return 2 * self.parameters + 2 * self.layers * self.width * length  # half of a text is looked back at

    def training(self, length: float, method: Method) -> float:
        """Operations of one token, forward and backward."""
        return self.forward(length) * (3 if method == "full" else 2)

    def trained(self, method: Method, rank: int = 8) -> float:
        """Parameters that are trained; LoRA has a pair of matrices at each of a layer's seven linear maps."""
        return self.parameters if method == "full" else 7 * 2 * rank * self.width * 1.5 * self.layers


Method = Literal["lora", "full"]

# SmolLM2's shape, and those of Llama's kind at usual sizes, by billions of parameters.
MODELS = {
    "0.1": Model("0.135 B", 134.5e6, 30, 576, 49152),
    "1": Model("1 B", 1.2e9, 16, 2048, 128256),
    "8": Model("8 B", 8.0e9, 32, 4096, 128256),
    "30": Model("30 B", 30e9, 60, 6656, 128256),
}


@dataclass(frozen=True)
class Work:
    """A contract, in numbers.

    Attributes:
        records: of the source, of so many units.
        tokens: of one record, its prompt with it, on average; deviation as a share of it.
        used: records of a unit that enter a step, on average.
        batch: units of a step, expected.
        rows: to be drawn, of `tokens` each.
        micro_batch: tokens that are computed at once.
    """

    model: Model
    records: float
    units: float
    tokens: float = 64
    deviation: float = 0.5
    used: float = 2
    method: Method = "lora"
    batch: int = 4096
    steps: int = 200
    rows: float = 50_000
    micro_batch: int = 4096

    @property
    def encoded(self) -> float:
        """Bytes of the encoded records that training holds: those that are used."""
        return min(self.records, self.units * self.used) * (self.tokens * 4 + 24)

    @property
    def sampling_probability(self) -> float:
        return min(1.0, self.batch / self.units)
