"""Draws a synthetic corpus from a trained adapter, label by label. Post-processing of releases: it costs no budget.

Reads the adapter and the noisy label histogram, both released, and public constants of the contract. Deterministic
for a given seed, adapter and machine, also when it was killed and begun again: the draws are numbered and cut into
shards, each shard has its own seed and is kept as soon as it is drawn, and a repeated call goes on after the last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dpsynth_assets.atomic import replacing
from dpsynth_assets.language.hygiene import usable
from dpsynth_assets.language.writers import writer_of
from dpsynth_assets.language.writing import Request
from dpsynth_assets.privacy.apportionment import apportion
from dpsynth_assets.privacy.histogram import Cell
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.evolution import EVOLUTION

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

Draw = Callable[[Sequence[Cell], int, Callable[[int], None]], list[str]]  # (cells, seed, told how many ended)

# A model that keeps writing empty or repeated texts must end in an error, not in an endless loop. One that often goes
# wrong must not: in the last round a text is cut before that.
_MAX_ROUNDS = 8
_SHARD = 2048  # texts; what a kill can lose


class GenerationError(RuntimeError):
    """There are not as many usable texts to be had as the contract asks for."""


def generate_corpus(
    contract: Contract,
    adapter_folder: Path,
    counts: Mapping[Cell, int],
    rows: int | None = None,
    progress: Progress | None = None,
    shards: Path | None = None,
    draw: Draw | None = None,
) -> pd.DataFrame:
    """A frame with the text column and one column per label, shuffled, exactly `rows` rows.

    Texts that are too short, go wrong (`hygiene`) or stand in the corpus already are drawn again, in further rounds.
    How many were stands in the frame's `attrs["drawn_again"]`; it follows from drawn texts alone, so it is public.

    Args:
        adapter_folder: what `dpsynth_assets.language.finetuning.fine_tune` wrote.
        counts: the released histogram.
        rows: the contract's number unless given.
        progress: told (rows done, rows in all).
        shards: a folder that keeps what is drawn, for this adapter, these counts and this contract only; a call that
            finds shards there goes on after them. The caller removes it.
        draw: what draws the texts; the adapter unless given.

    Raises:
        GenerationError: after eight rounds some texts are still missing.
    """
    terms = contract.privacy
    rows = terms.generation.rows if rows is None else rows
    targets = apportion(counts, rows)
    draw = draw or _drawing(contract, adapter_folder)
    kept: dict[Cell, list[str]] = {cell: [] for cell in targets}
    seen: set[str] = set()
    drawn = 0

    def told(fresh: int) -> None:
        if progress is not None:
            progress(min(rows, sum(map(len, kept.values())) + fresh), rows)

    for turn in range(_MAX_ROUNDS):
        missing = [cell for cell, target in targets.items() for _ in range(target - len(kept[cell]))]
        for start in range(0, len(missing), _SHARD):
            cells = missing[start : start + _SHARD]
            texts = _shard(draw, cells, f"{terms.generation.seed} {turn} {start}", shards, told)
            drawn += len(cells)
            for cell, raw in zip(cells, texts, strict=True):
                text = usable(raw, terms.generation, mended=turn == _MAX_ROUNDS - 1)
                if text and text not in seen:
                    seen.add(text)
                    kept[cell].append(text)
            told(0)
    for cell, target in targets.items():
        if len(kept[cell]) < target:
            raise GenerationError(
                f"label {contract.plain_label(cell)!r} gave {len(kept[cell])} distinct texts of {target} asked that "
                f"have {terms.generation.min_characters} characters or more: raise the temperature, ask for fewer "
                "rows, lower min_characters, or train longer where a model is trained"
            )
    columns = [terms.text.column, *(label.column for label in terms.labels)]
    frame = pd.DataFrame([(text, *cell) for cell, texts in kept.items() for text in texts], columns=columns)
    frame = frame.sample(frac=1.0, random_state=terms.generation.seed).reset_index(drop=True)
    frame.attrs["drawn_again"] = drawn - rows
    return frame


def _shard(draw: Draw, cells: Sequence[Cell], name: str, folder: Path | None, told: Callable[[int], None]) -> list[str]:
    """The texts of one shard: kept ones if it was drawn before, else fresh ones, which are kept."""
    path = None if folder is None else folder / f"{name.replace(' ', '-')}.parquet"
    if path is not None and path.exists():
        return [str(text) for text in pd.read_parquet(path)["text"]]
    texts = draw(cells, int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big"), told)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            pd.DataFrame({"text": texts}).to_parquet(file, index=False)
    return texts


def _drawing(contract: Contract, adapter_folder: Path) -> Draw:
    """What draws one text for each of some cells."""
    releases = contract.privacy.releases
    terms = releases.get(ADAPTER) or releases[EVOLUTION]  # the latter where no row is read: the base model as it comes
    writer = writer_of(contract, adapter_folder, terms.precision)

    def draw(cells: Sequence[Cell], seed: int, told: Callable[[int], None]) -> list[str]:
        return writer.write([Request(contract.asking(cell)) for cell in cells], seed, told)

    return draw
