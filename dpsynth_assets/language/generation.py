"""Draws a synthetic corpus from a trained adapter, label by label. Post-processing of releases: it costs no budget.

Reads the adapter and the noisy label histogram, both released, and public constants of the contract. Deterministic
for a given seed, adapter and machine, also when it was killed and begun again: the draws are numbered and cut into
shards, each shard has its own seed and is kept as soon as it is drawn, and a repeated call draws what is lacking.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dpsynth_assets.atomic import replacing
from dpsynth_assets.language.drawing import Draw, shard_drawing
from dpsynth_assets.language.hygiene import shown_texts, usable
from dpsynth_assets.language.writing import Request, seed_of
from dpsynth_assets.privacy.apportionment import apportion
from dpsynth_assets.privacy.histogram import Cell
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.shards import Pool

# A model that keeps writing empty or repeated texts must end in an error, not in an endless loop. One that often goes
# wrong must not: in the last round a text is cut before that.
ROUNDS = 8
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
    pool: Pool | None = None,
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
            finds shards there draws the others. The caller removes it.
        draw: what draws the texts; the adapter unless given.
        pool: the workers that the adapter draws in; this process unless given.

    Raises:
        GenerationError: after eight rounds some texts are still missing.
    """
    terms = contract.privacy
    rows = terms.generation.rows if rows is None else rows
    targets = apportion(counts, rows)
    draw = draw or _drawing(contract, adapter_folder, pool)
    kept: dict[Cell, list[str]] = {cell: [] for cell in targets}
    seen = set(shown_texts(contract))
    drawn = 0

    def told(fresh: int) -> None:
        if progress is not None:
            progress(min(rows, sum(map(len, kept.values())) + fresh), rows)

    for turn in range(ROUNDS):
        missing = [cell for cell, target in targets.items() for _ in range(target - len(kept[cell]))]
        cut = [missing[start : start + _SHARD] for start in range(0, len(missing), _SHARD)]
        names = [f"{terms.generation.seed} {turn} {place * _SHARD}" for place in range(len(cut))]
        with closing(_drawn(draw, cut, names, shards, told)) as texts_of:
            for cells, texts in zip(cut, texts_of, strict=True):
                drawn += len(cells)
                for cell, raw in zip(cells, texts, strict=True):
                    text = usable(raw, terms.generation, mended=turn == ROUNDS - 1)
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


def _drawn(
    draw: Draw, shards: Sequence[Sequence[Cell]], names: Sequence[str], folder: Path | None, told: Callable[[int], None]
) -> Generator[list[str]]:
    """The texts of each shard, in their order: kept ones where it was drawn before, else fresh ones, which are kept as
    they come."""
    found = {place: texts for place, name in enumerate(names) if (texts := _kept(folder, name)) is not None}
    lacking = [place for place in range(len(shards)) if place not in found]
    with closing(draw([(shards[place], seed_of(names[place])) for place in lacking], told)) as results:
        for place in range(len(shards)):
            while place not in found:
                at, texts = next(results)
                _keep(folder, names[lacking[at]], texts)
                found[lacking[at]] = texts
                told(sum(map(len, found.values())) if place not in found else 0)
            yield found.pop(place)


def _kept(folder: Path | None, name: str) -> list[str] | None:
    path = _path(folder, name)
    return None if path is None or not path.exists() else [str(text) for text in pd.read_parquet(path)["text"]]


def _keep(folder: Path | None, name: str, texts: Sequence[str]) -> None:
    path = _path(folder, name)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            pd.DataFrame({"text": texts}).to_parquet(file, index=False)


def _path(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / f"{name.replace(' ', '-')}.parquet"


def _drawing(contract: Contract, adapter_folder: Path, pool: Pool | None) -> Draw:
    """What draws one text for each of some cells, by what the contract asks."""
    releases = contract.privacy.releases
    # The others where no row is read: the base model as it comes.
    terms = releases.get(ADAPTER) or releases.get(EVOLUTION) or releases[KEY_PHRASES]

    def ask(cells: Sequence[Cell], seed: int) -> list[Request]:
        del seed
        return [Request(contract.asking(cell)) for cell in cells]

    return shard_drawing(contract, adapter_folder, terms.precision, ask, pool)
