"""A server that keeps objects in memory and speaks as much of S3's protocol as writing and listing a bucket takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

KEY = "hunter2-XYZZY"
WRITER = "writer"
BUCKET = "/released"


class Bucket(ThreadingHTTPServer):
    """Objects by name, in the order in which they came; `full` is how many it takes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.objects: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.full = 1000

    @property
    def endpoint(self) -> str:
        return f"?endpoint=http://127.0.0.1:{self.server_port}"


@contextmanager
def bucket() -> Iterator[Bucket]:
    server = Bucket()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Answers(BaseHTTPRequestHandler):
    server: Bucket
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked, query = self.asked()
        if "list-type" in query:
            self.answer(200, _listing(self.server.objects, query.get("prefix", [""])[0]))
        elif asked in self.server.objects:
            self.answer(200, self.server.objects[asked])
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        asked, query = self.asked()
        self.body()
        if "uploads" in query:
            said = f"<InitiateMultipartUploadResult><UploadId>{asked}</UploadId></InitiateMultipartUploadResult>"
            self.answer(200, said.encode())
            return
        numbers = sorted(number for name, number in self.server.parts if name == asked)
        self.keep(asked, b"".join(self.server.parts.pop((asked, number)) for number in numbers))

    def do_PUT(self) -> None:
        asked, query = self.asked()
        body = self.body()
        if "partNumber" in query:
            self.server.parts[asked, int(query["partNumber"][0])] = body
            self.answer(200, b"")
        else:
            self.keep(asked, body)

    def do_DELETE(self) -> None:
        self.answer(204, b"")

    def keep(self, name: str, body: bytes) -> None:
        if not self.headers.get("Authorization", "").startswith(f"AWS4-HMAC-SHA256 Credential={WRITER}/"):
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif len(self.server.objects) >= self.server.full:
            self.answer(400, b"<Error><Code>QuotaExceeded</Code></Error>")
        else:
            self.server.objects[name] = body
            self.answer(200, b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")

    def asked(self) -> tuple[str, dict[str, list[str]]]:
        asked = urlsplit(self.path)
        return unquote(asked.path).removeprefix(BUCKET).lstrip("/"), parse_qs(asked.query, keep_blank_values=True)

    def body(self) -> bytes:
        """What was sent; a client that signs piece by piece sends it in pieces, each with its length and signature."""
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0))) if "Content-Length" in self.headers else b""
        if "Transfer-Encoding" in self.headers:
            sent = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                sent += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return sent
        whole = b""
        while sent:
            head, _, sent = sent.partition(b"\r\n")
            if not (size := int(head.split(b";")[0], 16)):
                break
            whole, sent = whole + sent[:size], sent[size + 2 :]
        return whole

    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 00:00:00 GMT")
        self.send_header("ETag", '"e"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        pass


def _listing(objects: dict[str, bytes], prefix: str) -> bytes:
    said = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-11-29T00:00:00Z</LastModified><Size>{len(body)}</Size></Contents>"
        for key, body in sorted(objects.items())
        if key.startswith(prefix)
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>1</KeyCount>{said}</ListBucketResult>".encode()
