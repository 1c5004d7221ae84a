"""`dpsynth source check`: whether the places that a contract names can be read as it declares them.

Looks at files before anybody signs, so it asks no ledger, and shows what it finds on this terminal only: lines and
columns, never what stands there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth_assets.cli.console import contract_at, say, shown
from dpsynth_assets.contract.column_names import value_like
from dpsynth_assets.gate.sources import layout_of, place_of, source_of

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.source_terms import CsvFiles
    from resources.source import Columns, Equalities, Layout
    from resources.source_check import Looked

_CSV = (".csv", ".tsv", ".txt")

app = typer.Typer(help="The source of a contract.", no_args_is_help=True)


@app.callback()
def _source() -> None:
    """The source of a contract."""


@app.command("check")
def check(
    contract: Annotated[Path, typer.Argument(help="A contract file.")],
    copy: Annotated[
        str | None, typer.Option("--source", help="One of the places that the contract names in `source_copies`.")
    ] = None,
) -> None:
    """Look whether source and public rows are there and can be read: columns, types, encoding, delimiter. Shows lines
    and columns of what cannot be read, never what stands there. Exit code 1 if something cannot."""
    from resources.source_check import look_at
    from resources.tabular import SourceError

    agreed = contract_at(contract)
    found = left_out = False
    _warn_of_names(agreed)
    for part in _parts(agreed, copy):
        try:
            looked = list(look_at(part.place, part.where, part.columns, part.layout))
        except SourceError as error:
            found = True
            say(("✗ ", "red"), f"{part.name}: {error}")
            continue
        has_text = any(each.without_text is None for each in looked)
        for each in looked:
            found = found or bool(each.faults)
            left_out = left_out or any(fault.at is not None for fault in each.faults)
            _say(part, each, has_text=has_text)
        if not has_text:  # of several files some may be empty
            found = True
            why = "; ".join(sorted({each.without_text or "" for each in looked}))
            say(("✗ ", "red"), f"{part.name}: no record has a text: {why}")
    if left_out:
        say(
            "Records that cannot be read are left out of every release, and no release says which: correct them in the "
            "source, or what the contract says of them."
        )
    if found:
        raise typer.Exit(1)
    say(f"Nothing was kept and nothing spent. Next: dpsynth plan {shown(contract)}")


@dataclass(frozen=True)
class _Part:
    name: str
    place: str
    where: Equalities
    columns: Columns
    layout: Layout


def _parts(contract: Contract, copy: str | None) -> Iterator[_Part]:
    """The source, and the rows that the contract declares public."""
    source, terms = source_of(contract, copy), contract.privacy
    yield _Part("source", source.place, source.where, source.columns, source.layout)
    public = replace(source.columns, unit=None, block=None)
    split = terms.test_split
    if split is not None and split.path != contract.source:
        yield _public("test_split", contract, split.path, split.where, split.csv, public)
    for name, asking in (("classifier.mix", terms.classifier), ("safety_classifier.mix", terms.safety_classifier)):
        if asking is not None and (mix := asking.mix) is not None:
            yield _public(name, contract, mix.path, mix.where, mix.csv, public)


def _public(
    name: str, contract: Contract, path: str, where: Equalities, csv: CsvFiles | None, columns: Columns
) -> _Part:
    return _Part(name, place_of(contract, path), where, columns, layout_of(contract, csv))


def _warn_of_names(contract: Contract) -> None:
    """What the source calls its columns may be what stood in its first record."""
    for number, column in enumerate(contract.columns, start=1):
        if why := value_like(column.stored_as or column.name):
            say(
                ("! ", "yellow"),
                f"the name of the contract's column {number} looks like a value of a record ({why}): does the source "
                "begin with a row of names? If not, put one first, and draft the contract again before anybody signs",
            )


def _say(part: _Part, looked: Looked, *, has_text: bool) -> None:
    if looked.titled:
        say(
            ("! ", "yellow"),
            f"{part.name}: the first row of {looked.stored.name} has one cell and later ones have more, so it looks "
            "like a title: delete what stands above the row of names",
        )
    if not looked.faults and has_text:
        names = ", ".join(part.columns.stored.get(name, name) for name in part.columns.names)
        say(("✓ ", "green"), f"{part.name}: {looked.stored.name}: {_read_as(part, looked)}, with the columns {names}")
        return
    for fault in looked.faults:
        what = fault.what if fault.at is None else f"{fault.file}: {fault.at}: {fault.what}"
        say(("✗ ", "red"), f"{part.name}: {what}")
    if looked.more:
        say(f"  and more in {looked.stored.name}")
    if any("encoding" in fault.what for fault in looked.faults if fault.at):
        say(f"  {_of_encoding(part, looked)}")


def _of_encoding(part: _Part, looked: Looked) -> str:
    """What to do about characters that are not of the encoding."""
    if looked.stored.format in _CSV:
        return (
            f"It is read as {part.layout.encoding}. What Windows or Excel wrote is often cp1252: "
            "`csv: {encoding: cp1252}` in the privacy terms."
        )
    if looked.stored.format == "postgresql":
        return (
            "It is read in the encoding that the database states (`show server_encoding`), and as UTF-8 where that is "
            "SQL_ASCII, which holds any bytes: correct these texts there (`convert_from` reads bytes in an encoding)."
        )
    return "Its format has one encoding, which no contract changes: correct these texts in the source."


def _read_as(part: _Part, looked: Looked) -> str:
    """The format, and for CSV how it is divided and stored."""
    format_ = looked.stored.format
    if format_ not in _CSV:
        return format_.removeprefix(".")
    mark = part.layout.delimiter or ("\t" if format_ == ".tsv" else ",")
    divided = {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(mark, f"`{mark}`")
    return f"csv in {part.layout.encoding}, divided by {divided}"
