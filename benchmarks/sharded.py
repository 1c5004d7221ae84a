"""A step of two processes that hold the base model in shards over the same with the model whole in each: memory, time.

    python -m benchmarks sharded
    python -m benchmarks.sharded --layers 24 --width 1024 --records 16

The model is a Llama of random weights, made on the spot and stored in bfloat16, with a low-rank adapter; it is computed
in float32. Of memory: the peak of one process beyond what it has before it loads, once while it loads and once over
loading and three steps. Files count nothing: their pages are the system's to take back.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.pairs import PAIRS, paired_ratios

Row = tuple[str, str, list[float]]
_LENGTH = 64  # tokens of a record
_LOOK = 0.002  # seconds between two looks at the memory


def rows(layers: int = 16, width: int = 1024, records: int = 4, pairs: int = PAIRS) -> Iterator[Row]:
    from torch.multiprocessing.spawn import spawn

    from dpsynth_assets.language.in_ranks import GIVEN_BACK

    with tempfile.TemporaryDirectory() as folder:
        numbers = _save_model(Path(folder, "model"), layers, width)
        said = {}
        for sharded in (False, True):
            os.environ |= GIVEN_BACK if sharded else {}  # as `in_ranks` starts them
            place = Path(folder, "sharded" if sharded else "whole")
            place.mkdir()
            spawn(_measured, (str(place), f"{folder}/model", records, sharded), nprocs=2)
            said[sharded] = [json.loads((place / f"{rank}.json").read_text()) for rank in range(2)]
        place = Path(folder, "times")
        place.mkdir()
        spawn(_timed, (str(place), f"{folder}/model", records, pairs), nprocs=2)
        times = json.loads((place / "ratios.json").read_text())
    name = f"{numbers / 1e6:.0f} million parameters in shards, two processes"
    for what in ("loading", "in all"):
        ratios = [one[what] / other[what] for one, other in zip(said[True], said[False], strict=True)]
        yield f"{name}: peak of memory of one, {what}", f"whole in each, {said[False][0][what] / 2**20:.0f} MiB", ratios
    yield f"{name}: time of a step", "whole in each", times


def _save_model(folder: Path, layers: int, width: int) -> int:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from dpsynth_assets.language.base_model import EMBEDDED_FOLDER

    tokenizer: Any = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
    )
    model: Any = LlamaForCausalLM(config)
    numbers: int = sum(parameter.numel() for parameter in model.parameters())
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return numbers


def _joined(rank: int, folder: str) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)


def _step_of(name: str, records: int, *, sharded: bool) -> Callable[[], object]:
    """Clipped sums of one micro-batch: what a step has of work with the model."""
    import torch

    from dpsynth_assets.language.base_model import load_base_model
    from dpsynth_assets.language.objective import Encoded
    from dpsynth_assets.language.packed import Packed
    from dpsynth_assets.language.sharding import load_in_shards
    from dpsynth_assets.language.trainable import attach_adapter
    from dpsynth_assets.language.units import TextUnits
    from dpsynth_assets.privacy.clipping.engine import ClippedSum
    from dpsynth_assets.privacy.clipping_methods import FlatClipping

    base, tokenizer = load_in_shards(name, bfloat16=False) if sharded else load_base_model(name)
    plan: Any = SimpleNamespace(method="lora", rank=8, alpha=16.0, base_model=name)
    model = attach_adapter(base, plan).train()
    ids = torch.randint(3, len(tokenizer), (records, _LENGTH), generator=torch.Generator().manual_seed(0))
    data = TextUnits(Packed.of([Encoded(tuple(row.tolist()), 2) for row in ids]), 0, prefix=2)
    clipped = ClippedSum(model, FlatClipping(1.0))

    def step() -> object:
        clipped.add(data.losses(model, range(records)), [1] * records)
        return clipped.take()

    return step


def _measured(rank: int, folder: str, name: str, records: int, sharded: bool) -> None:
    import torch.distributed as dist

    _joined(rank, folder)
    _step_of("embedded", 2, sharded=False)()  # what the libraries take by themselves
    with _Peak() as peak:
        step = _step_of(name, records, sharded=sharded)
        loading = peak.bytes
        for _ in range(3):
            step()
    Path(folder, f"{rank}.json").write_text(json.dumps({"loading": loading, "in all": peak.bytes}))
    dist.destroy_process_group()


def _timed(rank: int, folder: str, name: str, records: int, pairs: int) -> None:
    import torch.distributed as dist

    _joined(rank, folder)
    whole, sharded = (_step_of(name, records, sharded=each) for each in (False, True))

    def both(step: Callable[[], object]) -> Callable[[], object]:
        """A step is over when it is on both."""

        def run() -> None:
            step()
            dist.barrier()

        return run

    ratios = paired_ratios(both(sharded), both(whole), pairs)
    if rank == 0:
        Path(folder, "ratios.json").write_text(json.dumps(ratios))
    dist.destroy_process_group()


class _Peak:
    """The most memory of its own that this process had, beyond what it has now. Looks often; Linux only."""

    def __init__(self) -> None:
        self.bytes = 0
        self._before = _own_memory()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            self.bytes = max(self.bytes, _own_memory() - self._before)
            time.sleep(_LOOK)


def _own_memory() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--records", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    chosen = parser.parse_args()
    for measured, reference, ratios in rows(chosen.layers, chosen.width, chosen.records, chosen.pairs):
        ordered = sorted(ratios)
        median = ordered[len(ordered) // 2]
        print(f"{measured} over {reference}: {median:.2f} ({ordered[0]:.2f} to {ordered[-1]:.2f})")


if __name__ == "__main__":
    main()
