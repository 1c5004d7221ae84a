"""`dpsynth verify`: whether a table, folder or card is what its publisher sealed. Offline, with a public key alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth_assets.cli.console import BadInput, fail, public_key, say
from dpsynth_assets.releases.registry import releases
from ledger import Ledger
from ledger.errors import SealError
from ledger.seals import fingerprint
from resources.home import Home

if TYPE_CHECKING:
    from resources.seals import Verified

_KINDS = {
    "table": "a published synthetic table",
    "card": "a release's card",
    "corpus": "a synthetic corpus",
    "classifier": "classifiers that were trained on a synthetic table",
    "safety_classifier": "a safety classifier that was trained on a synthetic table",
}


def verify(
    path: Annotated[Path, typer.Argument(help="A table's Parquet file, an artifact's folder or a card.")],
    key: Annotated[
        str, typer.Option(help="The publisher's public key, or a file that holds it; otherwise this home's ledger's.")
    ] = "",
) -> None:
    """Check that a file or folder is exactly what was sealed, by whose key, and say what its seal certifies.

    Needs the seal that travels with it (FILE.seal.json, or seal.json in its folder), the publisher's public key, and
    nothing else. Exit code 1 if anything is not as it was sealed.
    """
    from resources import seals

    by, whose = _key(key)
    try:
        found = seals.verify(path, by)
    except SealError as error:
        fail(str(error))
        raise typer.Exit(1) from None
    say(("✓ ", "green"), f"{path} is what was sealed, byte for byte.")
    for line in _certified(found, by, whose):
        say(f"  {line}")


def _certified(found: Verified, public_key: str, whose: str) -> list[str]:
    """What the seal certifies, in plain words; every fact is from the signed text."""
    seal, promised = found.seal, found.seal.guarantee
    results = {release.name: release.result for release in releases()}
    what = results.get(seal.kind) or _KINDS.get(seal.kind, f"an artifact of kind {seal.kind}")
    if promised is not None and promised.of_nothing_read and seal.kind in results:
        what = f"what stands in the place of {seal.kind} where no row is read"
    part = "" if found.whole else f" (a part of it: {len(seal.files)} files were sealed together)"
    lines = [f"It is {what} of contract {seal.contract}, release {seal.id}, sealed {seal.time[:19]} UTC{part}."]
    if promised is None:
        lines.append(
            "It has NO privacy guarantee: it was made without noise, or from something that was, and rows may repeat "
            "what people wrote."
        )
    elif promised.of_nothing_read:
        lines.append(
            f"Guarantee: epsilon 0. No row of population {promised.population} was read for it, by the publisher's "
            "word: it rests on no charge of the ledger, which handed out nothing for it."
        )
    else:
        epsilon = math.ceil(promised.epsilon * 1e4) / 1e4  # never shown lower than it is
        lines += [
            f"Guarantee: ({epsilon:g}, {promised.delta:g})-differential privacy for the population "
            f"{promised.population}, {_relation(promised.neighbouring_relation)} {promised.unit}, by "
            f"{len(seal.charges)} charge{'s' if len(seal.charges) > 1 else ''} of the ledger. Whatever is computed "
            "from it has the same guarantee.",
        ]
    lines += [
        f"Seal: entry {seal.seq} of ledger {seal.ledger}, {seal.hash}.",
        f"Key:  {fingerprint(public_key)} ({whose}). Compare it with what the publisher told you by another way.",
        "Not said: whether a newer release has replaced it, how good it is, or whether the publisher is honest.",
    ]
    return lines


def _relation(neighbouring: str) -> str:
    return {"add_or_remove_one_unit": "adding or removing one"}.get(neighbouring, f"{neighbouring} of one")


def _key(given: str) -> tuple[str, str]:
    """The public key to check with, in hex, and where it came from."""
    if not given:
        home = Home.at()
        if not home.has_ledger:
            raise BadInput(
                "give the publisher's public key with --key: the 64 hex digits that `dpsynth audit key` prints there, "
                "or a file that holds them"
            )
        return Ledger(home.ledger_file).public_key, f"of the ledger at {home.ledger_name}"
    return public_key(given), "given with --key"
