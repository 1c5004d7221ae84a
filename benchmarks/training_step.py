"""One DP-SGD step over one step without privacy: the same parameters, records and micro-batches; and Opacus' modes.

    python -m benchmarks training_step                                    # the embedded model's shape
    python -m benchmarks.training_step gpt2 --methods lora,full --lengths 128,512

The step without privacy is an ordinary one: the stock forward pass of transformers and peft, its logits,
cross-entropy, AdamW. The private one is the product's: loss in chunks, clipped sum, noise, AdamW. Records fill their
length, so that no side gains by padding. Peak memory is that of a fresh process that runs two steps, over what it had
before the model was built, each side in its own process, and includes weights and optimiser; on a GPU, that of its
allocated memory. With a GPU the same runs there, and a Llama of a billion parameters in bfloat16 too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.opacus_steps import MODES, obstacle, opacus_step
from benchmarks.pairs import PAIRS, paired_ratios
from benchmarks.shapes import METHODS, PREFIX, SHAPES, batches, device, model_of

Row = tuple[str, str, list[float]]


def private_step(shape: str, method: str, length: int, *, bfloat16: bool = False) -> Callable[[], None]:
    """The product's step."""
    import torch

    from dpsynth_assets.language.objective import Encoded
    from dpsynth_assets.language.packed import Packed
    from dpsynth_assets.language.rounding import round_frozen_layers
    from dpsynth_assets.language.units import TextUnits
    from dpsynth_assets.privacy.clipping.engine import ClippedSum
    from dpsynth_assets.privacy.clipping_methods import FlatClipping
    from dpsynth_assets.privacy.noise import GaussianNoise

    model = model_of(shape, method)
    parts = batches(model, shape, length)
    records = [Encoded(tuple(row.tolist()), PREFIX) for part in parts for row in part]
    data = TextUnits(Packed.of(records), 0, prefix=PREFIX, bfloat16=bfloat16)
    if bfloat16:
        round_frozen_layers(model)
    clipped = ClippedSum(model, FlatClipping(1.0))
    noise = GaussianNoise(1.0)
    optimiser = torch.optim.AdamW(clipped.parameters, lr=1e-6, weight_decay=0.0)
    size = len(parts[0])

    def step() -> None:
        for start in range(0, len(records), size):
            clipped.add(data.losses(model, range(start, start + size)), [1] * size)
        sums = clipped.take()
        noise.add_(sums)
        for parameter, total in zip(clipped.parameters, sums, strict=True):
            parameter.grad = total.div_(len(records)).to(parameter.dtype)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def ordinary_step(shape: str, method: str, length: int, *, bfloat16: bool = False) -> Callable[[], None]:
    """Training without privacy as anybody would write it; in bfloat16, under autocast."""
    import torch
    import torch.nn.functional as F  # noqa: N812 - its usual name

    model = model_of(shape, method)
    parts = batches(model, shape, length)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-6, weight_decay=0.0)
    records = sum(len(part) for part in parts)

    def step() -> None:
        for ids in parts:
            with torch.autocast(device(), torch.bfloat16, enabled=bfloat16):
                logits = model(input_ids=ids, use_cache=False).logits[:, -length:]
                losses = F.cross_entropy(logits[:, PREFIX - 1 : -1].flatten(0, 1), ids[:, PREFIX:].flatten())
            (losses * len(ids) / records).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


STEPS: dict[str, Callable[[str, str, int], Callable[[], None]]] = {
    "private": private_step,
    "ordinary": ordinary_step,
    "private_bfloat16": partial(private_step, bfloat16=True),
    "ordinary_bfloat16": partial(ordinary_step, bfloat16=True),
    **{f"opacus_{mode}": partial(opacus_step, mode) for mode in MODES},
}


def rows(
    shapes: Sequence[str] = ("embedded",),
    methods: Sequence[str] = METHODS,
    lengths: Sequence[int] = (128, 512),
    opacus: Sequence[str] = MODES,
    pairs: int = PAIRS,
    memory: bool = True,
    bfloat16: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Row]:
    """Time and memory of each method; with no pairs, memory alone.

    Where Opacus cannot do it, no ratios, and the reason in place of the reference.
    """
    for shape, method, length in product(shapes, methods, lengths):
        name = f"{shape}, {method}, {length} tokens{', bfloat16' if bfloat16 else ''}"
        private_side, ordinary_side = (f"{side}_bfloat16" if bfloat16 else side for side in ("private", "ordinary"))
        if pairs:
            ordinary = STEPS[ordinary_side](shape, method, length)
            private = STEPS[private_side](shape, method, length)
            yield f"{name}: time", "no privacy", paired_ratios(private, ordinary, pairs, clock)
            del private
            for mode in opacus:
                reason, ratios = obstacle(mode, shape, method), []
                if reason is None:
                    ratios = paired_ratios(opacus_step(mode, shape, method, length), ordinary, pairs, clock)
                yield f"{name}: time of Opacus, {mode}", reason or "no privacy", ratios
            del ordinary
        if memory:
            peaks = {side: peak_of(side, shape, method, length) for side in (private_side, ordinary_side)}
            print(*(f"{side}: {peak / 2**30:.2f} GiB" for side, peak in peaks.items()), flush=True)
            yield f"{name}: peak memory", "no privacy", [peaks[private_side] / peaks[ordinary_side]]


def peak_of(side: str, shape: str, method: str, length: int) -> float:
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
    import torch

    step = STEPS[side]
    before = _memory("VmRSS")
    run = step(shape, method, length)
    run()
    run()
    print(torch.cuda.max_memory_allocated() if device() == "cuda" else _memory("VmHWM") - before)


def _memory(what: str) -> int:
    """VmRSS or VmHWM (its peak) in bytes. Not getrusage's, which a child process inherits from its parent."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return 1024 * int(line.split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", default=[s for s in SHAPES if s != "llama_1b" or device() == "cuda"])
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--lengths", default="128,512")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="0: memory alone")
    parser.add_argument("--processor-time", action="store_true", help="for a machine that other work shares")
    parser.add_argument("--opacus", default=",".join(MODES), help="its modes that are timed")
    parser.add_argument("--bfloat16", action="store_true", help="the passes of both sides; not of Opacus")
    parser.add_argument("--no-opacus", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--peak", choices=list(STEPS), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    methods, lengths = chosen.methods.split(","), [int(length) for length in chosen.lengths.split(",")]
    if chosen.peak:
        _print_peak(chosen.peak, chosen.shapes[0], methods[0], lengths[0])
        return
    modes = [] if chosen.no_opacus or chosen.bfloat16 else chosen.opacus.split(",")
    clock = time.process_time if chosen.processor_time else time.perf_counter
    figures = rows(chosen.shapes, methods, lengths, modes, chosen.pairs, not chosen.no_memory, chosen.bfloat16, clock)
    for measured, reference, ratios in figures:
        if not ratios:
            print(f"{measured} | cannot: {reference}", flush=True)
            continue
        ordered = sorted(ratios)
        median = ordered[len(ordered) // 2]
        print(f"{measured} | {reference} | {median:.3f} | {ordered[0]:.3f} to {ordered[-1]:.3f}", flush=True)


if __name__ == "__main__":
    main()
