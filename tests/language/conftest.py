"""The demo contract, and a tiny random model folder that stands for a user's own base model."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpsynth_assets.contract import load_contract

CONTRACTS = Path(__file__).parents[2] / "contracts"


@pytest.fixture(scope="session")
def inbox():
    return load_contract(CONTRACTS / "inbox.odcs.yaml")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A folder with a random two-layer Llama and the embedded tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from dpsynth_assets.language.base_model import EMBEDDED_FOLDER

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
