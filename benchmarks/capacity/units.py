"""This machine's unit costs, each measured on a small piece of the product's own code.

With all threads of one process, in float32, on random weights of public shapes. Ingestion is measured as
`benchmarks.ingestion` does it, in a process of its own.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.capacity.machine import Machine
from benchmarks.capacity.work import Method, Model

LENGTH = 128  # tokens of a record
FITTED = ("embedded", "smollm2")  # to these shapes; `check` asks about others
_REPEATED = 2


def measure(records: int = 100_000) -> Machine:
    """Unit costs of this machine.

    Args:
        records: that are ingested.
    """
    shapes = {name: shape_of(name) for name in FITTED}
    largest = FITTED[-1]
    return Machine(
        name="this machine",
        devices=1,
        operations=tuple(
            (model.parameters, step_operations(name, model) / step_seconds(name)) for name, model in shapes.items()
        ),
        drawing=tuple((model.parameters, model.forward(DRAWN) * drawing_rate(name)) for name, model in shapes.items()),
        memory=float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        activations=(peak(largest) - held(shapes[largest])) / activation_units(largest, shapes[largest]),
        ingest=ingestion_seconds(records) / records,
        encode=_encoding(),
        vector=_vectors(),
        noise=_noise(),
        link=1e9,
    )


def shape_of(name: str) -> Model:
    """A shape of `benchmarks.shapes` as the model counts it."""
    from torch import nn

    from benchmarks.shapes import model_of

    model = model_of(name, "full")
    config = model.config
    matrices = sum(each.weight.numel() for each in model.modules() if isinstance(each, nn.Linear))
    convolutions = sum(each.weight.numel() for each in model.modules() if type(each).__name__ == "Conv1D")
    return Model(
        name, matrices + convolutions, config.num_hidden_layers, config.hidden_size, config.vocab_size, bytes=4
    )


def step_seconds(name: str, method: Method = "lora", length: int = LENGTH) -> float:
    """Of a private step, without its first run."""
    from benchmarks.training_step import private_step

    return _median(private_step(name, method, length))


def step_operations(name: str, model: Model, method: Method = "lora", length: int = LENGTH) -> float:
    """Of the same step."""
    return step_tokens(name, length) * model.training(length, method)


def step_tokens(name: str, length: int = LENGTH) -> int:
    from benchmarks.shapes import MICRO_BATCHES, TOKENS

    return max(1, TOKENS[name] // length) * length * MICRO_BATCHES[name]


def peak(name: str) -> float:
    """Bytes at the peak of LoRA's steps in a process of its own."""
    from benchmarks.training_step import peak_of

    return peak_of("private", name, "lora", LENGTH)


def held(model: Model) -> float:
    """Bytes that training holds whatever a micro-batch holds."""
    return model.weights + model.trained("lora") * 4 * 5


def activation_units(name: str, model: Model) -> float:
    from benchmarks.shapes import MICRO_BATCHES

    return step_tokens(name) / MICRO_BATCHES[name] * model.layers * model.width


DRAWN, _SLOTS = 64, 64  # tokens of a text, and texts at once


def drawing_rate(name: str, length: int = DRAWN) -> float:
    """Tokens a second, from random weights, which hardly ever end a text."""
    from benchmarks.generation import rates
    from benchmarks.shapes import model_of
    from dpsynth_assets.language.sampling import Decoding, sampler_for

    sampler = sampler_for(model_of(name, "full").eval(), 0, Decoding(length), _SLOTS)
    prefixes: list[tuple[int, ...]] = [(1, 2, 3, 4)] * _SLOTS
    rates(sampler, prefixes[:2], 0)
    return statistics.median(rates(sampler, prefixes, seed) for seed in range(_REPEATED))


def ingestion_seconds(records: int) -> float:
    """Of so many records, until they are bounded and handed out."""
    from benchmarks import ingestion

    with tempfile.TemporaryDirectory(prefix="dpsynth-capacity-") as made:
        folder = Path(made)
        ingestion.write(folder, records)
        return sum(ingestion.apart(phase, folder)[1] for phase in (ingestion.ingest, ingestion.read))


def _encoding() -> float:
    """Seconds for a token of a text."""
    from transformers import AutoTokenizer

    from dpsynth_assets.language.base_model import EMBEDDED_FOLDER
    from dpsynth_assets.language.objective import encode
    from dpsynth_assets.language.packed import Packed

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    texts = [f"Letter {number}: my card was lost again, and what is to be done about it?" for number in range(5000)]
    tokens = sum(len(each.ids) for each in encode(tokenizer, [(1, 2)] * len(texts), texts, LENGTH))
    return _median(lambda: Packed.of(encode(tokenizer, [(1, 2)] * len(texts), texts, LENGTH))) / tokens


def _vectors() -> float:
    """Seconds for a text that is made a vector."""
    from dpsynth_assets.classify.encoder import MiniLM

    encoder = MiniLM()
    texts = [f"Letter {number}: my card was lost again, and what is to be done about it?" for number in range(256)]
    return _median(lambda: encoder.encode(texts)) / len(texts)


def _noise() -> float:
    """Seconds for a trained parameter of a step: noise on the exact grid, and AdamW."""
    import torch

    from dpsynth_assets.privacy.noise import GaussianNoise

    values = torch.nn.Parameter(torch.zeros(1_000_000))
    noise, optimiser = GaussianNoise(1.0), torch.optim.AdamW([values])

    def step() -> None:
        sums = [torch.zeros(1_000_000)]
        noise.add_(sums)
        values.grad = sums[0].to(values.dtype)
        optimiser.step()

    return _median(step) / values.numel()


def _median(run: Callable[[], Any]) -> float:
    run()
    seconds = []
    for _ in range(_REPEATED):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)
