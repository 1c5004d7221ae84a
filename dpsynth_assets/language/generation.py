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
from dpsynth_assets.language.finetuning import load_tuned
from dpsynth_assets.language.model_places import located
from dpsynth_assets.language.objective import encode_prefix
from dpsynth_assets.language.sampling import Decoding, sampler_for
from dpsynth_assets.privacy.apportionment import apportion
from dpsynth_assets.privacy.histogram import Cell
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.adapter import ADAPTER

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.synthesis import Generation

Draw = Callable[[Sequence[Cell], int, Callable[[int], None]], list[str]]  # (cells, seed, told how many ended)

# A model that keeps writing empty or repeated texts must end in an error, not in an endless loop.
_MAX_ROUNDS = 8
_SHARD = 2048  # texts; what a kill can lose


class GenerationError(RuntimeError):
    """The adapter does not give as many usable texts as the contract asks for."""


def generate_corpus(
    contract: Contract,
    adapter_folder: Path,
    counts: Mapping[Cell, int],
    rows: int | None = None,
    progress: Progress | None = None,
    shards: Path | None = None,
) -> pd.DataFrame:
    """A frame with the text column and one column per label, shuffled, exactly `rows` rows.

    Texts that are too short or stand in the corpus already are drawn again, in further rounds.

    Args:
        adapter_folder: what `dpsynth_assets.language.finetuning.fine_tune` wrote.
        counts: the released histogram.
        rows: the contract's number unless given.
        progress: told (rows done, rows in all).
        shards: a folder that keeps what is drawn, for this adapter, these counts and this contract only; a call that
            finds shards there goes on after them. The caller removes it.

    Raises:
        GenerationError: after eight rounds some texts are still missing.
    """
    terms = contract.privacy
    rows = terms.generation.rows if rows is None else rows
    targets = apportion(counts, rows)
    draw = _drawing(contract, adapter_folder)
    kept: dict[Cell, list[str]] = {cell: [] for cell in targets}
    seen: set[str] = set()

    def told(fresh: int) -> None:
        if progress is not None:
            progress(min(rows, sum(map(len, kept.values())) + fresh), rows)

    for turn in range(_MAX_ROUNDS):
        missing = [cell for cell, target in targets.items() for _ in range(target - len(kept[cell]))]
        for start in range(0, len(missing), _SHARD):
            cells = missing[start : start + _SHARD]
            texts = _shard(draw, cells, f"{terms.generation.seed} {turn} {start}", shards, told)
            for cell, text in zip(cells, texts, strict=True):
                if text and text not in seen:
                    seen.add(text)
                    kept[cell].append(text)
            told(0)
    for cell, target in targets.items():
        if len(kept[cell]) < target:
            raise GenerationError(
                f"label {contract.plain_label(cell)!r} gave {len(kept[cell])} distinct texts of {target} asked that "
                f"have {terms.generation.min_characters} characters or more: train longer, raise the temperature, ask "
                "for fewer rows, or lower min_characters"
            )
    columns = [terms.text.column, *(label.column for label in terms.labels)]
    frame = pd.DataFrame([(text, *cell) for cell, texts in kept.items() for text in texts], columns=columns)
    return frame.sample(frac=1.0, random_state=terms.generation.seed).reset_index(drop=True)


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
    terms = contract.privacy
    generation = terms.generation
    decoding = Decoding(generation.max_new_tokens, generation.temperature, generation.top_p, generation.top_k)
    base = located(terms.base_model.name, contract)
    model, tokenizer = load_tuned(base, terms.releases[ADAPTER].method, adapter_folder)
    sampler = sampler_for(model, tokenizer.eos_token_id, decoding, generation.batch_size)
    prefixes = {cell: encode_prefix(tokenizer, contract.plain_label(cell)) for cell in contract.cells}

    def draw(cells: Sequence[Cell], seed: int, told: Callable[[int], None]) -> list[str]:
        drawn = sampler.sample([prefixes[cell] for cell in cells], seed, told)
        return [usable(text, generation) for text in tokenizer.batch_decode(drawn, skip_special_tokens=True)]

    return draw


def usable(text: str, terms: Generation) -> str:
    """A drawn text up to its first stop, on one line; empty if that is too short."""
    ends = [at for stop in terms.stop if (at := text.find(stop)) >= 0]
    text = " ".join(text[: min(ends, default=None)].split())
    return text if len(text) >= terms.min_characters else ""
