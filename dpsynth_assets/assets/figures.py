"""Ledger facts and synthetic rows as Dagster metadata: floats that plot themselves, tables, column schemas.

An allow-list by construction: what is built here comes from the ledger, the contract or a synthetic frame.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.markdown import escaped, table
from dpsynth_assets.publish.release import NO_GUARANTEE, READ_NOTHING

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract
    from resources.artifact_store import Artifact

_PREVIEW_ROWS = 8
_PREVIEW_CHARACTERS = 200


def receipts_metadata(artifact: Artifact) -> dict[str, Any]:
    """The charges that a result rests on, as a table, and the entry that seals it, signed: by it a ledger that was
    rolled back or rewritten afterwards shows. Without charges nothing was read for it, or nothing is promised of it."""
    charges, signed = artifact.receipts, artifact.checkpoint
    sealed = {"ledger_checkpoint": dg.MetadataValue.json(signed.to_json())} if signed else {}
    if not charges:
        promised = NO_GUARANTEE if artifact.without_guarantee else READ_NOTHING
        return {"receipts": dg.MetadataValue.md(f"Nothing was charged: {promised}."), **sealed}
    rows = [
        (f"`{c['release']}`", c["event"]["event"], c["ledger_seq"], f"`{str(c['ledger_hash'])[:12]}`") for c in charges
    ]
    receipts = table(["release", "mechanism", "ledger entry", "entry hash"], rows, "llrl")
    return {"receipts": dg.MetadataValue.md(receipts), **sealed}


def guarantee(contract: Contract) -> str:
    """The promise in one sentence."""
    if contract.without_privacy:
        return NO_GUARANTEE
    if contract.reads_nothing:
        return READ_NOTHING
    terms = contract.privacy
    records = "" if terms.unit.max_records == 1 else f" (up to {terms.unit.max_records} records each)"
    return (
        f"({terms.budget.epsilon:g}, {terms.budget.delta:g})-differential privacy for the population "
        f"{terms.population}, adding or removing one {terms.unit.name}{records}, over everything ever released about it"
    )


def column_schema(contract: Contract) -> dg.TableSchema:
    """The synthetic table's columns, with the contract's descriptions."""
    described = {column.name: column for column in contract.columns}
    terms = contract.privacy
    columns = []
    for name in [terms.text.column, *(label.column for label in terms.labels)]:
        column = described.get(name)
        columns.append(dg.TableColumn(name, type="string", description=column.description if column else None))
    return dg.TableSchema(columns=columns)


def preview(frame: pd.DataFrame, rows: int = _PREVIEW_ROWS) -> dg.MarkdownMetadataValue:
    """A few synthetic rows as a Markdown table. For synthetic frames only."""
    shown = ([_cell(value) for value in row] for row in frame.head(rows).itertuples(index=False, name=None))
    return dg.MetadataValue.md(table([*map(escaped, frame.columns)], shown))


def picture(png: bytes, said: str) -> dg.MarkdownMetadataValue:
    """A small PNG of synthetic or public figures, shown in the UI. `said` stands where it cannot be drawn."""
    return dg.MetadataValue.md(f"![{said}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})")


def _cell(value: object) -> str:
    text = " ".join(str(value).split())
    return escaped(text if len(text) <= _PREVIEW_CHARACTERS else text[: _PREVIEW_CHARACTERS - 1] + "…")
