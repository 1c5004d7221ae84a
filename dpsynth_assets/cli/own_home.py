"""Releases in a home of their own, to measure or rehearse: approved, charged and made as `dpsynth run` makes them.

Each such home has its own ledger. All of them together would be one large release about the same rows, which only a
*public* source, about which nothing is promised, or made-up rows can stand.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpsynth_assets.cli.running import materialize
from dpsynth_assets.gate.approval import sign
from dpsynth_assets.language.model_places import MODELS, models_folder
from resources.artifact_store import ArtifactStore
from resources.heads import create_ledger, open_ledger
from resources.home import Home

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract


class NotMadeError(RuntimeError):
    """Something could not be made; the message has the failures."""


def opened(folder: Path, contract: Contract, reason: str) -> Home:
    """The home in `folder`, made if it is not there, in whose ledger the contract's people have signed for it. Base
    models stay where this process's own home has them."""
    os.environ.setdefault(MODELS, str(models_folder()))  # its home has none of its own
    home = Home.at(folder)
    if not home.has_ledger:
        home.create()
        create_ledger(home)
    book = open_ledger(home)
    for person in (contract.owners[0], contract.approvers[0]):
        sign(contract, book, actor=person, reason=reason)
    return home


def made_in(
    folder: Path, contract: Contract, names: Sequence[str], *, source: str | None = None, size: float | None = None
) -> ArtifactStore:
    """The artifacts of the home in `folder`, after the source's snapshot and the named assets were made there, unless
    they are there.

    Raises:
        NotMadeError: one of them failed, or the run was stopped, as by Ctrl-C.
    """
    home = opened(folder, contract, "a benchmark on a public source")
    store = ArtifactStore(home=str(home.root))
    lacking = [name for name in names if store.find(contract.id, name) is None]
    if lacking or not names:
        outcome = materialize(contract, home, source=source, size=size, only=("source", *lacking))
        if outcome.stopped:
            raise NotMadeError(f"{contract.id}: stopped; the same command goes on where it was")
        if not outcome.success:
            failed = [f"{name}: {why}" for name, why in outcome.failures.items()] or outcome.checks_failed
            raise NotMadeError(f"{contract.id}: {'; '.join(failed)}")
    return store
