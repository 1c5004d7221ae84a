"""Tokens a second of the sampler, and of transformers' `generate`, for the same prefixes of the embedded model.

    python -m benchmarks generation

Tokens are those of the texts, end tokens and padding not counted. Both draw 128 texts of at most 120 tokens for each of
four labels, 64 at a time, nucleus of 0.95. Pairs are interleaved; what is given is the ratio of times per token.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.pairs import PAIRS
from dpsynth_assets.contract.synthesis import EMBEDDED
from dpsynth_assets.language.base_model import load_base_model
from dpsynth_assets.language.objective import encode_prefix
from dpsynth_assets.language.sampling import BatchSampler, Decoding, Sampler

LABELS = ("refund", "war", "flight", "hotel")
TEXTS, SLOTS, LONGEST = 128, 64, 120


def rates(sampler: Any, prefixes: list[tuple[int, ...]], seed: int) -> float:
    """Tokens a second."""
    started = time.perf_counter()
    texts = sampler.sample(prefixes, seed)
    return sum(map(len, texts)) / (time.perf_counter() - started)


def rows() -> Iterator[tuple[str, str, list[float]]]:
    """The ratio of the sampler's rate to that of `generate`, one a pair."""
    model, tokenizer = load_base_model(EMBEDDED)
    end: Any = tokenizer.eos_token_id
    decoding = Decoding(LONGEST, top_p=0.95)
    prefixes = [encode_prefix(tokenizer, f"topic: {label}") for label in LABELS for _ in range(TEXTS)]
    sides = (Sampler(model, end, decoding, SLOTS), BatchSampler(model, end, decoding, SLOTS))
    for side in sides:
        rates(side, prefixes[:8], 0)
    found = []
    for turn in range(PAIRS):
        measured = {side: rates(side, prefixes, turn) for side in (sides if turn % 2 else sides[::-1])}
        found.append(measured[sides[1]] / measured[sides[0]])
        print(*(f"{measured[side]:.0f} tokens/s" for side in sides), flush=True)
    yield "drawing texts: time per token", "transformers' generate", found
