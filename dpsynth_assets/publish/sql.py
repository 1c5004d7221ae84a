"""SQL text for the warehouse: quoting, and DuckDB's errors in words for analysts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence


def identifier(*parts: str) -> str:
    """A quoted, possibly qualified name: `"inbox"."messages"`."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(text: str) -> str:
    """A quoted string, for statements such as COMMENT and CREATE VIEW that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def plain(*parts: str) -> str:
    """A qualified name as an analyst would type it: quoted only where it must be."""
    return ".".join(part if re.fullmatch(r"[a-z_][a-z0-9_]*", part) else identifier(part) for part in parts)


def schema_of(contract: str) -> str:
    """The SQL schema of a contract: its id, and where that is a release variant's, `inbox--lora-0.5`, a name that needs
    no quotes, `inbox__lora_0_5`."""
    base, variant, name = contract.partition("--")
    return f"{base}__{re.sub(r'[^a-z0-9]+', '_', name.lower())}" if variant else contract


def unknown_table(message: str, tables: Sequence[str]) -> str | None:
    """The friendly form of DuckDB's complaint about a table that is not there, or None if it is another complaint."""
    match = re.search(
        r"(?:Table|View|Schema) with name (\S+) does not exist|schema \"([^\"]+)\" does not exist", message
    )
    if match is None:
        return None
    wanted = next(group for group in match.groups() if group)
    if not tables:
        return f"there is no table {wanted}: nothing is published yet"
    if wanted in tables and "." in wanted:  # DuckDB says of a qualified name its last part alone
        apart = wanted.rpartition(".")
        return (
            f'there is no table "{wanted}": quotes around both names make one name of them. Write '
            f"{plain(apart[0], apart[2])}, without quotes around both together"
        )
    bare = {table.rsplit(".", 1)[-1]: table for table in tables}
    close = difflib.get_close_matches(wanted, [*bare, *tables], n=1, cutoff=0.6)
    hint = f" Did you mean {bare.get(close[0], close[0])}?" if close else ""
    return f"there is no table {wanted}.{hint} Published: {', '.join(tables)}"


def first_lines(message: str) -> str:
    """DuckDB's message without its class prefix and its drawing of the query."""
    head = re.split(r"\n\s*\n|\nLINE ", message.strip(), maxsplit=1)[0]
    return re.sub(r"^\w+(?: \w+){0,3} Error: ", "", head).replace("\n", "; ")
