"""One DP-SGD step over one step without privacy: the same parameters, records and micro-batches; and Opacus' steps.

    python -m benchmarks training_step                                    # the embedded model's shape
    python -m benchmarks.training_step gpt2 --methods lora,full --lengths 128,512

The step without privacy is an ordinary one: the stock forward pass of transformers and peft, its logits,
cross-entropy, AdamW. The private one is the product's: loss in chunks, clipped sum, noise, AdamW. Records fill their
length, so that no side gains by padding. Peak memory is that of a fresh process that runs two steps, over what it had
before the model was built, each side in its own process, and includes weights and optimiser.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.pairs import PAIRS, paired_ratios
from benchmarks.shapes import METHODS, SHAPES, VOCABULARY, model_of

TOKENS = {"embedded": 2048, "gpt2": 1024}  # of a micro-batch
MICRO_BATCHES = {"embedded": 4, "gpt2": 2}  # of a step
PREFIX = 2

Row = tuple[str, str, list[float]]


def private_step(shape: str, method: str, length: int) -> Callable[[], None]:
    """The product's step."""
    import torch

    from dpsynth_assets.language.finetuning import TextUnits
    from dpsynth_assets.language.objective import Encoded
    from dpsynth_assets.privacy.clipping.engine import ClippedSum
    from dpsynth_assets.privacy.noise import GaussianNoise
    from dpsynth_assets.privacy.strategies import FlatClipping

    model = model_of(shape, method)
    batches = _batches(shape, length)
    records = [Encoded(tuple(row.tolist()), PREFIX) for batch in batches for row in batch]
    data = TextUnits(records, list(range(len(records))), 0)
    clipped = ClippedSum(model, FlatClipping(1.0))
    noise = GaussianNoise(1.0)
    optimiser = torch.optim.AdamW(clipped.parameters, lr=1e-6, weight_decay=0.0)
    size = len(batches[0])

    def step() -> None:
        for start in range(0, len(records), size):
            clipped.add(data.losses(model, range(start, start + size)), [1] * size)
        sums = clipped.take()
        noise.add_(sums)
        for parameter, total in zip(clipped.parameters, sums, strict=True):
            parameter.grad = total.div_(len(records))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def ordinary_step(shape: str, method: str, length: int) -> Callable[[], None]:
    """Training without privacy as anybody would write it."""
    import torch
    import torch.nn.functional as F  # noqa: N812 - its usual name

    model = model_of(shape, method)
    batches = _batches(shape, length)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-6, weight_decay=0.0)
    records = sum(len(batch) for batch in batches)

    def step() -> None:
        for ids in batches:
            logits = model(input_ids=ids, use_cache=False).logits[:, -length:]
            losses = F.cross_entropy(logits[:, PREFIX - 1 : -1].flatten(0, 1), ids[:, PREFIX:].flatten())
            (losses * len(ids) / records).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def opacus_step(shape: str, method: str, length: int) -> Callable[[], None]:
    """Opacus' hooks: per-example gradients, clipped and summed as Opacus does, noise of torch."""
    import torch
    import torch.nn.functional as F  # noqa: N812 - its usual name
    from opacus.grad_sample import GradSampleHooks

    model = model_of(shape, method)
    hooks = GradSampleHooks(model, batch_first=True, loss_reduction="sum", strict=False)
    parameters = [p for p in model.parameters() if p.requires_grad]
    batches = _batches(shape, length)
    optimiser = torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0)
    records = sum(len(batch) for batch in batches)

    def step() -> None:
        sums = [torch.zeros_like(p) for p in parameters]
        for ids in batches:
            inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
            if method == "full" and shape == "gpt2":
                inputs["position_ids"] = torch.arange(length).expand_as(ids)
            logits = model(**inputs).logits[:, -length:]
            losses = F.cross_entropy(logits[:, PREFIX - 1 : -1].transpose(1, 2), ids[:, PREFIX:], reduction="none")
            losses.mean(1).sum().backward()
            samples = [_sample(p) for p in parameters]
            norms = torch.stack([s.flatten(1).norm(dim=1) for s in samples]).norm(dim=0)
            factors = (1.0 / (norms + 1e-6)).clamp(max=1.0)
            for total, sample in zip(sums, samples, strict=True):
                total += torch.tensordot(factors, sample, dims=1)
            for parameter in parameters:
                parameter.grad_sample = parameter.grad = None
        for parameter, total in zip(parameters, sums, strict=True):
            parameter.grad = (total + torch.normal(0.0, 1.0, total.shape)) / records
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    step.hooks = hooks  # type: ignore[attr-defined]  # kept alive
    return step


STEPS = {"private": private_step, "ordinary": ordinary_step, "opacus": opacus_step}


def _sample(parameter: Any) -> Any:
    """Opacus' per-example gradient; a list of them where a weight is used twice."""
    sample = parameter.grad_sample
    return sum(sample) if isinstance(sample, list) else sample


def rows(
    shapes: Sequence[str] = ("embedded",),
    methods: Sequence[str] = METHODS,
    lengths: Sequence[int] = (128, 512),
    opacus: bool = True,
    pairs: int = PAIRS,
) -> Iterator[Row]:
    """Time and memory of each method."""
    for shape in shapes:
        for method in methods:
            for length in lengths:
                name = f"{shape}, {method}, {length} tokens"
                ordinary = ordinary_step(shape, method, length)
                yield f"{name}: time", "no privacy", paired_ratios(private_step(shape, method, length), ordinary, pairs)
                if opacus and not (shape == "gpt2" and method == "full") and method != "prompt":
                    yield (
                        f"{name}: time of Opacus' hooks",
                        "no privacy",
                        paired_ratios(opacus_step(shape, method, length), ordinary, pairs),
                    )
                del ordinary
                peaks = {side: _peak(side, shape, method, length) for side in ("private", "ordinary")}
                yield f"{name}: peak memory", "no privacy", [peaks["private"] / peaks["ordinary"]]


def _batches(shape: str, length: int) -> list[Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    size = (max(1, TOKENS[shape] // length), length)
    return [torch.randint(3, VOCABULARY[shape], size, generator=generator) for _ in range(MICRO_BATCHES[shape])]


def _peak(side: str, shape: str, method: str, length: int) -> float:
    """Bytes at the peak of two steps in a fresh process, over what importing takes."""
    # Freed memory goes back at once, so that the process's size follows what is in use.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-m", "benchmarks.training_step", shape, "--methods", method, "--lengths", str(length)]
    done = subprocess.run([*command, "--peak", side], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _print_peak(side: str, shape: str, method: str, length: int) -> None:
    import opacus
    import peft
    import transformers

    import dpsynth_assets.language.finetuning

    del opacus, peft, transformers, dpsynth_assets
    step = STEPS[side]
    before = _memory("VmRSS")
    run = step(shape, method, length)
    run()
    run()
    print(_memory("VmHWM") - before)


def _memory(what: str) -> int:
    """VmRSS or VmHWM (its peak) in bytes. Not getrusage's, which a child process inherits from its parent."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return 1024 * int(line.split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", default=list(SHAPES))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--lengths", default="128,512")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--no-opacus", action="store_true")
    parser.add_argument("--peak", choices=list(STEPS), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    methods, lengths = chosen.methods.split(","), [int(length) for length in chosen.lengths.split(",")]
    if chosen.peak:
        _print_peak(chosen.peak, chosen.shapes[0], methods[0], lengths[0])
        return
    for measured, reference, ratios in rows(chosen.shapes, methods, lengths, not chosen.no_opacus, chosen.pairs):
        ordered = sorted(ratios)
        median = ordered[len(ordered) // 2]
        print(f"{measured} | {reference} | {median:.3f} | {ordered[0]:.3f} to {ordered[-1]:.3f}", flush=True)


if __name__ == "__main__":
    main()
