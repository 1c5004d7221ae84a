"""Base language models: the embedded one, one that is known by name, a Hugging Face folder, a `.gguf` file, or a Hub
name. All public. A path that a contract gives is located by `model_places` first."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils
from transformers.utils import logging

from dpsynth_assets.contract.base_models import KNOWN, is_path
from dpsynth_assets.contract.synthesis import EMBEDDED
from dpsynth_assets.language.model_places import BaseModelError, folder_of, not_here

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"

# Its bar would be drawn whatever `disable_progress_bar` says, which this one heeds.
_gguf_reader: Any = modeling_gguf_pytorch_utils
_gguf_reader.tqdm = logging.tqdm


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
        name: `embedded`, a known name, a folder with `config.json`, a `.gguf` file, or a Hub name (needs a
            network or the Hub cache).

    Raises:
        BaseModelError: there is no such model, or its tokenizer lacks an end-of-text token or has tokens that the model
            has not.
    """
    logging.disable_progress_bar()
    source = _source(name)
    if name in KNOWN and not Path(source).is_dir():
        raise BaseModelError(not_here(name))
    model, tokenizer = read_gguf(Path(source)) if source.endswith(".gguf") else _read(name, source)
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


def _source(name: str) -> str:
    return str(EMBEDDED_FOLDER if name == EMBEDDED else folder_of(name) if name in KNOWN else name)


def _read(name: str, source: str) -> tuple[Any, PreTrainedTokenizerBase]:
    if Path(source).is_dir() and not is_path(source):  # which transformers would take for the Hub's
        raise BaseModelError(f"base model {name!r} is a name of the Hub, and a folder here: write './{name}' for that")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        return AutoModelForCausalLM.from_pretrained(source, dtype="float32"), tokenizer
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"base model {name!r} could not be loaded ({type(error).__name__}): name 'embedded', a model that `dpsynth "
            "model list` knows, a .gguf file, a folder that holds config.json, tokenizer and safetensors, or a Hub "
            "model that this machine can reach"
        ) from error


def read_gguf(file: Path) -> tuple[Any, PreTrainedTokenizerBase]:
    """The model and tokenizer of a GGUF file, its weights as plain float32.

    Raises:
        BaseModelError: it cannot be read as a causal language model.
    """
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        model: Any = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype="float32")
    except Exception as error:  # what its reader raises of a damaged file is anything
        raise BaseModelError(
            f"base model {str(file)!r} could not be read ({type(error).__name__}): give a whole GGUF file of a "
            "language model that transformers knows"
        ) from error
    # Its weights are not quantised any more, and a model that says it is cannot be saved.
    del model.hf_quantizer, model.is_quantized, model.quantization_method, model.config.quantization_config
    return model, tokenizer


def weights_digest(name: str) -> str | None:
    """SHA-256 over a local model's weight files, in name order, or over a `.gguf` file; None for a Hub name, which
    carries its own revision."""
    place = Path(_source(name))
    files = [place] if place.is_file() else sorted(place.glob("*.safetensors"))
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
