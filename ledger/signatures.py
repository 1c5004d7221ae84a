"""Signatures by people's own SSH keys: what `ssh-keygen -Y sign` writes, read and verified here.

    ssh-keygen -Y sign -n dpsynth-approval -f ~/.ssh/id_ed25519 STATEMENT      writes STATEMENT.sig

The format is OpenSSH's PROTOCOL.sshsig: a blob that names its public key, its namespace and the hash of the message.
A signature counts if it is by exactly the key that stands for the person, in the namespace above, over exactly the
statement. Ed25519 keys only: they are what `ssh-keygen` makes unless told otherwise, and what a checker can verify in
a page of code. Knows no ledger.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from ledger.errors import LedgerError

NAMESPACE = "dpsynth-approval"
KIND = "ssh-ed25519"
_MAGIC = b"SSHSIG"
_PRIME = (1 << 255) - 19
# The y of the points of small order on Ed25519's curve: a signature by such a key can be made without a secret, and
# holds for many statements or all. (As libsodium's `ge25519_has_small_order` has them.)
_SMALL_ORDER = (
    0,
    1,
    2707385501144840649318225287225658788936804267575313519463743609750303021,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
    _PRIME - 1,
)
_HASHES = {"sha512": hashlib.sha512, "sha256": hashlib.sha256}
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


class SignatureRefused(LedgerError):  # noqa: N818
    """A key or signature that cannot be read, or a signature that is not by the key, or not over the statement."""


def public_key(text: str) -> str:
    """A public key as it stands in the ledger, `ssh-ed25519 BASE64`, from a line of a `.pub` file.

    Raises:
        SignatureRefused: it is no key, or of a kind that cannot be verified here.
    """
    parts = text.split() if isinstance(text, str) else []
    if not parts or parts[0] != KIND:
        raise SignatureRefused(
            f"the public key is of the kind {parts[0][:40] if parts else 'none'!r}; only {KIND} is verified here. Make "
            "one with `ssh-keygen -t ed25519` and give its .pub file"
        )
    blob = _decoded(parts[1] if len(parts) > 1 else "", "the public key")
    kind, rest = _field(blob)
    raw, rest = _field(rest)
    if kind != KIND.encode() or len(raw) != 32 or rest:
        raise SignatureRefused("the public key is not a whole ed25519 key: give the .pub file as ssh-keygen wrote it")
    y = int.from_bytes(raw, "little") % (1 << 255)
    if y >= _PRIME or y in _SMALL_ORDER:
        raise SignatureRefused("the public key is one by which anybody can sign: make one with `ssh-keygen`")
    return f"{KIND} {base64.b64encode(blob).decode()}"


def fingerprint(key: str) -> str:
    """A public key's SHA-256 as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def unarmored(text: str) -> str:
    """The base64 of a signature, in one line, from the file that ssh-keygen wrote."""
    stripped = text.strip()
    if stripped.startswith(_BEGIN) and stripped.endswith(_END):
        stripped = stripped[len(_BEGIN) : -len(_END)]
    return base64.b64encode(_decoded("".join(stripped.split()), "the signature")).decode()


def key_of(signature: str) -> str:
    """The public key by which a signature says that it is, as it stands in the ledger.

    Raises:
        SignatureRefused: it is no signature.
    """
    blob = _decoded(signature, "the signature")
    return public_key(f"{KIND} {base64.b64encode(_field(blob[10:])[0]).decode()}")


def require_signature(key: str, statement: str, signature: str) -> None:
    """Pass if the signature (base64 of its blob) is by this key over this statement.

    Raises:
        SignatureRefused: it is not; says in which way.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    blob = _decoded(signature, "the signature")
    if blob[:6] != _MAGIC or blob[6:10] != (1).to_bytes(4, "big"):
        raise SignatureRefused("it is not a signature by `ssh-keygen -Y sign`")
    by, rest = _field(blob[10:])
    namespace, rest = _field(rest)
    reserved, rest = _field(rest)
    algorithm, rest = _field(rest)
    signed, rest = _field(rest)
    kind, inner = _field(signed)
    raw, beyond = _field(inner)
    if rest or beyond or kind != KIND.encode():
        raise SignatureRefused(f"the signature is not one by an {KIND} key")
    if namespace != NAMESPACE.encode():
        raise SignatureRefused(f"the signature is for another purpose: sign with `-n {NAMESPACE}`")
    if by != base64.b64decode(key.split()[1]):
        raise SignatureRefused(f"the signature is not by the key that stands in the ledger, {fingerprint(key)}")
    name = algorithm.decode(errors="replace")
    if name not in _HASHES:
        raise SignatureRefused("the signature's hash is neither sha512 nor sha256")
    digest = _HASHES[name](statement.encode()).digest()
    message = _MAGIC + b"".join(map(_framed, (namespace, reserved, algorithm, digest)))
    try:
        Ed25519PublicKey.from_public_bytes(_field(_field(by)[1])[0]).verify(raw, message)
    except (InvalidSignature, ValueError):
        raise SignatureRefused("the signature is not over this statement") from None


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise SignatureRefused(f"{what} is not base64: give the file as ssh-keygen wrote it") from None


def _field(data: bytes) -> tuple[bytes, bytes]:
    """A field with its length before it, and what comes after."""
    length = int.from_bytes(data[:4], "big")
    if len(data) < 4 + length:
        raise SignatureRefused("it is cut off: give the file as ssh-keygen wrote it")
    return data[4 : 4 + length], data[4 + length :]


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
