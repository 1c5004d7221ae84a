"""Which files of a base model's folder are read, by transformers' rule, and whether what is in them is the model that
`config.json` describes, nothing less and nothing more.

A weight that no file has would be made of random numbers, other ones in each process and at each load; one that has no
place in the model is part of another one; of two by one name, the last that is read wins. What is trained, or drawn
from, would not be what was meant. All are refused, whether the model is held whole or in shards.

Knows files and names. Knows nothing of what weights are for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import get_checkpoint_shard_files

from dpsynth_assets.language.model_places import BaseModelError


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that transformers reads of a folder: one of a fixed name, or else what the index lists. Others
    may lie there too.

    Raises:
        OSError, ValueError, KeyError: the index cannot be read.
    """
    if (only := folder / SAFE_WEIGHTS_NAME).is_file():
        return [only]
    if not (index := folder / SAFE_WEIGHTS_INDEX_NAME).is_file():
        return []
    files, _ = get_checkpoint_shard_files(str(folder), str(index))
    return [Path(file) for file in files]


def shapes_in(file: Path) -> dict[str, tuple[int, ...]]:
    """The weights of a file, by name."""
    with safe_open(file, "pt") as stored:
        return {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118 - no mapping


def require_once(name: str, files: Sequence[Path], prefix: str) -> None:
    """Pass if no two weights of the files are for one place in the model.

    Args:
        name: of the base model.
        prefix: a model's name for its body (`base_model_prefix`): files of the body alone leave it out.

    Raises:
        BaseModelError: two are.
    """
    found: dict[str, Path] = {}
    for file in files:
        for key in shapes_in(file):
            place = key.removeprefix(f"{prefix}.")
            if place in found:
                where = file.name if file == found[place] else f"{found[place].name} and {file.name}"
                raise BaseModelError(
                    f"the files of base model {name!r} have the weight {key!r} twice, in {where}: leave in the one "
                    "that is meant"
                )
            found[place] = file


# Which token may look at which: a table that older versions of transformers saved with GPT-2, GPT-Neo and GPT-J.
_MASK = re.compile(r"(?:.*\.)?(?:attn|attention)\.(?:masked_)?bias")


def require_exactly(name: str, loaded: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Pass if the model has all weights of its files, and the files all of the model; but for tables that are computed.

    Args:
        name: of the base model.
        loaded: what `from_pretrained` says of its loading.
        shapes: of what is in the files.

    Raises:
        BaseModelError: one is left over, lacking or of another shape.
    """
    for what, keys in (
        ("have no weight {} that the model needs, which would be random numbers", loaded["missing_keys"]),
        (
            "have a weight {} that the model has no place for",
            {key for key in loaded["unexpected_keys"] if not _is_mask(key, shapes.get(key, ()))},
        ),
        ("have the weight {} in another shape than the model", {key for key, *_ in loaded["mismatched_keys"]}),
    ):
        if keys:
            one, *others = sorted(keys)
            said = what.format(f"{one!r}{f' (and {len(others)} more like it)' if others else ''}")
            raise BaseModelError(
                f"base model {name!r}: the files {said}. What is loaded would not be the model that was saved: see "
                "that `config.json` describes the weights beside it, or save the model again with `save_pretrained`"
            )


def _is_mask(key: str, shape: tuple[int, ...]) -> bool:
    """Whether this is no weight: `masked_bias` is one number, `bias` a square for all."""
    if not _MASK.fullmatch(key):
        return False
    return sum(shape) <= 1 if key.endswith("masked_bias") else len(shape) == 4 and shape[:2] == (1, 1)


def read_elsewhere(folder: Path, config: Any) -> str | None:
    """What makes transformers read other files than `weight_files` of a folder, or more."""
    if getattr(config, "transformers_weights", None) is not None:
        return "`transformers_weights` in config.json"
    others = ["adapter_config.json", "shard-*-model-*-of-*.safetensors"]
    return next((found.name for pattern in others for found in sorted(folder.glob(pattern))), None)
