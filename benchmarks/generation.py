"""Tokens a second of the sampler, and of transformers' `generate`, for the same prefixes of one model.

    python -m benchmarks generation                                        # the embedded model
    python -m benchmarks.generation smollm2-135m --bfloat16 --texts 32     # after `dpsynth model add smollm2-135m`

Tokens are those of the texts, end tokens and padding not counted. Both draw 128 texts of at most 120 tokens for each of
four labels, 64 at a time, nucleus of 0.95, in the same precision. Pairs are interleaved; what is given is the ratio of
times per token.
"""

from __future__ import annotations

import argparse
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


def rows(
    name: str = EMBEDDED, texts: int = TEXTS, pairs: int = PAIRS, *, bfloat16: bool = False
) -> Iterator[tuple[str, str, list[float]]]:
    """The ratio of the sampler's rate to that of `generate`, one a pair.

    Args:
        texts: of each label.
    """
    model, tokenizer = load_base_model(name)
    end: Any = tokenizer.eos_token_id
    decoding = Decoding(LONGEST, top_p=0.95)
    prefixes = [encode_prefix(tokenizer, f"topic: {label}") for label in LABELS for _ in range(texts)]
    fast = Sampler(model, end, decoding, SLOTS, bfloat16=bfloat16)  # rounds the model that both share
    sides = (fast, BatchSampler(model, end, decoding, SLOTS))
    for side in sides:
        rates(side, prefixes[:8], 0)
    found = []
    for turn in range(pairs):
        measured = {side: rates(side, prefixes, turn) for side in (sides if turn % 2 else sides[::-1])}
        found.append(measured[sides[1]] / measured[sides[0]])
        print(*(f"{measured[side]:.0f} tokens/s" for side in sides), flush=True)
    precision = ", bfloat16" if bfloat16 else ""
    yield f"drawing texts, {name}{precision}: time per token", "transformers' generate", found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=EMBEDDED, help="as in a contract's `base_model.name`")
    parser.add_argument("--texts", type=int, default=TEXTS, help="of each label")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--bfloat16", action="store_true")
    chosen = parser.parse_args()
    for measured, reference, ratios in rows(chosen.model, chosen.texts, chosen.pairs, bfloat16=chosen.bfloat16):
        ordered = sorted(ratios)
        print(f"{measured} | {reference} | {ordered[len(ordered) // 2]:.3f} | {ordered[0]:.3f} to {ordered[-1]:.3f}")


if __name__ == "__main__":
    main()
