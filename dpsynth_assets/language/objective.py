"""The prefix objective: labels as plain text, then the record's own text, with the loss on the text only.

    <bos> topic: card lost, safety: safe \\n I lost my card on the bus ... <eos>
    '---------- prefix, no loss ---------' '--------- text, loss -----------'

One record's loss is the mean over its own supervised tokens and depends on no other record (Kurakin et al. 2023
use the same prefix-LM form). Padding is on the right: with causal attention no real token sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One record as token ids, of which the first `prefix` carry no loss."""

    ids: tuple[int, ...]
    prefix: int


def encode_prefix(tokenizer: PreTrainedTokenizerBase, label: str) -> tuple[int, ...]:
    """Token ids of a label prefix: training and generation both start a text from these."""
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return (start, *tokenizer(f"{label}\n", add_special_tokens=False)["input_ids"])


def encode(
    tokenizer: PreTrainedTokenizerBase,
    prefixes: Sequence[Sequence[int]],
    texts: Sequence[str],
    max_tokens: int,
) -> list[Encoded]:
    """Encodes records; a text is cut to `max_tokens` tokens, the end token included where it fits.

    Args:
        prefixes: for each record, the ids from `encode_prefix`.
        texts: for each record, its text; sensitive.
    """
    if not texts:
        return []
    bodies = tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=max_tokens)["input_ids"]
    return [
        Encoded((*prefix, *body, tokenizer.eos_token_id)[: len(prefix) + max_tokens], len(prefix))
        for prefix, body in zip(prefixes, bodies, strict=True)
    ]


def losses(model: nn.Module, records: Sequence[Encoded], pad_token_id: int) -> Tensor:
    """Mean token loss of each record, shape (len(records),)."""
    import torch
    import torch.nn.functional as F  # noqa: N812 - its usual name

    width = max(len(record.ids) for record in records)
    device = next(model.parameters()).device
    ids = torch.full((len(records), width), pad_token_id, dtype=torch.long)
    targets = torch.full((len(records), width), IGNORED, dtype=torch.long)
    for row, record in enumerate(records):
        ids[row, : len(record.ids)] = torch.tensor(record.ids)
        targets[row, record.prefix : len(record.ids)] = ids[row, record.prefix : len(record.ids)]
    # The token at position t predicts t + 1; what all records have as prefix never reaches the vocabulary product.
    first = min(record.prefix for record in records)
    targets = targets[:, first:].to(device)
    predicting = torch.arange(first - 1, width - 1, device=device)
    logits = model(input_ids=ids.to(device), use_cache=False, logits_to_keep=predicting).logits
    per_token = F.cross_entropy(logits.transpose(1, 2).float(), targets, ignore_index=IGNORED, reduction="none")
    supervised = (targets != IGNORED).sum(1)
    return per_token.sum(1) / supervised.clamp(min=1)
