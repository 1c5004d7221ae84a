"""Loads what a run loads on its way, for the server that processes of runs are forked from."""

from __future__ import annotations

import importlib
import pkgutil

import dpsynth_assets
from tests.assets import whole_run  # noqa: F401

_NOT_OF_A_RUN = ("__main__", ".demo", ".pretraining")

for _, name, _ in pkgutil.walk_packages(dpsynth_assets.__path__, "dpsynth_assets."):
    if not any(part in name for part in _NOT_OF_A_RUN):
        importlib.import_module(name)
