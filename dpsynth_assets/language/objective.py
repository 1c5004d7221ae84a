"""The prefix objective: labels as plain text, then the record's own text, with the loss on the text only.

    <bos> topic: card lost, safety: safe \\n I lost my card on the bus ... <eos>
    '---------- prefix, no loss ---------' '--------- text, loss -----------'

One record's loss is the mean over its own supervised tokens and depends on no other record (Kurakin et al. 2023
use the same prefix-LM form). Padding is on the right: with causal attention no real token sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from peft import PeftModel
from torch import nn

from dpsynth_assets.privacy.clipping.cross_entropy import token_losses
from dpsynth_assets.privacy.shapes import Shape

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


_AT_ONCE = 64  # texts: a tokenizer holds a multiple of what they are, the part that is cut off included


class ObjectiveError(RuntimeError):
    """The base model's loss is not the one that would be trained."""


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
    prefixes: Iterable[Sequence[int]],
    texts: Iterable[str],
    max_tokens: int,
) -> Iterator[Encoded]:
    """Encodes records as they are asked for; a text is cut to `max_tokens` tokens, with the end token where it fits.

    Args:
        prefixes: for each record, the ids from `encode_prefix`.
        texts: for each record, its text; sensitive.
    """
    records = zip(prefixes, texts, strict=True)
    while some := list(islice(records, _AT_ONCE)):
        own = [text for _, text in some]
        bodies = tokenizer(own, add_special_tokens=False, truncation=True, max_length=max_tokens)["input_ids"]
        for (prefix, _), body in zip(some, bodies, strict=True):
            yield Encoded((*prefix, *body, tokenizer.eos_token_id)[: len(prefix) + max_tokens], len(prefix))


def losses(
    model: nn.Module, records: Sequence[Encoded], pad_token_id: int, shape: Shape | None = None, prefix: int = 1
) -> Tensor:
    """Mean token loss of each record, each a function of its own record only.

    The output layer is left out of the forward pass where it is a plain one, and its loss computed in chunks: the
    vocabulary does not set the memory.

    Args:
        shape: in which it is computed, the text's tokens only; None for one that just holds these records. Rows that
            are left over are made up: they are padding, and their loss is zero.
        prefix: a public number, at least 1: all records have at least so many tokens that carry no loss. The output
            layer is left out there too.

    Returns:
        Shape (rows,), made-up rows included.
    """
    if shape is None:
        shape = Shape(max(len(record.ids) for record in records), len(records))
    device = next(model.parameters()).device
    ids = torch.full((shape.rows, shape.width), pad_token_id, dtype=torch.long)
    supervised = torch.zeros((shape.rows, shape.width), dtype=torch.bool)
    for row, record in enumerate(records):
        ids[row, : len(record.ids)] = torch.tensor(record.ids)
        supervised[row, max(1, record.prefix) : len(record.ids)] = True
    counts = supervised.sum(1).clamp(min=1).to(device)
    ids, counted = ids.to(device), supervised[:, prefix:].to(device)

    inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
    if _trains_positions(model):
        # One row of positions for all records would fold their gradients: give each record its own.
        inputs["position_ids"] = torch.arange(shape.width, device=device).expand_as(ids)
    # The token at position t predicts t + 1. Counted from the end, since virtual tokens may stand in front. There is no
    # attention mask: padding is on the right, where no real token sees it, and transformers drops a mask of full rows.
    predicting = slice(-shape.width + prefix - 1, -1)
    targets = ids[:, prefix:]
    head = plain_output_layer(model)
    if head is None:
        logits = model(**inputs).logits[:, predicting].float()
        per_token = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        per_token = torch.where(counted, per_token, 0.0)
    else:
        # In the layer's place in the model, since that is where its weight is at hand if the model is in shards.
        with _computing(head, lambda hidden: token_losses(head, hidden[:, predicting].contiguous(), targets, counted)):
            per_token = model(**inputs).logits
    return per_token.sum(1) / counts


def verify_objective(model: nn.Module, made_up: Encoded, pad_token_id: int) -> None:
    """Compares the loss of one made-up record with that of the model's own logits.

    Raises:
        ObjectiveError: they differ. The model does something to its logits that `plain_output_layer` does not know.
    """
    with torch.no_grad():
        ids = torch.tensor([made_up.ids], device=next(model.parameters()).device)
        logits = model(input_ids=ids, use_cache=False).logits[0, -len(made_up.ids) :].float()
        own = F.cross_entropy(logits[made_up.prefix - 1 : -1], ids[0, made_up.prefix :])
        ours = losses(model, [made_up], pad_token_id)[0]
    if not torch.isclose(own, ours.to(own.dtype), rtol=1e-3, atol=1e-4):
        raise ObjectiveError("the base model computes its logits in a way that training does not know: choose another")


def plain_output_layer(model: nn.Module) -> nn.Linear | None:
    """The output layer if logits are its product with the last hidden state and nothing else; None where they are not.

    Some families scale or cap their logits (Gemma 2, Granite, Cohere), and an adapter may wrap the layer.
    """
    base: Any = _base_of(model)
    head = base.get_output_embeddings()
    reworked = (
        "final_logit_softcapping",
        "logits_scaling",
        "logit_scale",
        "output_multiplier_scale",
        "lm_head_multiplier",
    )
    if type(head) is not nn.Linear or any(getattr(base.config, name, None) for name in reworked):
        return None
    return head


def _base_of(model: nn.Module) -> nn.Module:
    base: nn.Module = model.get_base_model() if isinstance(model, PeftModel) else model
    return base


def _trains_positions(model: nn.Module) -> bool:
    base: Any = _base_of(model)
    tokens = base.get_input_embeddings()
    return any(
        isinstance(module, nn.Embedding) and module is not tokens and module.weight.requires_grad
        for module in base.modules()
    )


@contextmanager
def _computing(layer: nn.Module, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """In here the layer computes the function."""
    before = layer.__dict__.get("forward")
    layer.__dict__["forward"] = function
    try:
        yield
    finally:
        if before is None:
            del layer.__dict__["forward"]
        else:
            layer.__dict__["forward"] = before
