"""What is known of a published release: where it came from, what it guarantees, what proves it.

Everything here is public: terms of the contract, charges of the ledger, numbers of the verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

NO_GUARANTEE = "no privacy guarantee at all: made from a source declared public, without noise"
READ_NOTHING = "epsilon 0, delta 0: no row was read for it, and nothing was charged"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class PublishError(Exception):
    """The warehouse could not do what was asked; the message says what to do instead."""


class PublishRefused(PublishError):  # noqa: N818 - it names what happened, as BudgetRefused does
    """A corpus that must not be published as it stands."""


class QueryError(PublishError):
    """A query that could not be answered, in words for the analyst who wrote it."""


@dataclass(frozen=True)
class ReleaseRecord:
    """One release of one synthetic table. `created` is ISO 8601 in UTC; `parquet` is filled in on publishing.

    `epsilon` and `delta` are of this table: all its charged parts together. Both are None where it has no guarantee at
    all. What the population has spent in all, over every release, is the ledger's to say.
    """

    id: str
    contract: str
    contract_version: str
    table: str
    population: str
    unit: str
    neighbouring_relation: str
    epsilon: float | None
    delta: float | None
    rows: int
    created: str
    receipts: tuple[Mapping[str, Any], ...] = field(default=())
    parquet: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "receipts", tuple(dict(receipt) for receipt in self.receipts))
        for name in ("id", "contract", "table"):
            if not _ID.fullmatch(getattr(self, name)):
                raise PublishError(
                    f"the release's {name} {getattr(self, name)!r} cannot name a file: "
                    "use letters, digits, dot, dash and underscore, starting with a letter or digit"
                )
        if (self.epsilon is None) != (self.delta is None):
            raise PublishError(f"release {self.id}: a guarantee has an epsilon and a delta, no guarantee has neither")
        if self.epsilon is not None and not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise PublishError(f"release {self.id}: epsilon must be a number, 0 at least, not {self.epsilon!r}")
        if self.epsilon == 0 and self.delta != 0:
            raise PublishError(f"release {self.id}: where nothing was read delta is 0 too, not {self.delta!r}")
        if self.delta is not None and not 0 <= self.delta < 1:
            raise PublishError(f"release {self.id}: delta must lie in [0, 1), not {self.delta!r}")
        try:
            moment = datetime.fromisoformat(self.created)
        except (TypeError, ValueError):
            raise PublishError(f"release {self.id}: created {self.created!r} is not an ISO 8601 time") from None
        if moment.utcoffset() != timedelta(0):
            raise PublishError(f"release {self.id}: created {self.created!r} must say that it is in UTC (+00:00)")
        try:
            json.dumps(self.receipts, allow_nan=False)
        except (TypeError, ValueError):
            raise PublishError(f"release {self.id}: its receipts are not plain JSON data") from None

    @property
    def moment(self) -> datetime:
        """When it was created, as a UTC time without a zone: what the warehouse stores."""
        return datetime.fromisoformat(self.created).replace(tzinfo=None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReleaseRecord:
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})


def guarantee(release: ReleaseRecord, contract: Contract) -> str:
    """The release's guarantee in plain words, for the comment on its view."""
    bound = contract.privacy.unit.max_records
    unit = release.unit
    if release.epsilon is None:
        return (
            "Synthetic, with no privacy guarantee at all: made without noise from a source that its owner declares "
            f"public. Rows may repeat what a {unit} of {release.population} wrote."
        )
    if release.epsilon == 0:
        return (
            f"Synthetic, and made without reading a row of {release.population}: epsilon = 0. The base model "
            f"{contract.privacy.base_model.name} as it comes was asked for these texts by their labels."
        )
    whole = f"one {unit}" + (f" with all its records (at most {bound:,} of them count)" if bound > 1 else "")
    return (
        f"Synthetic: no row is a real record. Differentially private with epsilon = {release.epsilon:.4g} and "
        f"delta = {release.delta:.3g} for adding or removing {whole}: whether any one {unit} of "
        f"{release.population} was in the source changes the chance of whatever this table shows by at most these. "
        "Queries on it cost no further budget."
    )


def synthetic_column(description: str | None) -> str:
    """What a column of a synthetic table is, where the contract describes the source's. What is guaranteed of it is the
    table's to say."""
    return f"Synthetic. In the source: {description}" if description else "Synthetic."
