"""The warehouse of published synthetic tables as a Dagster resource, with the ledger's seals for its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ledger import Ledger, Seal, SealError
from resources.deployed import Deployed
from resources.heads import open_ledger
from resources.home import Home, replace_atomically
from resources.seals import SUFFIX, TABLE, digest_of, standing


@dataclass(frozen=True)
class SealedTables:
    """Which published files the ledger has sealed, each under its contract and release. `made_from` is what the next
    table to be sealed was made from."""

    book: Ledger
    made_from: Mapping[str, Seal]

    def sealed(self, path: Path) -> Seal | None:
        """The seal of the release that belongs at this place, whatever lies there now."""
        return standing(self.book, f"{path.parent.parent.name}/{TABLE}", path.stem)

    def state(self, path: Path) -> str:
        """Whether the file that lies there is `sealed`, `changed` since, or `unsealed`."""
        seal = self.sealed(path)
        if seal is None:
            return "unsealed"
        try:
            return "sealed" if seal.files == {path.name: digest_of(path)} else "changed"
        except SealError:  # a link, or nothing that can be read
            return "changed"

    def seal(self, path: Path) -> None:
        """Seal a published file, unless it is sealed as it lies there, and put its seal beside it."""
        seal = self.sealed(path)
        if seal is None or self.state(path) != "sealed":
            files, name = {path.name: digest_of(path)}, f"{path.parent.parent.name}/{TABLE}"
            seal = self.book.seal(name, path.stem, files, made_from=self.made_from).seal
        replace_atomically(path.with_name(path.name + SUFFIX), self.book.portable(seal))


class Warehouse(Deployed):
    """The folder of published tables, and which of them are sealed. Holds synthetic rows only."""

    @property
    def folder(self) -> Path:
        return Home.at(self.home).warehouse

    def tables(self, **made_from: Seal) -> SealedTables:
        """The home's published tables, as its ledger knows them."""
        return SealedTables(open_ledger(Home.at(self.home)), made_from)
