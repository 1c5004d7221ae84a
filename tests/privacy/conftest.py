"""Tiny random models with adapters, and synthetic units: small enough to compare with one-by-one passes."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest


@pytest.fixture
def adapted():
    """A two-layer Llama (16 wide, 64 tokens) whose LoRA matrices are both non-zero."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from dpsynth_assets.language.trainable import attach_adapter

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    model = attach_adapter(LlamaForCausalLM(config), SimpleNamespace(method="lora", rank=4, alpha=8.0))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    return model.train()


@pytest.fixture
def units():
    """Twelve units of one to four records, of uneven length."""
    from dpsynth_assets.language.objective import Encoded
    from dpsynth_assets.language.packed import Packed
    from dpsynth_assets.language.units import TextUnits

    rng = random.Random(1)
    records, owners = [], []
    for unit in range(12):
        for _ in range(rng.randint(1, 4)):
            length = rng.randint(5, 20)
            records.append(Encoded(tuple(rng.randrange(3, 64) for _ in range(length)), prefix=3))
            owners.append(f"unit-{unit}")
    return TextUnits(Packed.of(records, owners), pad_token_id=0)
