"""How contracts write places: paths, addresses, and variables within either.

A place that holds `${NAME}` is signed, stored and shown as it is written. What the variable holds is looked up here for
comparing places only, and by whoever opens the place; it never shows. Opens nothing.
"""

from __future__ import annotations

import glob
import os
import re
from urllib.parse import unquote

HUB = "hub:"  # before the name of a Hugging Face Hub data set
S3 = "s3://"
POSTGRESQL = "postgresql://"
ENDPOINT = "?endpoint="  # before the server of a place on S3
_ADDRESSES = (HUB, S3, POSTGRESQL)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET = re.compile(r"(?<=://).*@", re.DOTALL)  # a name and a password before the host: it may hold any character
_NO_PORT = re.compile(r"(?<=://)(?!\[)[^/?#@]*:(?!\d{0,5}(?:[/?#&]|$)|\$\{).*", re.DOTALL)  # or without a host
_TOLD = re.compile(r"[?&;#]\w*(pass|secret|key|token|user)\w*=", re.IGNORECASE)  # or behind it
_MORE = re.compile(r"[?&;#]\S*=\S*")
_ENDPOINT = re.compile(r"https?://[\w.\-\[\]:${}]+(/[\w.\-/]*)?")
_DATABASE = re.compile(r"postgresql://[^/?#@%&;*\s]+/[^/?#@%&;*\s]+")
_LINES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
_WITHOUT_TABLES = (".parquet", *_LINES, *(f"{suffix}.gz" for suffix in _LINES))


def is_address(text: str) -> bool:
    """Whether a place lies elsewhere: it is no path of this machine."""
    return text.startswith(_ADDRESSES)


def is_fixed(text: str) -> bool:
    """Whether a place is the same whatever folder it is seen from: an address, or a path that a variable begins."""
    return text.startswith((*_ADDRESSES, "${"))


def has_tables(text: str) -> bool:
    """Whether a place may hold several tables, of which one is read: unless its name shows that it does not. A name
    without an ending is a folder of Parquet files, if it is neither a pattern nor made of a variable."""
    name = text.partition("?")[0].lower()
    if text.startswith(HUB) or name.endswith(_WITHOUT_TABLES):
        return False
    return text.startswith(POSTGRESQL) or bool(set("*.$") & set(name.rpartition("/")[2]))


def split_endpoint(text: str) -> tuple[str, str]:
    """A place, and of one on S3 the server that it is asked of."""
    place, _, endpoint = text.partition(ENDPOINT) if text.startswith(S3) else (text, "", "")
    return place, endpoint


def is_endpoint(text: str) -> bool:
    """Whether a server's address is made of names alone."""
    return bool(_ENDPOINT.fullmatch(text))


def is_plain_address(text: str) -> bool:
    """Whether an address is made of names alone, so that nothing else than what is read in it can be told by it."""
    if text.startswith(POSTGRESQL):
        return bool(_DATABASE.fullmatch(text))
    place, endpoint = split_endpoint(text)
    return not set(place) & set("?#%&;@") and (ENDPOINT not in text or is_endpoint(endpoint))


def as_it_is_now(text: str) -> str:
    """A place or pattern with the values of those of its variables that are set; in them `*` is no pattern."""
    return _VARIABLE.sub(lambda found: glob.escape(os.environ.get(found[1]) or found[0]), text)


def has_loose_variable(text: str) -> bool:
    """Whether a `$` stands there that begins no `${NAME}`."""
    return "$" in _VARIABLE.sub("", text)


def has_secret(text: str) -> bool:
    """Whether it holds a name or a password, in plain or in percents, which nothing may repeat."""
    plain = unquote(text)
    return any(kind.search(plain) for kind in (_SECRET, _NO_PORT, _TOLD))


def without_secret(text: str) -> str:
    """As it may be shown."""
    return _MORE.sub("...", _NO_PORT.sub("...", _SECRET.sub("...@", unquote(text)))) if has_secret(text) else text


def as_pattern(text: str) -> str:
    """A place as a pattern in which `*` alone stands for anything but itself."""
    return glob.escape(text).replace("[*]", "*")
