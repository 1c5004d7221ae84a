"""The warehouse of published synthetic tables as a Dagster resource, with the ledger's seals for its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger import Ledger, Seal, SealError
from resources.deployed import Deployed
from resources.heads import open_ledger
from resources.home import Home, replace_atomically
from resources.seals import SUFFIX, TABLE, digest_of, digests_of_tables, standing

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.publish.release import ReleaseRecord
    from dpsynth_assets.quality.verdict import Verdict


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
    """Publishes corpora with a passing verdict, and answers read-only SQL. Holds synthetic rows only."""

    @property
    def folder(self) -> Path:
        return Home.at(self.home).warehouse

    def tables(self, **made_from: Seal) -> SealedTables:
        """The home's published tables, as its ledger knows them."""
        return SealedTables(open_ledger(Home.at(self.home)), made_from)

    def publish(
        self,
        frame_parquet: Path,
        *,
        contract: Contract,
        release: ReleaseRecord,
        verdict: Verdict,
        made_from: Mapping[str, Seal],
    ) -> tuple[Path, Seal]:
        """Publish a corpus and seal its table; refuses one whose verdict did not pass or is about another file."""
        from dpsynth_assets.publish.warehouse import publish

        tables = self.tables(**made_from)
        path = publish(self.folder, frame_parquet, contract=contract, release=release, verdict=verdict, tables=tables)
        seal = tables.sealed(path)
        assert seal is not None, "publishing ends with the seal"
        return path, seal

    def put_right(self) -> Path | None:
        """Make the database anew where it is missing or not what the sealed tables make it; where it then lies, or None
        where there was nothing to do."""
        from dpsynth_assets.publish.warehouse import DATABASE, PARQUET, differences, rebuild

        whole = (self.folder / DATABASE).is_file() and not (self.folder / DATABASE).is_symlink()
        if not (self.folder / PARQUET).is_dir() or (whole and not differences(self.folder, self.tables())):
            return None
        return rebuild(self.folder, self.tables())

    def left_out(self) -> list[Path]:
        """Files among the published ones that have no view, since they are not as they were sealed, if they were."""
        from dpsynth_assets.publish.warehouse import left_out

        return left_out(self.folder, self.tables())

    def query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Columns and rows of a read-only query."""
        from dpsynth_assets.publish.query import query
        from dpsynth_assets.publish.warehouse import PARQUET

        digests = digests_of_tables(open_ledger(Home.at(self.home)), self.folder / PARQUET)
        columns, rows = query(self.folder, sql, digests)
        return list(columns), [tuple(row) for row in rows]
