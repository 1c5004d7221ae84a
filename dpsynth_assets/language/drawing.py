"""How shards of texts are drawn: what is asked for each text, and who writes it, in this process or in a pool.

A shard is so many label combinations and a seed of its own. What is drawn depends on these, the model and the machine,
so shards may be drawn anywhere, in any order, and again. Knows no row and no file.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dpsynth_assets.language.writers import work_of, writer_of
from dpsynth_assets.language.writing import Request
from dpsynth_assets.privacy.histogram import Cell

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.shards import Pool

Shard = tuple[Sequence[Cell], int]  # label combinations, and the seed
Ask = Callable[[Sequence[Cell], int], list[Request]]  # of one shard
Told = Callable[[int], None]  # how many texts of a shard are ready, where that can be told before it ends
Draw = Callable[[Sequence[Shard], Told], Generator[tuple[int, list[str]]]]
"""Gives each shard's place and texts as they end. Close the iterator where not all of it is taken."""


def shard_drawing(
    contract: Contract,
    adapter: Path | None,
    precision: Literal["float32", "bfloat16"],
    ask: Ask,
    pool: Pool | None = None,
) -> Draw:
    """What draws shards with the contract's writer.

    Args:
        adapter: the folder of its adapter, if that is to write.
        precision: of a local model's passes.
        pool: draws where a model of this machine writes; a server is asked by this process, many texts at once.

    Raises:
        BaseModelError: a local model cannot be had.
    """
    work = None if pool is None else work_of(contract, adapter, precision)
    if pool is None or work is None:
        writer = writer_of(contract, adapter, precision)
        return one_by_one(lambda cells, seed, told: writer.write(ask(cells, seed), seed, told))

    def draw(shards: Sequence[Shard], told: Told) -> Generator[tuple[int, list[str]]]:
        del told  # a worker tells when its shard has ended
        given = [{"requests": [asdict(each) for each in ask(cells, seed)], "seed": seed} for cells, seed in shards]
        with closing(pool.map(work.maker, work.setup, work.environment, given)) as results:
            yield from results

    return draw


def one_by_one(draw: Callable[[Sequence[Cell], int, Told], list[str]]) -> Draw:
    """What draws shards in turn, by what draws one."""

    def all_of(shards: Sequence[Shard], told: Told) -> Generator[tuple[int, list[str]]]:
        for place, (cells, seed) in enumerate(shards):
            yield place, draw(cells, seed, told)

    return all_of
