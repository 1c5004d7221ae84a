"""Perplexity of a corpus under a language model that has not seen the source.

Model and corpus are both free of charge: a public base model, and texts drawn from a charged release. The fine-tuned
adapter would do too, but says only how sure it was. Must never be given sensitive texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from dpsynth_assets.quality.metrics.words import MetricError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TOKENS = 2_048  # at once, padding included: memory only


def perplexity(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int
) -> float:
    """The exponential of the mean loss of a token, over all tokens of all texts, without any condition before them.

    At least 1; the vocabulary's size is what chance reaches. Low is fluent, and so is one sentence over and over: read
    it beside a measure of variety. Figures of two tokenizers cannot be compared. Source: Jelinek et al. 1977,
    Perplexity, a measure of the difficulty of speech recognition tasks.

    Args:
        texts: synthetic or public. Cut to `max_tokens`; the end of one that was not cut counts as a token.

    Raises:
        MetricError: there is no text.
    """
    if not texts:
        raise MetricError("there is no text")
    # A byte-level generator can leave lone surrogates, which no tokenizer accepts.
    readable = [text.encode("utf-8", "replace").decode() for text in texts]
    bodies = tokenizer(readable, add_special_tokens=False, truncation=True, max_length=max_tokens)["input_ids"]
    end = tokenizer.eos_token_id
    start = end if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    records = [[start, *body, end][: max_tokens + 1] for body in bodies]
    loss, tokens = 0.0, 0
    device: Any = next(model.parameters()).device
    with torch.inference_mode():
        for batch in _batches(records):
            width = max(map(len, batch))
            ids = torch.tensor([record + [end] * (width - len(record)) for record in batch], device=device)
            real = torch.tensor([[1] * len(record) + [0] * (width - len(record)) for record in batch], device=device)
            logits = model(input_ids=ids, attention_mask=real, use_cache=False).logits[:, :-1]
            targets = ids[:, 1:].masked_fill(real[:, 1:] == 0, -100)
            loss += float(F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum"))
            tokens += sum(len(record) - 1 for record in batch)
    return math.exp(loss / tokens)


def _batches(records: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    """Records of similar length together, at most `_TOKENS` tokens at once, padding included; one record at least."""
    batch: list[list[int]] = []
    for record in sorted(records, key=len, reverse=True):
        if batch and len(batch[0]) * (len(batch) + 1) > _TOKENS:
            yield batch
            batch = []
        batch.append(record)
    yield batch
