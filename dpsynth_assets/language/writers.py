"""Which writer a contract's texts are asked of: the server that it names, or its base model on this machine."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dpsynth_assets.language.model_places import MODELS, answers_folder, models_folder, require_base_model
from dpsynth_assets.language.writing import Insistent
from dpsynth_assets.shards import Work

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.language.writing import Writer


def writer_of(contract: Contract, adapter: Path | None, precision: Literal["float32", "bfloat16"]) -> Writer:
    """The contract's writer.

    Args:
        adapter: the folder of its adapter, if that is to write.
        precision: of a local model's passes.

    Raises:
        BaseModelError: a local model cannot be had. A server is first asked when it is to write.
    """
    if contract.privacy.base_model.endpoint is not None:
        from dpsynth_assets.language.endpoint import EndpointWriter

        return Insistent(EndpointWriter.of(contract, _answers(contract)))
    from dpsynth_assets.language.local_writer import LocalModel, LocalWriter  # torch

    return Insistent(LocalWriter(LocalModel.of(contract, adapter, precision)))


def work_of(contract: Contract, adapter: Path | None, precision: Literal["float32", "bfloat16"]) -> Work | None:
    """What writes shards of texts as `writer_of` would, in any process of this machine: post-processing, made of public
    constants and of the place of a release. None where a server writes.

    Args:
        adapter, precision: as there.
    """
    if contract.privacy.base_model.endpoint is not None:
        return None
    from dpsynth_assets.language.local_writer import LocalModel  # torch

    setup = asdict(LocalModel.of(contract, adapter, precision))
    return Work("dpsynth_assets.language.local_writer:writing", setup, {MODELS: str(models_folder())})


def require_writer(contract: Contract) -> None:
    """Pass if the contract's model is there: before any of its releases, or those before the texts would be paid in
    vain. A server is asked for one text, whose only use is that it came; of a model on the Hub the tokenizer is read.

    Raises:
        BaseModelError, WriterError: it is not.
    """
    require_base_model(contract)
    base = contract.privacy.base_model
    if base.endpoint is not None:
        from dpsynth_assets.language.endpoint import EndpointWriter

        EndpointWriter.of(contract, _answers(contract)).reach()
    elif base.on_hub:
        from dpsynth_assets.language import base_model  # torch

        base_model.load_tokenizer(base.name)


def forget_answers(contract: Contract) -> None:
    """Remove what a server answered on the way to texts that are drawn and kept by now."""
    shutil.rmtree(_answers(contract), ignore_errors=True)


def _answers(contract: Contract) -> Path:
    return answers_folder() / contract.id
