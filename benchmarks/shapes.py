"""The models that training is measured on, with each tuning method. Random weights: only shapes matter here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from dpsynth_assets.language.base_model import EMBEDDED_FOLDER
from dpsynth_assets.language.trainable import attach_adapter

METHODS = ("lora", "prompt", "full")
SHAPES = ("embedded", "smollm2", "gpt2", "llama_1b")  # the last on a GPU, in bfloat16
TOKENS = {"embedded": 2048, "smollm2": 2048, "gpt2": 1024, "llama_1b": 4096}  # of a micro-batch
MICRO_BATCHES = {"embedded": 4, "smollm2": 2, "gpt2": 2, "llama_1b": 2}  # of a step
PREFIX = 2  # tokens of a record without a loss


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def model_of(shape: str, method: str) -> Any:
    """A model of the shape in training mode, without dropout, with what the method trains trainable."""
    torch.manual_seed(0)
    base = _base(shape)
    if shape == "llama_1b":
        base = base.to(torch.bfloat16)
    plan: Any = SimpleNamespace(method=method, rank=8, alpha=16.0, prompt_tokens=20)
    model: Any = attach_adapter(base.to(device()), plan)
    return model.to(device()).train()


def _base(shape: str) -> Any:
    if shape == "embedded":
        return LlamaForCausalLM(LlamaConfig.from_pretrained(EMBEDDED_FOLDER))
    if shape == "gpt2":
        return GPT2LMHeadModel(GPT2Config())
    if shape == "smollm2":
        return LlamaForCausalLM(smollm2())
    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def smollm2() -> LlamaConfig:
    """The shape of SmolLM2-135M (Ben Allal et al. 2025)."""
    return LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )


def batches(model: Any, shape: str, length: int) -> list[Any]:
    """A step's micro-batches of random tokens, shape (records, length): every record fills its length."""
    generator = torch.Generator().manual_seed(0)
    size = (max(1, TOKENS[shape] // length), length)
    vocabulary = model.config.vocab_size
    return [torch.randint(3, vocabulary, size, generator=generator).to(device()) for _ in range(MICRO_BATCHES[shape])]


def inputs_of(model: Any, ids: Any) -> dict[str, Any]:
    """Arguments of the forward pass. Where positions are trained, each record has a row of its own."""
    inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
    if any(name.endswith("wpe.weight") and p.requires_grad for name, p in model.named_parameters()):
        inputs["position_ids"] = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    return inputs
