"""Where base models lie, and whether the one that a contract names is there. Loads neither torch nor transformers.

A model that is known by name lies in its folder under `models` of the home; one that a contract names by path lies
beside the contract. One at an endpoint lies nowhere here: all that can be lacking is its key. Knows nothing of what is
in a model, and asks no server.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dpsynth_assets.contract import resolve
from dpsynth_assets.contract.base_models import KNOWN, is_path

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

MODELS = "DPSYNTH_MODELS"  # the environment's word for the folder, where several homes share one


class BaseModelError(ValueError):
    """A base model that cannot be had; the message says which and what to do."""


def models_folder() -> Path:
    """$DPSYNTH_MODELS, or else `models` in the home. Only the command line and `resources` know the home as a whole,
    and models are no part of what it keeps safe."""
    home = os.environ.get("DPSYNTH_HOME") or ".dpsynth"
    return Path(os.environ.get(MODELS) or Path(home) / "models").expanduser().absolute()


def answers_folder() -> Path:
    """`answers` in the home: what servers answered on the way to texts that are not drawn yet."""
    home = os.environ.get("DPSYNTH_HOME") or ".dpsynth"
    return (Path(home) / "answers").expanduser().absolute()


def folder_of(name: str) -> Path:
    """The folder of a model that is known by name, whether it is there or not."""
    return models_folder() / name


def located(name: str, contract: Contract) -> str:
    """A base model's name as it is loaded: a path as seen from the contract's folder, any other name as it is.

    Raises:
        BaseModelError: the contract's model is at an endpoint, so that there is nothing to load.
    """
    if (endpoint := contract.privacy.base_model.endpoint) is not None:
        raise BaseModelError(
            f"the base model {name} is at {endpoint} and cannot be loaded here: for what takes a model's weights, "
            f"leave `base_model.endpoint` out of {contract.file} and name a model of this machine"
        )
    return str(resolve(name, contract)) if is_path(name) else name


def lacking(contract: Contract) -> str | None:
    """What is missing of the contract's base model, and what brings it; None where it is there or, by a Hub name, may
    be."""
    base = contract.privacy.base_model
    if base.endpoint is not None:
        return lacking_key(base.key_variable)
    name = base.name
    if name in KNOWN:
        return None if folder_of(name).is_dir() else not_here(name)
    if not is_path(name):
        folder = "/" in name and (contract.path.parent / name).is_dir()
        return f"the base model {name} is a name on the Hub: for the folder write `./{name}`" if folder else None
    place, correct = Path(located(name, contract)), f"correct `base_model.name` in {contract.file}"
    if name.endswith(".gguf"):
        return None if place.is_file() else f"the base model's file {place} is not there: {correct}"
    there = (place / "config.json").is_file()
    return None if there else f"the base model's folder {place} is not there, or has no config.json: {correct}"


def lacking_key(variable: str | None) -> str | None:
    """What is said of an endpoint's key that is not there. Whether it is the right one, only the server knows."""
    if variable is None or os.environ.get(variable, "").strip():
        return None
    return f"the environment variable {variable} holds no key for the base model's endpoint: set it before you run this"


def not_here(name: str) -> str:
    """What is said of a known model that was not brought."""
    return f"the base model {name} is not here yet: `dpsynth model add {name}` brings it"


def require_base_model(contract: Contract) -> None:
    """Pass if the contract's base model is there, as far as can be told without loading it.

    Raises:
        BaseModelError: it is not.
    """
    if (said := lacking(contract)) is not None:
        raise BaseModelError(said)
