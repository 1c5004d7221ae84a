"""The base model as it comes, in the place of an adapter: what stands where no row is read, so that nothing is learned.

There are no weights in the folder: it names the base model, and generation takes that as it is. This is what a LoRA
adapter is before its first step, whose update is zero; of no method is anything made up. Knows no row and no plan.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.language import base_model
from dpsynth_assets.language.model_places import located

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

_FILE = "base_model.json"


def untouched(contract: Contract, folder: Path) -> dict[str, Any]:
    """Write which base model stands there, and give what may be shown of it.

    Raises:
        BaseModelError: it cannot be had.
    """
    name, endpoint = contract.privacy.base_model.name, contract.privacy.base_model.endpoint
    if endpoint is not None:
        said: dict[str, str | None] = {"base_model": name, "endpoint": endpoint, "trained": "nothing"}
        (folder / _FILE).write_text(json.dumps(said), encoding="utf-8")
        return {"base_model": name, "trained": "nothing: the model as it answers"}
    place = located(name, contract)
    base_model.load_base_model(place)
    said = {"base_model": name, "weights_sha256": base_model.weights_digest(place), "trained": "nothing"}
    (folder / _FILE).write_text(json.dumps(said), encoding="utf-8")
    return {"base_model": name, "trained": "nothing: the base model as it comes"}


def is_untouched(folder: Path) -> bool:
    """Whether a folder stands for the base model as it comes."""
    return (folder / _FILE).exists()
