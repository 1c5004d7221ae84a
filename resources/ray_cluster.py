"""A Ray cluster of this machine that nobody but this account can talk to, for as long as one process lives.

Whoever can talk to a part of Ray runs code in its account. So each cluster has secrets of its own, made here: a token,
and a key with a certificate, without which no connection to a part of it comes about. Ray's own token authentication is
not enough beside other accounts: one unauthenticated message ends Ray's control service, and whoever takes its port is
sent the token by what looks for it. With certificates on both sides, neither the message nor the token gets across.

The parts listen on the loopback. Files (logs, sockets, secrets) lie in a folder that only this account enters. Knows
Ray, and nothing of what is computed; call it from a process that does nothing else.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
_TOKEN, _CERTIFICATE, _KEY = "token", "certificate.pem", "key.pem"
_HEALTH = "/grpc.health.v1.Health/Check"  # Ray answers it to anybody who gets so far
_PATIENCE = 10.0  # seconds for an answer
_VALID = timedelta(days=365)
_SHARED_MEMORY = 80 * 2**20  # bytes; shards and their results are small, and Ray asks for 75 MiB at least


class ClusterError(RuntimeError):
    """The cluster cannot be started as it must be; the message says what was found."""


def start(folder: Path, workers: int) -> None:
    """Start Ray, with a processor for each of so many workers, and whatever GPUs there are. It ends with this process.

    Args:
        folder: of `ray_folder`, entered by this account only. Its path may have some 40 characters: sockets lie in it.

    Raises:
        ClusterError: its parts do not listen on the loopback alone, or answer strangers.
    """
    os.environ |= _environment(folder)
    import ray  # reads its environment once

    ray.init(
        address="local",
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=_SHARED_MEMORY,
        _temp_dir=str(folder / "ray"),  # Ray makes it anybody's; the folder around it is not
    )
    require_closed(ray.get_runtime_context().gcs_address, folder)


def require_closed(address: str, folder: Path) -> None:
    """Pass if an address of the cluster answers whoever has its key and certificate, and nobody else.

    Raises:
        ClusterError: it does not, or is no address of the loopback.
    """
    import grpc

    if address.rpartition(":")[0] != LOOPBACK:
        raise ClusterError(f"Ray listens at {address}, which other machines may reach: it was to listen at {LOOPBACK}")
    certificate, key = (folder / _CERTIFICATE).read_bytes(), (folder / _KEY).read_bytes()
    ours = grpc.ssl_channel_credentials(certificate, key, certificate)
    if not _answered(lambda: grpc.secure_channel(address, ours)):
        raise ClusterError("Ray does not answer with the certificate that was made for it")
    strangers: dict[str, Callable[[], Any]] = {
        "who does not encrypt": lambda: grpc.insecure_channel(address),
        "without its certificate": lambda: grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate)),
    }
    for who, channel in strangers.items():
        if _answered(channel):
            raise ClusterError(f"Ray answers anybody {who}: other accounts could run code in this one")


def _answered(open_: Callable[[], Any]) -> bool:
    """Whether a connection comes about; a refusal that came through one is an answer too."""
    import grpc

    with open_() as channel:
        try:
            channel.unary_unary(_HEALTH)(b"", timeout=_PATIENCE)
        except grpc.RpcError as error:
            return bool(error.code() is not grpc.StatusCode.UNAVAILABLE)
    return True


def _environment(folder: Path) -> dict[str, str]:
    """What Ray is told by its environment; the secrets that it names are made here."""
    _write(folder / _TOKEN, secrets.token_hex(32).encode())
    _write_certificate(folder / _CERTIFICATE, folder / _KEY)
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / _TOKEN),
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(folder / _CERTIFICATE),
        "RAY_TLS_SERVER_KEY": str(folder / _KEY),
        "RAY_TLS_CA_CERT": str(folder / _CERTIFICATE),
        # One machine, on any system: then Ray takes the loopback for its address, and listens nowhere else.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # as urgent as this process, in whose place workers compute
    }


def _write_certificate(certificate: Path, key: Path) -> None:
    """A certificate for the loopback that vouches for itself alone: both sides have it, and both have its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dpsynth")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # of clocks that are set back meanwhile
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    _write(certificate, signed.public_bytes(Encoding.PEM))
    _write(key, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _write(path: Path, content: bytes) -> None:
    """A file that only this account reads, whatever the umask."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
