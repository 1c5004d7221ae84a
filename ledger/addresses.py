"""Addresses of ledgers on a server: `postgresql://USER@HOST:PORT/DATABASE?schema=NAME`.

Addresses are shown in messages and kept in the home, so nothing secret may be part of one: the client library takes a
password from $PGPASSWORD, or from the file that $PGPASSFILE names. What is allowed in one is listed here, and anything
else is refused without being repeated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from ledger.errors import LedgerError

SCHEMA = "dpsynth_ledger"  # where the address names none
PORT = 5432
_ADDRESS = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[\w.-]{1,63})@)?(?P<host>[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,8}|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?/(?P<database>[\w.-]{1,63})(?:\?(?P<query>[\w=&./%+-]*))?",
    re.ASCII,
)
_NAME = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,40}", re.ASCII)  # room for a suffix below PostgreSQL's 63
_VALUE = re.compile(r"[\w./-]{1,200}", re.ASCII)
_OPTIONS = ("connect_timeout", "channel_binding", "gssencmode", "sslcert", "sslcrl", "sslkey", "sslmode", "sslrootcert")
_FORM = "postgresql://USER@HOST:PORT/DATABASE"


@dataclass(frozen=True)
class Address:
    """Where a server keeps a ledger.

    Attributes:
        options: of the connection, such as `("sslmode", "verify-full")`.
    """

    host: str
    port: int
    database: str
    user: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    schema: str = SCHEMA

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        named = () if self.schema == SCHEMA else (("schema", self.schema),)
        query = urlencode([*self.options, *named], safe="/")
        account, port = f"{self.user}@" if self.user else "", "" if self.port == PORT else f":{self.port}"
        return f"postgresql://{account}{host}{port}/{self.database}{'?' if query else ''}{query}"


def address_of(text: str) -> Address:
    """The address that this says.

    Raises:
        LedgerError: it is none, or holds a password. The text itself is not repeated.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        if re.search(r":[^/@]*@|passw|secret|passfile", text, re.IGNORECASE):
            raise LedgerError(
                "the address of the ledger has a password in it, and addresses are shown: leave it out, and give it by "
                "$PGPASSWORD, or in the file that $PGPASSFILE names"
            )
        raise LedgerError(f"this is no address of a ledger: write {_FORM}")
    query = parse_qsl(found["query"] or "", keep_blank_values=True)
    options = tuple((name, value) for name, value in query if name != "schema")
    named = [value for name, value in query if name == "schema"] or [SCHEMA]
    for name, value in options:
        if name not in _OPTIONS or not _VALUE.fullmatch(value):
            raise LedgerError(
                f"the address of the ledger has something else behind its `?` than schema, {', '.join(_OPTIONS)}, each "
                "with a value: leave it out. A password comes from $PGPASSWORD, or the file that $PGPASSFILE names"
            )
    port = int(found["port"] or PORT)
    if len(named) > 1 or not 0 < port < 2**16 or len(dict(options)) < len(options):
        raise LedgerError(f"this is no address of a ledger: write {_FORM}")
    if not _NAME.fullmatch(named[0]):
        raise LedgerError(
            "the schema of a ledger's address is a name of small letters, digits and underscores that does not begin "
            "with pg_"
        )
    return Address(found["host"].strip("[]"), port, found["database"], found["user"], options, named[0])
