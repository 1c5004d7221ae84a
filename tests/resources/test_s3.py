"""Files on S3, of a server that speaks as much of its protocol as is asked here."""

from __future__ import annotations

import gzip
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet
import pytest

from resources.cells import SourceError
from resources.formats import records
from resources.places import stored_at

KINDS = {"who": "string", "said": "text"}
KEY = "hunter2-XYZZY"


def parquet() -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"who": ["7"], "said": ["p"]}), sink)
    return sink.getvalue()


OBJECTS = {
    "in/a-1.csv": b"who,said\n7,a\n",
    "in/a-2.csv.gz": gzip.compress(b"who,said\n8,b\n"),
    "in/a-3.csv": b"who,said\n9,c\n",
    "in/deep/a-4.csv": b"who,said\n10,d\n",
    "in/p.parquet": parquet(),
    "in/q.duckdb": b"",
}


class Bucket(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        key = unquote(asked.path).removeprefix("/letters").lstrip("/")
        query = parse_qs(asked.query, keep_blank_values=True)
        if not self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential=reader/"):
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif "list-type" in query:
            self.answer(200, listing(query.get("prefix", [""])[0], query.get("delimiter", [""])[0]))
        elif key in OBJECTS:
            begin, _, end = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            part = OBJECTS[key][int(begin) : int(end) + 1 if end else None]
            self.answer(206 if "Range" in self.headers else 200, part)
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 00:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        pass


def listing(prefix: str, delimiter: str) -> bytes:
    below = [key for key in sorted(OBJECTS) if key.startswith(prefix)]
    plain = [key for key in below if not delimiter or delimiter not in key[len(prefix) :]]
    folders = {prefix + key[len(prefix) :].split(delimiter)[0] + delimiter for key in below if key not in plain}
    said = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-11-29T00:00:00Z</LastModified>"
        f"<Size>{len(OBJECTS[key])}</Size></Contents>"
        for key in plain
    )
    said += "".join(f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders)
    return f"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>1</KeyCount>{said}</ListBucketResult>".encode()


@pytest.fixture
def endpoint(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"?endpoint=http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def read(place):
    return [record for stored in stored_at(place, {}) for record in records(stored, KINDS)]


def test_files_patterns_and_folders_are_read(endpoint):
    assert read(f"s3://letters/in/a-1.csv{endpoint}") == [["7", "a"]]
    assert read(f"s3://letters/in/a-*.csv{endpoint}") == [["7", "a"], ["9", "c"]]
    assert read(f"s3://letters/in/a-2.csv.gz{endpoint}") == [["8", "b"]]
    assert read(f"s3://letters/*/a-3.csv{endpoint}") == [["9", "c"]]
    assert read(f"s3://letters/in/{endpoint}") == [["7", "p"]]


def test_what_cannot_be_had_is_said_without_the_credentials(endpoint, monkeypatch):
    for place, says in (
        (f"s3://letters/in/b-*.csv{endpoint}", "holds no such file"),
        (f"s3://letters/in/q.duckdb{endpoint}", "copy it to this machine"),
    ):
        with pytest.raises(SourceError, match=says):
            read(place)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger")
    with pytest.raises(SourceError, match="AWS_SECRET_ACCESS_KEY") as caught:
        read(f"s3://letters/in/a-1.csv{endpoint}")
    assert caught.value.__context__ is None
    assert KEY not in str(caught.value)
    assert "stranger" not in str(caught.value)
