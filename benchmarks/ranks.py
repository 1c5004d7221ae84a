"""One DP-SGD step of two processes over the same step of one, each with one thread: what a second processor is worth.

    python -m benchmarks ranks
    python -m benchmarks.ranks smollm2 --methods lora,full

Half of the ratio's inverse is the efficiency: 0.5 would be a second processor that is used in full. Everything but
sampling is in it: parameters handed out, clipped sums added up, noise, the optimiser's step.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.pairs import PAIRS, paired_ratios

Row = tuple[str, str, list[float]]
_LENGTH = 128  # tokens of a record
_BATCHES = 8  # of a step, each a quarter of those of `benchmarks.shapes`


def rows(
    shapes: Sequence[str] = ("embedded",), methods: Sequence[str] = ("lora",), pairs: int = PAIRS
) -> Iterator[Row]:
    from torch.multiprocessing.spawn import spawn

    for shape in shapes:
        for method in methods:
            with tempfile.TemporaryDirectory() as folder:
                spawn(_rank, (folder, shape, method, pairs), nprocs=2)
                ratios = json.loads(Path(folder, "ratios.json").read_text())
            yield f"{shape}, {method}, {_LENGTH} tokens: time of two processes", "one process", ratios


def _rank(rank: int, folder: str, shape: str, method: str, pairs: int) -> None:
    import torch
    import torch.distributed as dist

    from benchmarks.shapes import PREFIX, batches, model_of
    from dpsynth_assets.language.objective import Encoded
    from dpsynth_assets.language.packed import Packed
    from dpsynth_assets.language.units import TextUnits
    from dpsynth_assets.privacy.clipping.engine import ClippedSum
    from dpsynth_assets.privacy.clipping_methods import FlatClipping
    from dpsynth_assets.privacy.noise import GaussianNoise
    from dpsynth_assets.privacy.ranks import Ranks

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    ranks = Ranks()
    model = model_of(shape, method)
    records = [Encoded(tuple(row.tolist()), PREFIX) for part in batches(model, shape, _LENGTH) for row in part]
    data = TextUnits(Packed.of(records), 0, prefix=PREFIX)
    size = max(1, len(records) // _BATCHES)
    clipped = ClippedSum(model, FlatClipping(1.0))
    noise = GaussianNoise(1.0)
    optimiser = torch.optim.AdamW(clipped.parameters, lr=1e-6, weight_decay=0.0)

    def add(parts: int, part: int) -> list[torch.Tensor]:
        """The sum over one of so many parts of the micro-batches."""
        for start in range(part * size, len(records), parts * size):
            clipped.add(data.losses(model, range(start, start + size)), [1] * size)
        return clipped.take()

    def finish(sums: list[torch.Tensor]) -> None:
        noise.add_(sums)
        for parameter, total in zip(clipped.parameters, sums, strict=True):
            parameter.grad = total.div_(len(records)).to(parameter.dtype)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def by_one() -> None:
        finish(add(1, 0))

    def by_two() -> None:
        ranks.hand_out(clipped.parameters)
        sums = add(2, 0)
        ranks.add_up(sums)
        finish(sums)

    if ranks.lead:
        ratios = paired_ratios(by_two, by_one, pairs)
        ranks.dismiss(clipped.parameters)
        Path(folder, "ratios.json").write_text(json.dumps(ratios))
    else:
        while ranks.receive(clipped.parameters):
            ranks.add_up(add(2, 1))
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=["embedded"])
    parser.add_argument("--methods", default="lora")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    chosen = parser.parse_args()
    for measured, reference, ratios in rows(chosen.shapes, chosen.methods.split(","), chosen.pairs):
        ordered = sorted(ratios)
        median = ordered[len(ordered) // 2]
        print(f"{measured} over {reference}: {median:.2f} ({ordered[0]:.2f} to {ordered[-1]:.2f})")


if __name__ == "__main__":
    main()
