"""Base language models: the embedded one, one that is known by name, a Hugging Face folder, a `.gguf` file, or a Hub
name. All public. A path that a contract gives is located by `model_places` first."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils
from transformers.utils import CONFIG_NAME, logging
from transformers.utils.hub import cached_file

from dpsynth_assets.contract.base_models import KNOWN, is_path
from dpsynth_assets.contract.synthesis import EMBEDDED
from dpsynth_assets.language.model_places import BaseModelError, folder_of, not_here
from dpsynth_assets.language.weight_files import read_elsewhere, require_exactly, require_once, shapes_in, weight_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_AT_ONCE = 64  # texts that are made into tokens together
UNREADABLE = (OSError, ValueError, KeyError, SafetensorError)  # what loading raises of a folder that is not whole
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
        BaseModelError: there is no such model, or its files have other weights than it, or its tokenizer lacks an
            end-of-text token or has tokens that the model has not.
    """
    logging.disable_progress_bar()
    source = source_of(name)
    model, tokenizer = read_gguf(Path(source)) if source.endswith(".gguf") else _read(name, source)
    make_fit(name, tokenizer, model)
    return model.to(device()).eval(), tokenizer


def make_fit(name: str, tokenizer: PreTrainedTokenizerBase, model: Any) -> None:
    """See that texts can end and be padded, and that every token has a row.

    Raises:
        BaseModelError: they cannot, or one has none.
    """
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


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of `load_base_model`, without the model.

    Raises:
        BaseModelError: there is no such model.
    """
    logging.disable_progress_bar()
    source = source_of(name)
    file = Path(source)
    of_file = {"gguf_file": file.name} if source.endswith(".gguf") else {}
    try:
        return AutoTokenizer.from_pretrained(str(file.parent) if of_file else source, **of_file)
    except Exception as error:  # what a reader raises of a damaged file is anything
        raise BaseModelError(
            f"the tokenizer of base model {name!r} could not be read ({type(error).__name__})"
        ) from None


def cut(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int) -> list[str]:
    """The beginning of each text that makes so many tokens, as training and generation bound texts."""
    ends: list[int] = []
    for start in range(0, len(texts), _AT_ONCE):
        found = tokenizer(
            list(texts[start : start + _AT_ONCE]),
            add_special_tokens=False,
            truncation=True,
            max_length=max_tokens,
            return_offsets_mapping=True,
        )
        ends += [max((end for _, end in offsets), default=0) for offsets in found["offset_mapping"]]
    return [text[:end] for text, end in zip(texts, ends, strict=True)]


def source_of(name: str) -> str:
    """The folder, file or Hub name that `name` stands for.

    Raises:
        BaseModelError: a known model was not brought.
    """
    source = _source(name)
    if name in KNOWN and not Path(source).is_dir():
        raise BaseModelError(not_here(name))
    return source


def _source(name: str) -> str:
    return str(EMBEDDED_FOLDER if name == EMBEDDED else folder_of(name) if name in KNOWN else name)


def _read(name: str, source: str) -> tuple[Any, PreTrainedTokenizerBase]:
    require_unambiguous(name, source)
    about: dict[str, Any] = {"dtype": "float32", "output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model, loaded = cast("tuple[Any, Mapping[str, Any]]", AutoModelForCausalLM.from_pretrained(source, **about))
        folder = Path(str(cached_file(source, CONFIG_NAME))).parent
        files = weight_files(folder)
    except UNREADABLE as error:
        raise not_loaded(name, error) from error
    if elsewhere := read_elsewhere(folder, model.config):
        raise BaseModelError(
            f"base model {name!r}: transformers reads more than its weights, or others, as {elsewhere} says: save the "
            "one model that is meant by `save_pretrained` into a folder of its own, with an adapter merged into it"
        )
    require_once(name, files, model.base_model_prefix)
    require_exactly(name, loaded, {key: shape for file in files for key, shape in shapes_in(file).items()})
    return model, tokenizer


def require_unambiguous(name: str, source: str) -> None:
    """Pass if transformers would not take a folder for a name of the Hub.

    Raises:
        BaseModelError: it would.
    """
    if Path(source).is_dir() and not is_path(source):
        raise BaseModelError(f"base model {name!r} is a name of the Hub, and a folder here: write './{name}' for that")


def not_loaded(name: str, error: Exception) -> BaseModelError:
    """What is said of a model that transformers could not load."""
    return BaseModelError(
        f"base model {name!r} could not be loaded ({type(error).__name__}): name 'embedded', a model that `dpsynth "
        "model list` knows, a .gguf file, a folder that holds config.json, tokenizer and safetensors, or a Hub "
        "model that this machine can reach"
    )


def read_gguf(file: Path) -> tuple[Any, PreTrainedTokenizerBase]:
    """The model and tokenizer of a GGUF file, its weights as plain float32.

    Raises:
        BaseModelError: it cannot be read as a causal language model, or lacks a weight of it.
    """
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        about: dict[str, Any] = {"gguf_file": file.name, "dtype": "float32", "output_loading_info": True}
        model, loaded = cast(
            "tuple[Any, Mapping[str, Any]]", AutoModelForCausalLM.from_pretrained(str(file.parent), **about)
        )
    except Exception as error:  # what its reader raises of a damaged file is anything
        raise BaseModelError(
            f"base model {str(file)!r} could not be read ({type(error).__name__}): give a whole GGUF file of a "
            "language model that transformers knows"
        ) from error
    require_exactly(str(file), {**loaded, "unexpected_keys": ()}, {})  # some writers leave tables in that are computed
    # Its weights are not quantised any more, and a model that says it is cannot be saved.
    del model.hf_quantizer, model.is_quantized, model.quantization_method, model.config.quantization_config
    return model, tokenizer


def weights_digest(name: str) -> str | None:
    """SHA-256 over the weight files that are read of a local model, in name order, or over a `.gguf` file; None for a
    Hub name, which carries its own revision."""
    place = Path(_source(name))
    files = [place] if place.is_file() else weight_files(place)
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
