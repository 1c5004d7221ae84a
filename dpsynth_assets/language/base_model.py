"""Base language models: the embedded one, a local Hugging Face folder, or a Hub name. All public."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from dpsynth_assets.contract.synthesis import EMBEDDED

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"


class BaseModelError(ValueError):
    """The contract names a base model that cannot be had; the message says which and what to do."""


def device() -> str:
    """Where models are put: the GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def has_bfloat16() -> bool:
    """Whether `device()` multiplies in bfloat16 by itself. A CPU without it emulates each product, tens of times slower
    than in float32, of which nobody has anything."""
    if device() == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)


def load_base_model(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The causal language model and tokenizer that `name` stands for, in float32 and evaluation mode, on `device()`.

    Args:
        name: `embedded`, a local folder with `config.json`, or a Hub name (needs a network or the Hub cache).

    Raises:
        BaseModelError: there is no such model, or its tokenizer lacks an end-of-text token or has tokens that the model
            has not.
    """
    logging.disable_progress_bar()
    source = str(EMBEDDED_FOLDER) if name == EMBEDDED else name
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model: Any = AutoModelForCausalLM.from_pretrained(source, dtype="float32")
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"base model {name!r} could not be loaded ({type(error).__name__}): name 'embedded', a folder that holds "
            "config.json, tokenizer and safetensors, or a Hub model that this machine can reach"
        ) from error
    if tokenizer.eos_token_id is None:
        raise BaseModelError(f"the tokenizer of base model {name!r} has no end-of-text token, so texts cannot end")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:  # a record with such a token would end the release, after it was charged
        raise BaseModelError(
            f"the tokenizer of base model {name!r} knows {len(tokenizer)} tokens, and the model has {rows}: add rows "
            "for them (`resize_token_embeddings`) and save the model, or take the tokens out of the tokenizer"
        )
    return model.to(device()).eval(), tokenizer


def weights_digest(name: str) -> str | None:
    """SHA-256 over a local model's weight files, in name order; None for a Hub name, which carries its own revision."""
    folder = EMBEDDED_FOLDER if name == EMBEDDED else Path(name)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
