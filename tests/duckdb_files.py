"""DuckDB files that cannot be used: of another storage version, damaged, cut short, no database, held by a program."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HEADER = 4096
_WORD = struct.Struct("<Q")


def of_version(database: bytes, version: int) -> bytes:
    """A DuckDB file that says that another storage version wrote it, with the checksum that belongs to its header."""
    header = bytearray(database[:_HEADER])
    header[12:20] = _WORD.pack(version)
    checksum = 5381
    for (word,) in _WORD.iter_unpack(header[8:]):
        checksum ^= word * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    return _WORD.pack(checksum) + bytes(header[8:]) + database[_HEADER:]


def damaged(database: bytes) -> bytes:
    """A DuckDB file of which a disk has lost the first block."""
    at = 3 * _HEADER + 100
    return database[:at] + bytes(byte ^ 0xFF for byte in database[at : at + 100]) + database[at + 100 :]


# The kinds, the files, and what is said of them.
UNUSABLE = {
    "newer": (lambda whole: of_version(whole, 1000), "was written by a newer DuckDB (storage version 1000; DuckDB "),
    "older": (lambda whole: of_version(whole, 1), "was written by a much older DuckDB (storage version 1; DuckDB "),
    "damaged": (damaged, "is damaged: its bytes are not those that DuckDB wrote"),
    "cut short": (lambda whole: whole[: len(whole) // 2], "is damaged: it is cut short"),
    "empty": (lambda whole: b"", "is no DuckDB file, or its beginning is damaged"),
    "no database": (lambda whole: b"no database" * 1000, "is no DuckDB file, or its beginning is damaged"),
}


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another program has the file open for writing meanwhile."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"open\n"
        yield
        program.communicate()
