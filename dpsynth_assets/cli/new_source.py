"""What `dpsynth new` is given as a source: where it lies, how it is stored, and which columns it states.

Opens the source for its schema alone (`resources.stated_columns`): names and types. What that does not show it asks,
with the reason beside the question. Writes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from dpsynth_assets.cli.console import BadInput
from dpsynth_assets.cli.questions import Question, answer, somebody_answers
from dpsynth_assets.contract.addresses import (
    POSTGRESQL,
    S3,
    has_loose_variable,
    has_secret,
    is_address,
    is_fixed,
    is_plain_address,
    split_endpoint,
    without_secret,
)
from dpsynth_assets.contract.column_names import value_like
from dpsynth_assets.contract.places import FORMATS
from dpsynth_assets.contract.problems import choose_from, listing
from dpsynth_assets.contract.source_terms import CsvFiles
from dpsynth_assets.term import TermsError
from resources.formats import usual_delimiter
from resources.places import Stored, stored_at
from resources.source import Layout
from resources.stated_columns import (
    CSV,
    Stated,
    first_cells,
    has_title,
    shown_delimiter,
    shown_encoding,
    stated_columns,
    stated_tables,
)

_DATABASES = (".duckdb", ".sqlite", "postgresql")
_MOST_DOUBTS = 5  # columns that are listed


@dataclass(frozen=True)
class Found:
    """A source as a contract has it.

    Attributes:
        server: the standard's keys for where it lies, a path as seen from the contract's folder.
        table: what a database or a workbook calls the table or sheet; None of a format that has one.
        csv: how CSV files are written, where that is not the usual.
        columns: their stated names and types.
        called: what it goes by: of the table, or of the file.
    """

    server: Mapping[str, str | int]
    table: str | None
    csv: Mapping[str, str]
    columns: Stated
    called: str


def found(
    given: Sequence[str],
    folder: Path,
    *,
    table: str | None,
    schema: str | None,
    delimiter: str | None,
    encoding: str | None,
    names_checked: bool,
) -> Found:
    """The source at a place, for a contract in `folder`.

    Raises:
        BadInput: the place is none that a contract can name, what an option says does not fit it, or its columns are
            named by what looks like a record.
        SourceError: nothing that can be read lies there.
    """
    if len(given) > 1:
        raise BadInput(
            f"{len(given)} places are given, and a source has one: write a pattern in quotes, such as '*.csv'"
        )
    place = _place(given[0])
    stored = stored_at(place, {})[0]
    is_csv, has_schema = stored.format in CSV, stored.format in (".duckdb", "postgresql")
    if not is_csv and (delimiter or encoding):
        raise BadInput(f"--delimiter and --encoding are about CSV files, and {given[0]} is none")
    if schema and not has_schema:
        raise BadInput(f"--schema is about DuckDB and PostgreSQL, and {given[0]} is neither")
    tables = stated_tables(stored, schema)
    if tables is None and table:
        raise BadInput(f"--table is about databases and workbooks, and {given[0]} is neither")
    chosen = None if tables is None else _table(stored, tables, table, schema)
    csv = _csv(stored, delimiter, encoding) if is_csv else CsvFiles()
    layout = Layout(csv.delimiter, csv.codec or "utf-8", table=chosen or "", schema=schema, sheet=chosen)
    called = chosen if chosen and stored.format in _DATABASES else _base(given[0])
    if not names_checked:
        _check_names(stored, layout)
    columns = stated_columns(stored, layout)
    server = _server(place, folder, stored, schema)
    return Found(server, chosen, csv.model_dump(exclude_defaults=True), columns, called)


def _place(text: str) -> str:
    """A typed place as `resources.places` opens it: an address, or an absolute path."""
    if text.startswith("postgres://"):
        text = text.replace("postgres://", POSTGRESQL, 1)
    if has_secret(text):
        raise BadInput(
            f"{without_secret(text)}: a place holds no name and no password, since a contract is read by many. Put "
            "them into the environment (PGUSER, PGPASSWORD, AWS_ACCESS_KEY_ID, ...), and leave them out here"
        )
    if is_address(text):
        if text.startswith(POSTGRESQL):
            text = _database(text)
        elif not text.startswith(S3) or not is_plain_address(text):
            raise BadInput(
                f"{text} is not read for a draft: draft from a copy here, and write its place into the contract"
            )
        return text
    if (elsewhere := re.match(r"[a-z0-9+]{2,}:", text)) is not None:
        raise BadInput(
            f"{elsewhere[0]} is no place that is read: name a file, s3://bucket/name or "
            "postgresql://host:5432/database, or draft from a copy here"
        )
    odd = next((mark for mark in "?#" if mark in text), None) or ("$" if has_loose_variable(text) else None)
    odd = odd or ("*" if "**" in text or ("*" in text and Path(text).exists()) else None)
    if odd is not None:
        raise BadInput(f"{text}: a `{odd}` in a place means something else in a contract: rename the file or folder")
    if is_fixed(text) or "*" in text or Path(text).exists():
        return text if is_fixed(text) else os.path.abspath(text)  # noqa: PTH100 (which keeps links)
    raise BadInput(f"{text} is no file on this machine: check the path")


def _database(text: str) -> str:
    address = urlsplit(text)
    name = address.path.removeprefix("/")
    if address.query or not address.hostname or not name or "/" in name:
        raise BadInput(
            f"{without_secret(text)}: write postgresql://host:5432/database, the table as --table, and anything else "
            "into the environment (PGUSER, PGPASSWORD, PGSSLMODE)"
        )
    host, _, port = address.netloc.rpartition(":")
    return text if host and port else f"{POSTGRESQL}{address.netloc.rstrip(':')}:5432/{name}"


def _table(stored: Stored, tables: Sequence[str], table: str | None, schema: str | None) -> str:
    what = "sheet" if stored.format == ".xlsx" else "table"
    if not tables:
        there = f" in the schema `{schema}`" if schema else ""
        raise BadInput(f"{stored.name} has no {what}{there}: name another place, or another --schema")

    def read(typed: str) -> str:
        if typed not in tables:
            raise ValueError(f"there is no such {what}. {choose_from(typed, tables)}")
        return typed

    only = tables[0] if len(tables) == 1 else None
    why = f"A contract is about one. {what.capitalize()}s: {listing(tables)}."
    if table is None and only is not None:
        return only
    return answer(Question("table", f"Which {what} holds the texts?", why, read), table)


def _check_names(stored: Stored, layout: Layout) -> None:
    """Pass if the columns have names, or somebody at the terminal says that they have."""
    cells = first_cells(stored, layout)
    doubts = [f"column {number} ({why})" for number, cell in cells.items() if (why := value_like(cell))]
    if has_title(stored, layout):
        what = f"{stored.name}: the first row has one cell and later ones have more, so it looks like a title"
        remedy = "Edit the file: delete what stands above the row of names. No option leaves rows out"
        right, asks = "Only if that cell names the one column that there is", "Is that cell the name of the one column?"
    elif doubts:
        listed = ", ".join(doubts[:_MOST_DOUBTS]) + (" and others" if len(doubts) > _MOST_DOUBTS else "")
        what = (
            f"{stored.name}: where the names of columns belong stands what looks like values of a record, in {listed}. "
            "Names get into the contract, SQL and the ledger, for good, and a first row that is a record is read as no "
            "record"
        )
        remedy = "Put a row of names first (and delete what stands above it), or rename the columns"
        right, asks = "If they are names", "Are these the names of the columns?"
    else:
        return

    def read(typed: str) -> bool:
        if typed.lower() not in ("yes", "no"):
            raise ValueError("write yes or no")
        return typed.lower() == "yes"

    if not somebody_answers():
        raise BadInput(f"{what}. {remedy}. {right}: --names-checked. Nothing was written")
    if not answer(Question("names-checked", asks, f"{what}.", read), None):
        raise BadInput(f"nothing was written. {remedy}")


def _csv(stored: Stored, delimiter: str | None, encoding: str | None) -> CsvFiles:
    """How a CSV file is written: what its header shows, and for the rest what its owner says."""
    shown, certain = shown_encoding(stored)
    if encoding is None and certain and shown is not None:
        encoding = shown
    shows = "The header does not show it" if shown else "The header is not UTF-8"
    said = answer(
        Question(
            "encoding",
            "How are characters stored?",
            f"{shows}, and rows are not looked at. What Excel or Windows wrote is often cp1252, what other programs "
            "wrote utf-8. A text that is stored otherwise is left out; `dpsynth source check` finds it.",
            lambda typed: _held(encoding=typed).codec or typed,
            default=shown,
            proposal=shown or "cp1252",
        ),
        encoding,
    )
    mark = answer(
        Question("delimiter", "What divides the cells?", "One character, such as `;`.", lambda typed: _mark(typed)),
        delimiter if delimiter is not None else shown_delimiter(stored, said),
    )
    return CsvFiles(delimiter=None if mark == usual_delimiter(stored) else mark, encoding=said)


def _mark(typed: str) -> str:
    mark = {"\\t": "\t", "tab": "\t", "": "\t"}.get(typed, typed)
    return _held(delimiter=mark).delimiter or mark


def _held(**terms: str) -> CsvFiles:
    try:
        return CsvFiles(**terms)
    except ValidationError as error:
        [first, *_] = error.errors(include_url=False)
        fault = first.get("ctx", {}).get("error")
        raise ValueError(str(fault) if isinstance(fault, TermsError) else str(first["msg"])) from None


def _server(place: str, folder: Path, stored: Stored, schema: str | None) -> Mapping[str, str | int]:
    if place.startswith(POSTGRESQL):
        host, _, port = urlsplit(place).netloc.rpartition(":")
        number = int(port) if port.isdecimal() else port
        database = urlsplit(place).path.removeprefix("/")
        return {"type": "postgresql", "host": host, "port": number, "database": database, "schema": schema or "public"}
    form = next(name for name, endings in FORMATS.items() if stored.format in endings)
    if place.startswith(S3):
        location, endpoint = split_endpoint(place)
        server = {"type": "s3", "location": location, "format": form, "endpointUrl": endpoint}
        return {key: said for key, said in server.items() if said}
    path = place if is_fixed(place) else os.path.relpath(place, folder.absolute())
    if stored.format == ".duckdb":
        return {"type": "duckdb", "database": path, "schema": schema or "main"}
    return {"type": "local", "path": path, "format": form}


def _base(place: str) -> str:
    """The file's or folder's name without what is no part of it."""
    name = split_endpoint(place)[0].rstrip("/").rpartition("/")[2]
    return re.sub(r"\$\{\w+\}|\*", "", name).partition(".")[0]
