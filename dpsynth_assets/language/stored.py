"""A base model without its weights, and the files that they are read from one by one: for who cannot hold all of them.

Knows names and shapes. Knows nothing of shards, and not what the weights are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import init_empty_weights
from huggingface_hub import snapshot_download
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.core_model_loading import WeightConverter
from transformers.utils import logging

from dpsynth_assets.language.base_model import (
    UNREADABLE,
    load_tokenizer,
    make_fit,
    not_loaded,
    require_unambiguous,
    source_of,
)
from dpsynth_assets.language.model_places import BaseModelError
from dpsynth_assets.language.weight_files import read_elsewhere, require_exactly, require_once, shapes_in, weight_files

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Stored:
    """A base model before its weights are read.

    Attributes:
        model: its parameters are on the meta device, its buffers as they come; in evaluation mode.
        weights: its parameters, and the buffers that are saved with them.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    weights: StoredWeights


def stored_base_model(name: str) -> Stored:
    """What `load_base_model` loads, before a weight is read.

    Raises:
        BaseModelError: as `load_base_model`; or its weights are not plain ones in safetensors, under the names and in
            the shapes of the model's own, which transformers would fill it with as they are.
    """
    logging.disable_progress_bar()
    source = source_of(name)
    if source.endswith(".gguf"):
        raise _not_one_by_one(name, "a GGUF file's are unpacked together")
    require_unambiguous(name, source)
    try:
        patterns = ["*.json", "*.safetensors", "*.model", "*.txt"]
        folder = source if Path(source).is_dir() else snapshot_download(source, allow_patterns=patterns)
        config: Any = AutoConfig.from_pretrained(folder)
        with init_empty_weights(include_buffers=False):
            model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        weights = StoredWeights(weight_files(Path(folder)), model.base_model_prefix)
    except UNREADABLE as error:
        raise not_loaded(name, error) from error
    tokenizer = load_tokenizer(name)
    make_fit(name, tokenizer, model)
    if getattr(config, "quantization_config", None) is not None:
        raise _not_one_by_one(name, "they are quantised")
    if elsewhere := read_elsewhere(Path(folder), config):
        raise _not_one_by_one(name, f"transformers reads others, as {elsewhere} says")
    if not weights.files:
        raise _not_one_by_one(name, "none of its files is of safetensors")
    require_once(name, weights.files, model.base_model_prefix)
    loaded = _as_loaded(name, model, weights)
    copies = _tie(model, weights)
    if set(dict(model.named_parameters())) != set(dict(loaded.named_parameters())) - copies:
        raise _not_one_by_one(name, "transformers makes other parameters of them")
    shapes = {key: tuple(parameter.shape) for key, parameter in model.named_parameters()}
    if lacking := weights.lacking(shapes | {key: tuple(saved.shape) for key, saved in saved_buffers(model).items()}):
        raise _not_one_by_one(name, f"no file of safetensors has {lacking[0]} by this name and in its shape")
    return Stored(model.eval(), tokenizer, weights)


def _as_loaded(name: str, model: PreTrainedModel, weights: StoredWeights) -> torch.nn.Module:
    """The model as transformers would load it, without content: it is given the weights' names and shapes only. Two
    weights that are tied are two here where both are stored.

    Raises:
        BaseModelError: it would not fill the model with just these weights, each as it is.
    """
    kind: Any = type(model)
    with _silent():  # it would say on its own account what is refused here
        loaded, said = kind.from_pretrained(
            None,
            config=model.config,
            state_dict={key: torch.empty(shape, device="meta") for key, shape in weights.shapes.items()},
            dtype=torch.float32,
            device_map={"": "meta"},
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    require_exactly(name, said, weights.shapes)
    if any(isinstance(step, WeightConverter) for step in loaded._weight_conversions):
        raise _not_one_by_one(name, "transformers makes the model's of several of them")
    return cast("torch.nn.Module", loaded)


def _tie(model: PreTrainedModel, weights: StoredWeights) -> set[str]:
    """Give layers that are tied one weight; each was given an empty one of its own. As transformers does, whatever
    `config.json` says of two that are both in the files and differ: they stay two. Gives the names of second copies."""
    tied = model.get_expanded_tied_weights_keys(all_submodels=True)
    lacking = {key for key in model.state_dict() if key not in weights}
    copies = {
        key
        for key, source in tied.items()
        if key in weights and source in weights and torch.equal(weights.read(key).float(), weights.read(source).float())
    }
    model.tie_weights(missing_keys=lacking | copies)
    return copies


@contextmanager
def _silent() -> Iterator[None]:
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def saved_buffers(model: torch.nn.Module) -> dict[str, Tensor]:
    """The buffers that are saved with the parameters, by their names."""
    saved = set(model.state_dict())
    return {name: buffer for name, buffer in model.named_buffers() if name in saved}


def _not_one_by_one(name: str, why: str) -> BaseModelError:
    return BaseModelError(
        f"the weights of base model {name!r} cannot be read one by one: {why}. Load the model where there is memory "
        "for it and write it by `save_pretrained(folder, save_original_format=False)`, or leave DPSYNTH_SHARDED unset"
    )


class StoredWeights:
    """The weights in files of safetensors, none of which is in two.

    Args:
        prefix: a model's name for its body (`base_model_prefix`): files of the body alone leave it out.

    Attributes:
        shapes: of all of them, by their names in the files.
    """

    def __init__(self, files: Sequence[Path], prefix: str) -> None:
        self.files = files
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._prefix = f"{prefix}."
        self._file_of: dict[str, Path] = {}
        for file in files:
            shapes = shapes_in(file)
            self.shapes |= shapes
            self._file_of |= dict.fromkeys(shapes, file)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._stored(name) in self._file_of

    def lacking(self, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        """The names that no file has in that shape."""
        return [name for name, shape in shapes.items() if self.shapes.get(self._stored(name)) != shape]

    def read(self, name: str) -> Tensor:
        """The weight as it is stored, in a memory of its own.

        Raises:
            KeyError: no file has it.
        """
        stored_as = self._stored(name)
        # Opened anew for each: the pages of a file that stays open would count as this process's memory.
        with safe_open(self._file_of[stored_as], "pt") as stored:
            weight: Tensor = stored.get_tensor(stored_as).clone()
        return weight

    def _stored(self, name: str) -> str:
        return name if name in self._file_of else name.removeprefix(self._prefix)
