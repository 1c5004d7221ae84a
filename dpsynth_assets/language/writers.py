"""Which writer a contract's texts are asked of: the server that it names, or its base model on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dpsynth_assets.language.model_places import answers_folder, require_base_model

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

        return EndpointWriter.of(contract, _answers(contract))
    from dpsynth_assets.language.local_writer import LocalWriter  # torch

    return LocalWriter(contract, adapter, precision)


def require_writer(contract: Contract) -> None:
    """Pass if the contract's model is there: before any of its releases, or those before the texts would be paid in
    vain. A server is asked for one text, whose only use is that it came.

    Raises:
        BaseModelError, WriterError: it is not.
    """
    require_base_model(contract)
    if contract.privacy.base_model.endpoint is not None:
        from dpsynth_assets.language.endpoint import EndpointWriter

        EndpointWriter.of(contract, _answers(contract)).reach()


def forget_answers(contract: Contract) -> None:
    """Remove what a server answered on the way to texts that are drawn and kept by now."""
    shutil.rmtree(_answers(contract), ignore_errors=True)


def _answers(contract: Contract) -> Path:
    return answers_folder() / contract.id
