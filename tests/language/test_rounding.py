"""Weights in bfloat16: what is rounded, what is not, and that training computes the same bits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from dpsynth_assets.language.objective import Encoded
from dpsynth_assets.language.packed import Packed
from dpsynth_assets.language.rounding import round_frozen_layers
from dpsynth_assets.language.sampling import BatchSampler, Decoding, Sampler
from dpsynth_assets.language.trainable import attach_adapter
from dpsynth_assets.language.units import TextUnits

VOCABULARY, END = 60, 1
PREFIX = [0, 5, 9]


def llama(tied: bool = True) -> Any:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config)


def gpt2() -> Any:
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=64))


def adapted(base: Any, method: str) -> Any:
    plan: Any = SimpleNamespace(method=method, rank=2, alpha=4.0, prompt_tokens=3)
    return attach_adapter(base, plan)


def types_of(tensors: Any) -> set[torch.dtype]:
    return {tensor.dtype for tensor in tensors if tensor.is_floating_point()}


def gradients(model: Any) -> list[torch.Tensor]:
    records = [Encoded(tuple(range(3, 3 + length)), 2) for length in (6, 9, 12)]
    data = TextUnits(Packed.of(records), 0, bfloat16=True)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    losses = data.losses(model, range(3))
    return [losses.detach(), *torch.autograd.grad(losses.sum(), trained)]


@pytest.mark.parametrize("method", ["lora", "prompt", "full"])
@pytest.mark.parametrize("base", [llama, gpt2, lambda: llama(tied=False)], ids=["tied", "gpt2", "untied"])
def test_frozen_layers_rounded_once_give_the_bits_that_autocast_gives(base: Any, method: str) -> None:
    torch.manual_seed(0)
    model = adapted(base(), method)
    before = gradients(model)
    weights = [parameter.clone() for parameter in model.parameters()]
    put_back = round_frozen_layers(model)
    assert all(torch.equal(a, b) for a, b in zip(before, gradients(model), strict=True))
    assert types_of(p for p in model.parameters() if p.requires_grad) == {torch.float32}
    base_model = model if method == "full" else model.get_base_model()
    assert base_model.get_input_embeddings().weight.dtype == torch.float32
    frozen = types_of(p for p in model.parameters() if not p.requires_grad)
    assert (torch.bfloat16 in frozen) == (method != "full")
    put_back()
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(weights, model.parameters(), strict=True))


@pytest.mark.parametrize("sampler", [Sampler, BatchSampler])
@pytest.mark.parametrize(
    "model",
    [llama, gpt2, lambda: adapted(llama(), "prompt")],
    ids=["llama", "gpt2", "prompt"],
)
def test_a_rounded_model_draws_by_nearly_the_same_law(model: Any, sampler: Any) -> None:
    torch.manual_seed(1)
    made = model().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3.0)
        expected = torch.softmax(made(input_ids=torch.tensor([PREFIX])).logits[0, -1].float(), -1)
    buffers = [buffer.clone() for buffer in made.buffers()]
    drawn = sampler(made, END, Decoding(max_new_tokens=3), 64, bfloat16=True).sample([PREFIX] * 1024, seed=3)
    assert types_of(made.parameters()) == {torch.bfloat16}
    assert all(torch.equal(a, b) for a, b in zip(buffers, made.buffers(), strict=True))
    firsts = torch.tensor([text[0] if text else END for text in drawn])
    counted = torch.bincount(firsts, minlength=VOCABULARY) / len(drawn)
    assert float((counted - expected).abs().sum()) / 2 < 0.12  # 1,024 draws err by 0.1 for an even law of 60
