"""Artifacts: what releases and post-processing leave behind, each with the receipt of what it cost.

    artifacts/<contract>/<kind>/<id>/...          the files
    artifacts/<contract>/<kind>/<id>/receipt.json written last: an artifact without one does not exist
    artifacts/<contract>/<kind>/latest            the id of the standing one
    artifacts/<contract>/<kind>/.unfinished/<...> what a long piece of work has done so far

Everything here has left the sensitive zone: an adapter, noisy counts, synthetic rows, figures on public data.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resources.deployed import Deployed
from resources.home import Home, replace_atomically

RECEIPT = "receipt.json"
GUARANTEE, NONE = "guarantee", "none"  # what a receipt says of something that was made without privacy


class ArtifactMissingError(Exception):
    """An artifact was asked for that nothing has made yet; says which asset to materialize."""


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its folder, its content digest and its receipt."""

    contract: str
    kind: str
    id: str
    folder: Path
    receipt: dict[str, Any]

    @property
    def digest(self) -> str:
        return str(self.receipt["artifact_digest"])

    @property
    def receipts(self) -> list[dict[str, Any]]:
        """The charges that this artifact rests on, its own or those of what it was made from."""
        charges: list[dict[str, Any]] = self.receipt["charges"]
        return charges

    @property
    def without_guarantee(self) -> bool:
        """Whether it was made, itself or what it was made from, without privacy (the gate's uncharged passage)."""
        return bool(self.receipt["about"].get(GUARANTEE) == NONE)


def distinct_charges(*artifacts: Artifact) -> list[dict[str, Any]]:
    """The charges that something made of these artifacts rests on, each once."""
    return list({charge["ledger_hash"]: charge for each in artifacts for charge in each.receipts}.values())


class Draft:
    """An artifact in the making: a folder under its final id, not yet to be found by anybody."""

    def __init__(self, contract: str, kind: str, folder: Path) -> None:
        self.contract, self.kind, self.folder = contract, kind, folder

    @property
    def id(self) -> str:
        return self.folder.name

    def digest(self) -> str:
        """SHA-256 over names and contents of all files but the receipt."""
        return folder_digest(self.folder)


class ArtifactStore(Deployed):
    """Reads and writes artifacts under the home folder."""

    @contextmanager
    def draft(self, contract: str, kind: str) -> Iterator[Draft]:
        """A folder to write an artifact into; removed again unless `seal` was called on it."""
        identity = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        folder = self._kind(contract, kind) / identity
        folder.mkdir(parents=True)
        try:
            yield Draft(contract, kind, folder)
        finally:
            if not (folder / RECEIPT).exists():
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def unfinished(self, contract: str, kind: str, *made_of: str) -> Iterator[Path]:
        """A folder that outlives a killed process, the same for the same `made_of`; removed when the block succeeds."""
        name = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:32]
        folder = self._kind(contract, kind) / ".unfinished" / name
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    def seal(
        self,
        draft: Draft,
        *,
        made_from: Mapping[str, Artifact] | None = None,
        charges: Sequence[dict[str, Any]] = (),
        about: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Finish a draft: write its receipt, then make it the standing artifact of its kind.

        Args:
            made_from: artifacts whose charges it rests on; the receipt names each. Where one has no guarantee, neither
                has this.
            charges: further ones, such as its own.
            about: further facts for the receipt.
        """
        before = dict(made_from or {})
        unprotected = any(each.without_guarantee for each in before.values())
        receipt = {
            "contract": draft.contract,
            "kind": draft.kind,
            "id": draft.id,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "artifact_digest": draft.digest(),
            "charges": [*charges, *distinct_charges(*before.values())],
            "about": {
                **{name: each.id for name, each in before.items()},
                **(about or {}),
                **({GUARANTEE: NONE} if unprotected else {}),
            },
        }
        data = json.dumps(receipt, indent=2, sort_keys=True, allow_nan=False).encode()
        replace_atomically(draft.folder / RECEIPT, data)
        replace_atomically(self._kind(draft.contract, draft.kind) / "latest", draft.id.encode())
        return Artifact(draft.contract, draft.kind, draft.id, draft.folder, receipt)

    def latest(self, contract: str, kind: str) -> Artifact:
        """The standing artifact of a kind.

        Raises:
            ArtifactMissingError: there is none; the message says which asset to materialize.
        """
        pointer = self._kind(contract, kind) / "latest"
        if not pointer.exists():
            raise ArtifactMissingError(f"{contract} has no {kind} yet: materialize {contract}/{kind} first")
        return self.get(contract, kind, pointer.read_text(encoding="utf-8"))

    def get(self, contract: str, kind: str, identity: str) -> Artifact:
        """The artifact of that id; `ArtifactMissingError` where it is absent or was never finished."""
        folder = self._kind(contract, kind) / identity
        if not (folder / RECEIPT).exists():
            raise ArtifactMissingError(f"{contract} has no {kind} {identity}: materialize {contract}/{kind} again")
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        return Artifact(contract, kind, identity, folder, receipt)

    def find(self, contract: str, kind: str) -> Artifact | None:
        """The standing artifact of a kind, or None."""
        try:
            return self.latest(contract, kind)
        except ArtifactMissingError:
            return None

    def _kind(self, contract: str, kind: str) -> Path:
        return Home.at(self.home).artifacts / contract / kind


def folder_digest(folder: Path) -> str:
    """SHA-256 over the relative names and contents of a folder's files, receipt aside."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != RECEIPT):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()
