"""An answer over HTTP that comes within a time and a size, or fails: a client's own limits are for each piece of it, so
a server that sends a byte now and then, or sends without end, would be listened to for ever.

Knows no contract and no text.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore2
import httpx2


def hurry(client: httpx2.Client, seconds: float) -> None:
    """Have the client read of each answer for so long at most, from the last that was sent of its request to the end of
    the answer, head included; then it fails with `httpx2.ReadTimeout`.

    The client has no such limit, nor a place for one: it is put into its pools of connections, which make no connection
    before the first request.
    """
    for transport in (client._transport, *client._mounts.values()):
        if transport is not None:
            pool: Any = transport._pool  # type: ignore[attr-defined]  # of whatever kind, also to a proxy
            pool._network_backend = _Hurried(pool._network_backend, seconds)


class _Hurried(httpcore2.NetworkBackend):
    """Connections that are read from for so many seconds after each writing."""

    def __init__(self, backend: httpcore2.NetworkBackend, seconds: float) -> None:
        self._backend, self._seconds = backend, seconds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _HurriedStream(stream, self._seconds)

    def sleep(self, seconds: float) -> None:  # between tries to connect
        self._backend.sleep(seconds)


class _HurriedStream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, seconds: float) -> None:
        self._stream, self._seconds = stream, seconds
        self._until = time.monotonic() + seconds

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)
        self._until = time.monotonic() + self._seconds

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._until - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the answer did not end in time")
        return self._stream.read(max_bytes, left if timeout is None else min(timeout, left))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _HurriedStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._seconds)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Limited(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, request: httpx2.Request, size: int) -> None:
        self._stream, self._request, self._size = stream, request, size

    def __iter__(self) -> Iterator[bytes]:
        came = 0
        for piece in self._stream:
            came += len(piece)
            if came > self._size:
                raise httpx2.DecodingError("the answer is too long", request=self._request)
            yield piece

    def close(self) -> None:
        self._stream.close()


def limit(response: httpx2.Response, size: int) -> None:
    """Have reading the response fail with `httpx2.DecodingError` beyond `size` bytes. One that is packed fails with
    that at once: what was asked for plain, and could be any size, is not unpacked."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("the answer is packed, and was asked for plain", request=response.request)
    assert isinstance(response.stream, httpx2.SyncByteStream)
    response.stream = _Limited(response.stream, response.request, size)
