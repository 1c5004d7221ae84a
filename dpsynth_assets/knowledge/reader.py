"""A reader: a small language model that is fully fine-tuned on given texts, without privacy, and then asked.

It answers by likelihood: of a question's choices the one that it holds for the likeliest end of the sentence. It reads
texts alone, not their labels. How texts were made it does not know.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from dpsynth_assets.contract.synthesis import EMBEDDED
from dpsynth_assets.language.base_model import has_bfloat16, load_base_model
from dpsynth_assets.language.objective import Encoded, encode, encode_prefix, losses
from dpsynth_assets.progress import Progress

if TYPE_CHECKING:
    from dpsynth_assets.knowledge.questions import Question

_POOL = 10  # batches that are made of texts by their lengths


@dataclass(frozen=True)
class Recipe:
    """How a reader reads, the same for all texts: as many steps for few as for many."""

    base_model: str = EMBEDDED
    steps: int = 800
    batch: int = 32
    learning_rate: float = 3e-3
    max_tokens: int = 72
    seed: int = 0


class Reader:
    """A base model, and after `read` one that has read something."""

    def __init__(self, recipe: Recipe = Recipe()) -> None:
        self._recipe = recipe
        model, self._tokenizer = load_base_model(recipe.base_model)
        self._model: Any = model

    def read(self, texts: Sequence[str], progress: Progress | None = None) -> None:
        """Train on the texts; the rate falls to zero over the recipe's steps."""
        recipe, rng = self._recipe, random.Random(self._recipe.seed)
        records = list(encode(self._tokenizer, [self._start()] * len(texts), texts, recipe.max_tokens))
        optimiser = torch.optim.AdamW(self._model.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
        falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=recipe.steps)
        self._model.train()
        batches = _batches(records, recipe.batch, rng)
        for step, some in enumerate(itertools.islice(batches, recipe.steps), start=1):
            self._losses(some).mean().backward()
            optimiser.step()
            falling.step()
            optimiser.zero_grad()
            if progress is not None:
                progress(step, recipe.steps)
        self._model.eval()

    def answers(self, asked: Sequence[Question]) -> list[str]:
        """Of each question's choices the one that surprises least after its stem."""
        found = []
        for question in asked:
            surprises = self.surprises(question)
            found.append(question.fact.choices[surprises.index(min(surprises))])
        return found

    @torch.no_grad()
    def surprises(self, question: Question) -> list[float]:
        """The negative log-likelihood of each choice after the stem."""
        stem = (*self._start(), *self._ids(question.stem))
        ends = [self._ids(f" {choice}") for choice in question.fact.choices]
        means = self._losses([Encoded((*stem, *end), len(stem)) for end in ends])
        return [float(mean) * len(end) for mean, end in zip(means, ends, strict=True)]

    def _losses(self, records: Sequence[Encoded]) -> torch.Tensor:
        with torch.autocast(self._model.device.type, torch.bfloat16, enabled=has_bfloat16()):
            return losses(self._model, records, self._tokenizer.pad_token_id)

    def _start(self) -> tuple[int, ...]:
        """What every text begins with; no label."""
        return encode_prefix(self._tokenizer, "")[:1]

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _batches(records: Sequence[Encoded], size: int, rng: random.Random) -> Iterator[list[Encoded]]:
    """Batches without end, pass after pass over the records, of texts that are about equally long: less padding."""
    pool: list[Encoded] = []
    while True:
        while len(pool) < _POOL * size:
            pool += rng.sample(records, len(records))
        some, pool = sorted(pool[: _POOL * size], key=lambda record: len(record.ids)), pool[_POOL * size :]
        batches = [some[start : start + size] for start in range(0, len(some), size)]
        yield from rng.sample(batches, len(batches))
