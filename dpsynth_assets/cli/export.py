"""`dpsynth export`: a published table as a folder to give away, or as objects of a bucket."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli.console import BadInput, contract_at, say, shown, variant_of
from dpsynth_assets.publish.export import FORMATS, README
from resources.home import Home


def export(
    path: Annotated[Path, typer.Argument(metavar="CONTRACT", help="The contract file.")],
    form: Annotated[str, typer.Option("--format", help=f"The rows as {', '.join(FORMATS)}.")] = "parquet",
    out: Annotated[Path | None, typer.Option(help="The folder to write; named after the table if not given.")] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A place in a bucket instead: s3://BUCKET/PREFIX, gs://..., abfs://..."),
    ] = None,
    variant: Annotated[str | None, typer.Option(help="The table of this release variant.")] = None,
) -> None:
    """Write a published synthetic table to a folder or a bucket, with a README in Hugging Face's dataset-card form and
    its sealed certificate. Costs no budget.

    `parquet` is the published file itself, with its seal; `hf` the same as a repository of the Hugging Face Hub has it.
    """
    from dpsynth_assets.assets.privacy_audit import RefutedError, require_no_incident
    from dpsynth_assets.assets.proof import UnprovenError, require_published
    from dpsynth_assets.gate.approval import require_terms
    from dpsynth_assets.publish.export import export as write
    from dpsynth_assets.publish.sql import schema_of
    from resources.artifact_store import ArtifactStore
    from resources.buckets import put, require_address
    from resources.heads import open_ledger
    from resources.ledger import LedgerResource
    from resources.seals import SUFFIX

    if form not in FORMATS:
        raise BadInput(f"--format {form}: the rows can be written as {', '.join(FORMATS)}")
    if out is not None and to is not None:
        raise BadInput("give --out for a folder or --to for a bucket, not both")
    address = require_address(to) if to else None
    contract = variant_of(contract_at(path), variant)
    home = Home.at()
    store = ArtifactStore(home=str(home.root))
    require_terms(contract, open_ledger(home))
    synthetic = store.latest(contract.id, "synthetic")
    try:
        table = require_published(synthetic, store)
        require_no_incident({"table": synthetic}, LedgerResource(home=str(home.root)))
    except (UnprovenError, RefutedError) as error:
        raise BadInput(f"nothing was exported: {error}") from None
    card = store.find(contract.id, "card")
    if card is None or card.receipt["about"]["synthetic"] != synthetic.id:
        raise BadInput(
            f"the release {synthetic.receipt['about']['corpus']} has no card yet, which travels with its table: "
            f"`dpsynth run {shown(path)}{f' --variant {variant}' if variant else ''} --only card` makes it, free"
        )
    name = f"{schema_of(contract.id)}.{contract.table}"
    with tempfile.TemporaryDirectory() if address else nullcontext() as scratch:
        folder = Path(scratch) / name if scratch else out or Path(name)
        rows = write(table, table.with_name(table.name + SUFFIX), card.folder, folder, form)
        if address:
            put(folder, address, last=README)
            there, readme = f"{address}/{rows.relative_to(folder).as_posix()}", f"{address}/{README}"
        else:
            there, readme = shown(rows), f"{folder / README}"
    say("Wrote ", (there, "bold"), f", {synthetic.receipt['about']['rows']:,} rows, with {readme}.")
    say(f"Read {readme} before you give it away; a licence for the data is yours to add.", style="dim")
