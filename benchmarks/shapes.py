"""The models that training is measured on, with each tuning method. Random weights: only shapes matter here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

METHODS = ("lora", "prompt", "full")
SHAPES = ("embedded", "gpt2")
VOCABULARY = {"embedded": 4096, "gpt2": 50257}


def model_of(shape: str, method: str) -> Any:
    """A model of the shape in training mode, without dropout, with what the method trains trainable."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    from dpsynth_assets.language.base_model import EMBEDDED_FOLDER
    from dpsynth_assets.language.finetuning import attach_adapter

    torch.manual_seed(0)
    if shape == "embedded":
        base: Any = LlamaForCausalLM(LlamaConfig.from_pretrained(EMBEDDED_FOLDER))
    else:
        base = GPT2LMHeadModel(GPT2Config())
    plan: Any = SimpleNamespace(method=method, rank=8, alpha=16.0, prompt_tokens=20)
    return attach_adapter(base, plan).train()
