"""Draws short texts in one process and by the workers of a Ray cluster, one of which is killed midway, and compares.

    python -m benchmarks.ray_workers --rows 100000 --workers 2

Needs `pip install 'ray>=2.60,<3'`. The embedded model as it comes, one thread in each process. Exit code 1 where
a row is lost, doubled or another one than in one process.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dpsynth_assets.language.local_writer import LocalModel, writing
from dpsynth_assets.language.sampling import Decoding
from dpsynth_assets.language.writing import Request
from resources.ray_workers import RayPool

LABELS = ("refund", "war", "flight", "hotel")
SHARD = 2048  # texts, as in `dpsynth_assets.language.generation`
SLOTS = 256
WORKER = "ray::Worker"


def shards_of(rows: int) -> list[dict[str, Any]]:
    """So many requests, cut into shards, each with a seed of its own."""
    asked = [asdict(Request(f"topic: {LABELS[row % len(LABELS)]}")) for row in range(rows)]
    cut = [asked[start : start + SHARD] for start in range(0, rows, SHARD)]
    return [{"requests": requests, "seed": seed} for seed, requests in enumerate(cut)]


def setup_of(longest: int) -> dict[str, Any]:
    return asdict(LocalModel("embedded", None, None, None, Decoding(longest, top_p=0.95), SLOTS, bfloat16=False))


def by_one(setup: Mapping[str, Any], shards: Sequence[Any]) -> list[list[str]]:
    """The texts of each shard, drawn here."""
    import torch

    torch.set_num_threads(1)
    write = writing(setup)
    return [write(shard) for shard in shards]


def by_workers(
    setup: Mapping[str, Any], shards: Sequence[Any], workers: int, kill_after: int
) -> tuple[list[list[list[str]]], int]:
    """What came for each shard, which should be one list of texts, and how many workers were killed on the way."""
    pool, killed = RayPool(workers), 0
    came: list[list[list[str]]] = [[] for _ in shards]
    try:
        with closing(pool.map("dpsynth_assets.language.local_writer:writing", setup, {}, shards)) as results:
            for count, (place, texts) in enumerate(results, 1):
                came[place].append(texts)
                if count == kill_after:
                    os.kill(next(running_workers()), signal.SIGKILL)
                    killed += 1
    finally:
        pool.close()
    return came, killed


def running_workers() -> Iterator[int]:
    """The workers of clusters that this process started, by their numbers."""
    drivers = {pid for pid, name, parent, _ in _processes() if parent == os.getpid()}
    for pid, name, _, session in _processes():
        if session in drivers and name.startswith(WORKER):
            yield pid


def _processes() -> Iterator[tuple[int, str, int, int]]:
    """Number, name, parent and session of each."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        yield int(folder.name), name, int(fields[1]), int(fields[3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--longest", type=int, default=8, help="tokens of a text")
    chosen = parser.parse_args()
    shards, setup = shards_of(int(chosen.rows)), setup_of(chosen.longest)
    started = time.perf_counter()
    came, killed = by_workers(setup, shards, chosen.workers, kill_after=len(shards) // 2)
    in_workers = time.perf_counter() - started
    started = time.perf_counter()
    alone = by_one(setup, shards)
    in_one = time.perf_counter() - started
    rows = [text for texts in alone for text in texts]
    lost = sum(len(texts) for texts, found in zip(alone, came, strict=True) if not found)
    doubled = sum(len(texts) for found in came for texts in found[1:])
    drawn = [text for found in came for text in (found[0] if found else ())]
    others = sum(one != other for one, other in zip(rows, drawn, strict=True)) if not lost else len(rows)
    print(
        f"{len(drawn)} rows in {len(shards)} shards by {chosen.workers} workers, {killed} of them killed: "
        f"{lost} lost, {doubled} doubled, {others} other than in one process; {len(set(drawn))} distinct. "
        f"{in_workers:.0f} s with the start of the cluster, {in_one:.0f} s in one process"
    )
    sys.exit(1 if lost or doubled or others or killed != 1 else 0)


if __name__ == "__main__":
    main()
