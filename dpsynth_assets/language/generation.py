"""Draws a synthetic corpus from a trained adapter, label by label. Post-processing of releases: it costs no budget.

Reads the adapter and the noisy label histogram, both released, and public constants of the contract. Deterministic
for a given seed, adapter and machine.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.language.finetuning import load_tuned
from dpsynth_assets.language.objective import encode_prefix

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract

Cell = tuple[str, ...]
Progress = Callable[[int, int], None]  # (rows done, rows in all)

# A model that keeps writing empty or repeated texts must end in an error, not in an endless loop.
_MAX_DRAWS_PER_ROW = 8


class GenerationError(RuntimeError):
    """The adapter does not give as many usable texts as the contract asks for."""


def apportion(counts: Mapping[Cell, int], rows: int) -> dict[Cell, int]:
    """Splits `rows` over the cells in proportion to noisy counts, by largest remainder; evenly if all are zero."""
    total = sum(counts.values())
    shares = {cell: rows * (count / total if total else 1 / len(counts)) for cell, count in counts.items()}
    split = {cell: int(share) for cell, share in shares.items()}
    by_remainder = sorted(shares, key=lambda cell: shares[cell] - split[cell], reverse=True)
    for cell in by_remainder[: rows - sum(split.values())]:
        split[cell] += 1
    return split


def generate_corpus(
    contract: Contract,
    adapter_folder: Path,
    counts: Mapping[Cell, int],
    rows: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """A frame with the text column and one column per label, shuffled, exactly `rows` rows.

    Texts that are empty or stand in the corpus already are drawn again.

    Args:
        adapter_folder: what `dpsynth_assets.language.finetuning.fine_tune` wrote.
        counts: the released histogram.
        rows: the contract's number unless given.
        progress: told (rows done, rows in all).

    Raises:
        GenerationError: after eight draws for every row asked, some are still missing.
    """
    import pandas as pd
    import torch

    terms = contract.privacy
    rows = terms.generation.rows if rows is None else rows
    model, tokenizer = load_tuned(terms.base_model.name, terms.releases.adapter.method, adapter_folder)
    torch.manual_seed(terms.generation.seed)
    seen: set[str] = set()
    drawn: list[tuple[str, ...]] = []
    for cell, target in apportion(counts, rows).items():
        for text in _distinct_texts(model, tokenizer, contract, cell, target, seen):
            drawn.append((text, *cell))
            if progress is not None and (len(drawn) % 16 == 0 or len(drawn) == rows):
                progress(len(drawn), rows)
    columns = [terms.text.column, *(label.column for label in terms.labels)]
    frame = pd.DataFrame(drawn, columns=columns)
    return frame.sample(frac=1.0, random_state=terms.generation.seed).reset_index(drop=True)


def _distinct_texts(
    model: Any, tokenizer: Any, contract: Contract, cell: Cell, target: int, seen: set[str]
) -> Iterator[str]:
    """`target` texts for one label that are neither empty nor in `seen`, which they join."""
    label = contract.plain_label(cell)
    kept, draws = 0, 0
    while kept < target:
        if draws > _MAX_DRAWS_PER_ROW * max(target, contract.privacy.generation.batch_size):
            raise GenerationError(
                f"label {label!r} gave {kept} distinct texts of {target} asked: train longer, raise the temperature, "
                "or ask for fewer rows"
            )
        for text in _batch(model, tokenizer, contract, label, target - kept):
            draws += 1
            if text and text not in seen and kept < target:
                seen.add(text)
                kept += 1
                yield text


def _batch(model: Any, tokenizer: Any, contract: Contract, label: str, missing: int) -> list[str]:
    """One batch of texts for a label; at least a few, since some will have to be drawn again."""
    import torch

    generation = contract.privacy.generation
    prefix = torch.tensor([encode_prefix(tokenizer, label)])
    size = min(generation.batch_size, max(missing, 16))
    with torch.inference_mode(), warnings.catch_warnings():
        # peft counts a prompt model's positions itself, and remarks at every token that it was told some.
        warnings.filterwarnings("ignore", message="Position ids are not supported")
        output = model.generate(
            input_ids=prefix.expand(size, -1),
            attention_mask=torch.ones(size, prefix.shape[1], dtype=torch.long),
            do_sample=True,
            temperature=generation.temperature,
            top_p=generation.top_p,
            top_k=0,
            max_new_tokens=generation.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    texts = tokenizer.batch_decode(output[:, prefix.shape[1] :], skip_special_tokens=True)
    return [" ".join(text.split()) for text in texts]
