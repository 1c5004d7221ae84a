"""An answer over HTTP that comes within a time and a size, or fails: a client's own limits are for each piece of it, so
a server that sends a byte now and then, or sends without end, would be listened to for ever.

Knows no contract and no text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx2


class _Limited(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, request: httpx2.Request, seconds: float, size: int) -> None:
        self._stream, self._request = stream, request
        self._seconds, self._size = seconds, size

    def __iter__(self) -> Iterator[bytes]:
        until, came = time.monotonic() + self._seconds, 0
        for piece in self._stream:
            came += len(piece)
            if time.monotonic() > until:
                raise httpx2.ReadTimeout("the answer did not end in time", request=self._request)
            if came > self._size:
                raise httpx2.DecodingError("the answer is too long", request=self._request)
            yield piece

    def close(self) -> None:
        self._stream.close()


def limited(seconds: float, size: int) -> Callable[[httpx2.Response], None]:
    """A hook for a client's responses: reading one fails with `httpx2.ReadTimeout` when it has not ended that many
    seconds after its head, looked at with each piece that comes, and with `httpx2.DecodingError` beyond `size` bytes.
    One that is packed fails with that too: what was asked for plain, and could be any size, is not unpacked."""

    def hook(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx2.DecodingError("the answer is packed, and was asked for plain", request=response.request)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Limited(response.stream, response.request, seconds, size)

    return hook
