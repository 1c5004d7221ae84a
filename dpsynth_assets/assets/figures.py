"""Ledger facts and synthetic rows as Dagster metadata: floats that plot themselves, tables, column schemas.

An allow-list by construction: what is built here comes from the ledger, the contract or a synthetic frame.

The interface widens a page's table of metadata for a word that does not fit, and cuts off the right end of every other
value. So no long word is shown that cannot be broken: no path, and no digest or signature in one piece. Markdown of a
thousand characters or more it hides behind a button, so previews are shorter.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.markdown import escaped, table
from dpsynth_assets.publish.release import NO_GUARANTEE, READ_NOTHING, synthetic_column

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract
    from ledger import Checkpoint
    from resources.artifact_store import Artifact

PAGES = "pages"  # where the web interface serves the pages of artifacts (`dpsynth_assets.web.pages`)
_PREVIEW_ROWS = 8
_PREVIEW_CHARACTERS = 200
_SHOWN = 1_000  # characters of Markdown from which on it is hidden
_PIECES = re.compile("[^/_]{1,24}[/_]?|[/_]")  # between which a word may be broken
_BREAK = "&#8203;"  # a space without width, as Markdown writes it


def receipts_metadata(artifact: Artifact) -> dict[str, Any]:
    """The charges that a result rests on, as a table, and the entry that seals it, signed: by it a ledger that was
    rolled back or rewritten afterwards shows. Without charges nothing was read for it, or nothing is promised of it."""
    charges, signed = artifact.receipts, artifact.checkpoint
    sealed = {"ledger_checkpoint": _checkpoint(signed)} if signed else {}
    if not charges:
        promised = NO_GUARANTEE if artifact.without_guarantee else READ_NOTHING
        return {"receipts": dg.MetadataValue.md(f"Nothing was charged: {promised}."), **sealed}
    rows = [
        (*map(_breakable, (c["release"], c["event"]["event"])), c["ledger_seq"], escaped(str(c["ledger_hash"])[:12]))
        for c in charges
    ]
    receipts = table(["release", "mechanism", "entry", "hash"], rows, "llrl")
    return {"receipts": dg.MetadataValue.md(receipts), **sealed}


def _checkpoint(signed: Checkpoint) -> dg.MarkdownMetadataValue:
    """All of a checkpoint, its digits in groups of eight."""
    grouped = {name: " ".join(re.findall(".{1,8}", getattr(signed, name))) for name in ("hash", "signature")}
    said = {"ledger": signed.ledger, "entry": signed.seq, "time": signed.time, **grouped}
    return dg.MetadataValue.md(table(["checkpoint", ""], [(name, escaped(value)) for name, value in said.items()]))


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
    """The synthetic table's columns, as what they are."""
    described = {column.name: column.description for column in contract.columns}
    terms = contract.privacy
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, type="string", description=synthetic_column(described.get(name)))
            for name in [terms.text.column, *(label.column for label in terms.labels)]
        ]
    )


def preview(frame: pd.DataFrame, rows: int = _PREVIEW_ROWS) -> dg.MarkdownMetadataValue:
    """A few synthetic rows as a Markdown table. For synthetic frames only."""
    cells = [[_cell(value) for value in row] for row in frame.head(rows).itertuples(index=False, name=None)]
    while len(shown := table([*map(escaped, frame.columns)], cells)) >= _SHOWN and len(cells) > 1:
        cells.pop()
    return dg.MetadataValue.md(shown)


def picture(png: bytes, said: str) -> dg.MarkdownMetadataValue:
    """A small PNG of synthetic or public figures, shown in the UI. `said` stands where it cannot be drawn."""
    return dg.MetadataValue.md(f"![{said}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})")


def page_of(artifact: Artifact, name: str) -> dg.MarkdownMetadataValue:
    """A link from the UI to a page of an artifact."""
    return dg.MetadataValue.md(f"[{name}](/{PAGES}/{artifact.contract}/{artifact.kind}/{artifact.id}/{name})")


def _cell(value: object) -> str:
    text = " ".join(str(value).split())
    shown = text if len(text) <= _PREVIEW_CHARACTERS else text[: _PREVIEW_CHARACTERS - 1] + "…"
    return " ".join(map(_breakable, shown.split()))


def _breakable(word: str) -> str:
    return _BREAK.join(map(escaped, _PIECES.findall(word)))
