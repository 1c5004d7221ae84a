"""The key under which people and texts are known again: made once, and never made anew where there was one.

    sensitive/fingerprint.key         32 random bytes
    ledger/fingerprint-key.id         by which a replaced key is noticed; says nothing of the key itself

Under another key nobody is known: the same people under another name would have a budget of their own, and units would
move to other blocks. So a key that is missing, cut short or another one stops everything. Only a home without any trace
of a former key gets a new one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from pathlib import Path

from resources import retention
from resources.home import Home, private_folder, replace_atomically, write_private
from resources.tabular import SourceError

_BYTES = 32
_PURPOSE = b"dpsynth: which fingerprint key this is"


def key_of(home: Home) -> bytes:
    """The home's key, 32 bytes; made where there never was one.

    Raises:
        SourceError: it is missing where there was one, has another length, or is not the one that was here.
    """
    path = private_folder(home.sensitive) / "fingerprint.key"
    if not path.exists():
        if trace := _trace(home):
            raise SourceError(f"{path} is missing, but {trace}. {_remedy()}")
        _make(path)
    key = path.read_bytes()
    if len(key) != _BYTES:
        raise SourceError(f"{path} holds {len(key)} bytes where a key has {_BYTES}. {_remedy()}")
    identity = hmac.new(key, _PURPOSE, hashlib.sha256).hexdigest()
    known = _identity_file(home)
    if not known.exists():  # a new key, or a home of an earlier program
        known.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_atomically(known, identity.encode(), mode=0o600)
    elif not hmac.compare_digest(known.read_bytes(), identity.encode()):
        raise SourceError(f"{path} is not the key that was used here before ({known} knows it). {_remedy()}")
    return key


def _remedy() -> str:
    return (
        "Without the right key nobody would be known again, and the same people could be charged to another budget, "
        "so nothing is read. Put the key back from a backup. If it is lost for good, make a new home, and write down "
        "there what was spent here (`dpsynth audit external`)"
    )


def _identity_file(home: Home) -> Path:
    return home.ledger_file.parent / "fingerprint-key.id"


def _trace(home: Home) -> str | None:
    """What says that there was a key."""
    made = [*home.sensitive.glob(f"*/*/{retention.MANIFEST}"), *home.sensitive.glob("known/*/*")]
    found = next((path for path in (_identity_file(home), *made) if path.exists()), None)
    return f"{found} was made with it" if found else None


def _make(path: Path) -> None:
    candidate = path.with_name(f".key-{secrets.token_hex(6)}")
    write_private(candidate, secrets.token_bytes(_BYTES))
    with suppress(FileExistsError):  # linking is atomic, and the first of two processes wins
        path.hardlink_to(candidate)
    candidate.unlink()
