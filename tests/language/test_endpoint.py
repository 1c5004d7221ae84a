"""The writer for endpoints, against a server of our own that can be told how to behave, and against a real one."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import pickle
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dpsynth_assets.contract.synthesis import BaseModelTerms
from dpsynth_assets.language.endpoint import AT_ONCE, ChatDecoding, EndpointWriter, Patience
from dpsynth_assets.language.writing import Request, WriterError
from tests.chat_server import Server, answer, text_for

KEY = "sk-hunter2-0123456789"
DECODING = ChatDecoding(max_tokens=20, temperature=0.7, top_p=0.9)
ASKED = [Request(f"Write about {thing}.") for thing in ("cards", "fees", "loans", "rates", "cash", "shares")]
MODEL = Path(__file__).parents[3] / "shared" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
LONG = 30.0  # seconds after which a test that waits for another thread gives up


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """How long the client would have waited, each time; it does not."""
    found: list[float] = []
    monkeypatch.setattr("openai._base_client.time", SimpleNamespace(time=time.time, sleep=found.append))
    return found


@pytest.fixture
def writer(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WRITER_KEY", KEY)

    def make(**other: Any) -> EndpointWriter:
        given = {"patience": Patience(connect=5.0, answer=LONG, retries=2), "key_variable": "WRITER_KEY", **other}
        return EndpointWriter(
            **{"endpoint": server.url, "model": "m", "cache": tmp_path / "cache", **given}, decoding=DECODING
        )

    return make


def test_a_request_carries_what_is_asked_how_to_decode_and_a_seed_and_nothing_else(server, writer, monkeypatch):
    """Whatever the environment holds for another service stays here."""
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/elsewhere")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Other: elsewhere\nAuthorization: elsewhere")
    monkeypatch.setenv("MY_SECRET", "elsewhere")
    assert writer().write(ASKED[:1], 5) == [text_for(server.bodies[0])]
    [body] = server.bodies
    seed = body.pop("seed")
    assert 0 <= seed < 2**31
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": ASKED[0].asked}],
        "max_tokens": 20,
        "temperature": 0.7,
        "top_p": 0.9,
    }
    assert server.paths == ["/v1/chat/completions"]
    [headers] = server.headers
    assert headers.pop("authorization") == f"Bearer {KEY}"
    assert set(headers) <= {"host", "accept", "accept-encoding", "connection", "content-type", "content-length"}
    assert "elsewhere" not in str(headers)


def test_examples_are_earlier_turns_of_the_chat_and_part_of_what_an_answer_follows_from(server, writer):
    shown = Request("a loan", examples=("Mine is late.", "Theirs too."))
    writer().write([shown], 5)
    asked = {"role": "user", "content": "a loan"}
    answers = [{"role": "assistant", "content": text} for text in shown.examples]
    assert server.bodies[0]["messages"] == [asked, answers[0], asked, answers[1], asked]
    writer().write([Request("a loan", examples=shown.examples[::-1])], 5)
    writer().write([shown], 5)
    assert len(server.bodies) == 2


def test_without_a_variable_no_key_is_sent(server, writer, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "elsewhere")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: elsewhere")
    writer(key_variable=None).write(ASKED[:1], 5)
    assert "authorization" not in server.headers[0]


def test_each_request_has_a_seed_of_its_own_and_the_same_one_again(server, writer, tmp_path):
    alike = [ASKED[0]] * 5
    first = writer().write(alike, 5)
    assert len(set(first)) == 5
    assert writer(cache=tmp_path / "other").write(alike, 5) == first
    assert not set(writer().write(alike, 6)) & set(first)


def test_texts_come_in_the_order_of_the_requests_whoever_is_answered_first(server, writer):
    """The first request is answered last: when all others were."""
    others, count = threading.Event(), itertools.count(1)

    def turn(body: dict[str, Any]) -> str:
        if body["messages"][0]["content"] == ASKED[0].asked:
            assert others.wait(LONG)
        elif next(count) == len(ASKED) - 1:
            others.set()
        return text_for(body)

    server.turns = [turn] * len(ASKED)
    told: list[int] = []
    texts = writer().write(ASKED, 5, told.append)
    assert [text.partition(" by ")[0] for text in texts] == [request.asked for request in ASKED]
    assert server.bodies[-1]["messages"] != server.bodies[0]["messages"]
    assert told == list(range(len(ASKED) + 1))


def test_a_few_are_asked_at_once_and_no_more(server, writer):
    """A few are there before any is answered, and another one does not come meanwhile."""
    few, another, count = threading.Barrier(AT_ONCE, timeout=LONG), threading.Event(), itertools.count()
    came: list[bool] = []

    def turn(body: dict[str, Any]) -> str:
        if next(count) < AT_ONCE:
            few.wait()
            came.append(another.wait(0.2))
            few.wait()
        else:
            another.set()
        return text_for(body)

    server.turns = [turn] * (3 * AT_ONCE)
    assert len(writer().write([ASKED[0]] * (3 * AT_ONCE), 5)) == 3 * AT_ONCE
    assert came == [False] * AT_ONCE


def test_what_was_answered_is_asked_no_second_time(server, writer, tmp_path, monkeypatch):
    texts = writer().write(ASKED, 5)
    server.close()
    monkeypatch.delenv("WRITER_KEY")  # nothing is asked, so no key is needed
    told: list[int] = []
    assert writer().write(ASKED, 5, told.append) == texts
    assert told == [len(ASKED)]
    server.http = SimpleNamespace(shutdown=lambda: None, server_close=lambda: None)
    kept = list((tmp_path / "cache").iterdir())
    assert sorted(file.read_text() for file in kept) == sorted(texts)
    assert {stat.S_IMODE(file.stat().st_mode) for file in kept} == {0o600}
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700


def test_an_answer_is_kept_under_all_that_it_follows_from(server, writer):
    writer().write(ASKED[:1], 5)
    others = [
        writer(model="other"),
        writer(endpoint=f"{server.url}/"),
        *(
            writer_with(writer(), each)
            for each in (ChatDecoding(21, 0.7, 0.9), ChatDecoding(20, 0.8, 0.9), ChatDecoding(20, 0.7, 0.8))
        ),
    ]
    for number, other in enumerate(others, start=2):
        other.write(ASKED[:1], 5)
        assert len(server.bodies) == number
    writer().write(ASKED[1:2], 5)
    writer().write(ASKED[:1], 6)
    writer().write([ASKED[1], ASKED[0]], 5)  # another place: the second one is asked for
    assert len(server.bodies) == len(others) + 4
    writer(key_variable=None).write(ASKED[:1], 5)
    assert len(server.bodies) == len(others) + 4


def writer_with(writer: EndpointWriter, decoding: ChatDecoding) -> EndpointWriter:
    return EndpointWriter(**{**vars(writer), "decoding": decoding})


def test_a_run_that_was_interrupted_asks_for_the_rest_only(server, writer):
    def interrupt(ready: int) -> None:
        if ready == 2:
            raise KeyboardInterrupt

    many = [Request(f"Write {number}.") for number in range(40)]
    with pytest.raises(KeyboardInterrupt):
        writer().write(many, 5, interrupt)
    before = {body["messages"][0]["content"] for body in server.bodies}
    assert 2 <= len(before) < len(many)  # what was not under way was not asked
    server.bodies.clear()
    texts = writer().write(many, 5)
    after = [body["messages"][0]["content"] for body in server.bodies]
    assert sorted([*before, *after]) == sorted(request.asked for request in many)
    assert [text.partition(" by ")[0] for text in texts] == [request.asked for request in many]


def test_a_server_that_refuses_halfway_takes_nothing_with_it(server, writer):
    server.turns = [text_for, text_for, *[(401, {}, "{}")] * 4]
    with pytest.raises(WriterError, match="What was answered is kept, and not asked for again"):
        writer().write(ASKED, 5)
    server.turns, _ = [], server.bodies.clear()
    writer().write(ASKED, 5)
    assert len(server.bodies) == len(ASKED) - 2


def test_a_file_that_is_no_text_is_asked_for_again(server, writer, tmp_path):
    texts = writer().write(ASKED[:1], 5)
    [file] = (tmp_path / "cache").iterdir()
    file.write_bytes(b"\xff\xfe")
    assert writer().write(ASKED[:1], 5) == texts
    assert file.read_text() == texts[0]


def test_what_may_pass_is_tried_again_and_the_server_says_when(server, writer, waits):
    server.turns = [(429, {"Retry-After": "7"}, "{}"), (503, {"Retry-After": "3"}, "{}")]
    assert writer().write(ASKED[:1], 5) == [text_for(server.bodies[-1])]
    assert waits == [7.0, 3.0]
    assert len({json.dumps(body) for body in server.bodies}) == 1


def test_where_the_server_says_nothing_the_waits_grow(server, writer, waits):
    server.turns = [(500, {}, "{}")] * 4
    writer(patience=Patience(answer=LONG, retries=4)).write(ASKED[:1], 5)
    assert [0.5 * 2**n >= wait >= 0.375 * 2**n for n, wait in enumerate(waits)] == [True] * 4


BROKEN = (200, {"Content-Length": 1000}, '{"choices": [')
FAULTS = {
    "a key that is wrong": (
        (401, {}, json.dumps({"error": {"message": f"Incorrect key: {KEY}"}})),
        1,
        "WRITER_KEY: is it",
    ),
    "a key for other models": ((403, {}, KEY), 1, r"\(403\): it lets this key not use m"),
    "no such model": ((404, {}, "{}"), 1, "has no model m here: `base_model.name` is one of its list"),
    "a temperature too high": ((400, {}, "{}"), 1, r"refuses the request \(400\)"),
    "another place": ((307, {"Location": "http://127.0.0.1:1/"}, ""), 1, r"sends on to another place \(307\)"),
    "asked too often": ((429, {}, "{}"), 3, "asked too often, after 2 further tries"),
    "an hour's wait": ((429, {"Retry-After": "3600"}, "{}"), 1, "asked too often"),
    "an error": ((500, {}, KEY), 3, r"fails \(500\), also when asked again"),
    "half an answer": (BROKEN, 3, "cannot be reached, or breaks off, tried 3 times"),
    "no JSON": ((200, {}, "<html>"), 1, "answers what cannot be read"),
    "a web page": ((200, {"Content-Type": "text/html"}, f"<html>{KEY}"), 1, "not by a chat's completion"),
    "another JSON": ((200, {}, "[]"), 1, "not by a chat's completion"),
    "nothing": ((200, {}, "null"), 1, "not by a chat's completion"),
    "no choices": ((200, {}, '{"choices": []}'), 1, "not by a chat's completion"),
    "strange choices": ((200, {}, '{"choices": [7]}'), 1, "not by a chat's completion"),
    "no message": ((200, {}, '{"choices": [{}]}'), 1, "not by a chat's completion"),
    "no text": ((200, {}, json.dumps(answer(["a"]))), 1, "not by a chat's completion"),
    "an empty text": ((200, {}, json.dumps(answer(" \n"))), 3, "answers with nothing, asked 3 times for"),
    "null for a text": ((200, {}, json.dumps(answer(None))), 3, "answers with nothing, asked 3 times for"),
}


OF_ONE_REQUEST = ("a temperature too high", "an empty text", "null for a text")


@pytest.mark.parametrize("way", ["write", "reach"])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_sentence_after_so_many_tries_and_shows_no_key(
    server, writer, fault, way, caplog, capfd, tmp_path
):
    turn, tries, says = FAULTS[fault]
    server.turns = [turn] * 20
    caplog.set_level(logging.DEBUG)
    asking = writer()
    if way == "write" and fault in OF_ONE_REQUEST:  # the server may take all others, so nothing ends by it
        assert asking.write(ASKED[:1], 5) == [""]
    else:
        with pytest.raises(WriterError, match=says) as raised:
            asking.write(ASKED[:1], 5) if way == "write" else asking.reach()
        shows_no_key(raised.value, asking, caplog, capfd)
    assert len(server.bodies) == tries
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"  # it was there to be shown
    assert not list(tmp_path.rglob("*.txt"))


def shown(error: BaseException) -> str:
    """All that can be printed of an exception, with the variables of every function but the tests'."""
    said = traceback.TracebackException.from_exception(error, capture_locals=True)
    said.stack[:] = [frame for frame in said.stack if frame.filename != __file__]
    return "".join(said.format())


def shows_no_key(error: BaseException, asking: EndpointWriter, caplog: Any, capfd: Any) -> None:
    assert error.__cause__ is None
    assert error.__context__ is None or type(error.__context__) is WriterError
    while error is not None:
        assert "hunter2" not in shown(error) + repr(vars(error))
        error = error.__context__
    assert "hunter2" not in repr(asking) + str(pickle.dumps(asking))
    said = "".join(f"{record.getMessage()}{record.__dict__}" for record in caplog.records)
    assert "httpcore" in said  # as much as there is was logged
    assert "hunter2" not in said + "".join(capfd.readouterr())


def test_a_server_that_is_away_is_one_sentence(server, writer, waits, caplog, capfd):
    server.close()
    caplog.set_level(logging.DEBUG)
    asking = writer()
    with pytest.raises(WriterError, match="cannot be reached, or breaks off, tried 3 times") as raised:
        asking.reach()
    assert len(waits) == 2
    shows_no_key(raised.value, asking, caplog, capfd)
    server.http = SimpleNamespace(shutdown=lambda: None, server_close=lambda: None)


def test_a_server_that_is_slow_is_waited_for_so_long_and_so_often(server, writer, caplog, capfd):
    go = threading.Event()

    def turn(body: dict[str, Any]) -> str:
        go.wait(LONG)
        return text_for(body)

    server.turns = [turn] * 3
    caplog.set_level(logging.DEBUG)
    asking = writer(patience=Patience(answer=0.05, retries=2))
    with pytest.raises(
        WriterError, match=r"gave no answer within 0.05 seconds, or none .* within 600, asked 3 times"
    ) as raised:
        asking.write(ASKED[:1], 5)
    go.set()
    assert len(server.bodies) == 3
    shows_no_key(raised.value, asking, caplog, capfd)


def test_an_answer_without_end_is_listened_to_no_longer_than_it_may_be_large(server, writer, waits):
    server.turns = [(200, {}, json.dumps(answer("x" * 2**20)))] * 3
    with pytest.raises(WriterError, match="breaks off"):
        writer(patience=Patience(retries=2)).reach()
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    ("begins", "piece"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Still-There: yes\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
    ],
    ids=["before the head", "head", "body"],
)
def test_a_server_that_sends_a_little_now_and_then_is_not_listened_to_for_ever(writer, begins, piece):
    """A limit for each piece never ends it."""
    asked, over = [], threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            asked.append(connection.recv(2**16))
            connection.sendall(begins)
            while not over.wait(0.02):
                connection.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(2) as threads:
        asking = writer(
            endpoint=f"http://127.0.0.1:{listening.getsockname()[1]}/v1",
            patience=Patience(answer=LONG, retries=1, whole=0.3),
        )
        told = threads.submit(asking.reach)
        for _ in range(2):
            threads.submit(serve, listening.accept()[0])
        with pytest.raises(WriterError, match=r"none that ended within 0\.3, asked 2 times"):
            told.result(LONG)
        over.set()
    assert len(asked) == 2


def certified(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The certificate of `localhost`, signed by itself, and what a server serves with it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return certificate, context


def test_over_https_too_an_answer_comes_and_comes_in_time(server, writer, monkeypatch, tmp_path):
    certificate, context = certified(tmp_path)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    monkeypatch.setenv("NO_PROXY", "localhost")
    place = server.url.replace("http://127.0.0.1", "https://localhost")
    with pytest.raises(WriterError, match="cannot be reached"):
        writer(endpoint=place, patience=Patience(retries=0)).reach()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert writer(endpoint=place).write(ASKED[:1], 5) == [text_for(server.bodies[0])]
    go = threading.Event()
    server.turns = [lambda body: go.wait(LONG) and text_for(body)]
    with pytest.raises(WriterError, match=r"none that ended within 0\.2"):
        writer(endpoint=place, patience=Patience(answer=LONG, retries=0, whole=0.2)).reach()
    go.set()


@pytest.mark.parametrize("key", [KEY, "lm-studio"])
def test_a_key_that_a_server_writes_into_its_texts_gets_no_further(server, writer, monkeypatch, tmp_path, key):
    """A gateway that is being debugged, say. What is no secret is a word like others."""
    monkeypatch.setenv("WRITER_KEY", key)
    server.turns = [lambda body: f"You sent Bearer {key}, thank you."] * 3
    if key == KEY:
        with pytest.raises(WriterError, match="writes the key that it was sent into its texts") as raised:
            writer().write(ASKED[:1], 5)
        assert KEY not in str(raised.value)
        assert not list((tmp_path / "cache").glob("*"))
    else:
        assert writer().write(ASKED[:1], 5) == ["You sent Bearer lm-studio, thank you."]


def test_a_text_that_is_empty_once_is_asked_for_by_another_seed(server, writer):
    server.turns = [lambda body: ""]
    [text] = writer().write(ASKED[:1], 5)
    first, second = server.bodies
    assert first.pop("seed") != second["seed"]
    assert text == text_for(second)


@pytest.mark.parametrize("refusal", [(400, {}, "{}"), (413, {}, "{}"), (422, {}, "{}")])
def test_one_text_that_a_server_will_not_write_ends_no_run(server, writer, refusal):
    """A filter takes offence, say, each time it is asked."""
    server.turns = [refusal]
    texts = writer().write(ASKED, 5)
    assert texts.count("") == 1
    assert len(server.bodies) == len(ASKED)


def test_a_text_is_no_longer_than_its_tokens_can_be(server, writer):
    """Whatever the server makes of the number that it was told."""
    server.turns = [lambda body: "long " * 100_000]
    [text] = writer().write(ASKED[:1], 5)
    assert len(text) == 32 * DECODING.max_tokens


def test_answers_that_cannot_be_kept_are_had_all_the_same(server, writer, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    asking = EndpointWriter(**{**vars(writer()), "cache": tmp_path / "file" / "answers"})
    assert len(asking.write(ASKED, 5)) == len(ASKED)


def test_halves_of_characters_can_be_kept(server, writer):
    server.turns = [lambda body: "a \ud83d b \U0001f600\r\n"]
    assert writer().write(ASKED[:1], 5) == writer().write(ASKED[:1], 5) == ["a ? b \U0001f600\r\n"]
    assert len(server.bodies) == 1


def test_reach_asks_once_and_keeps_nothing(server, writer, tmp_path):
    writer().reach()
    [body] = server.bodies
    assert (body["model"], body["max_tokens"]) == ("m", 20)
    assert not list(tmp_path.rglob("*.txt"))


def test_a_beginning_is_refused_before_anything_is_asked(server, writer):
    with pytest.raises(WriterError, match="a chat does not go on from a text's beginning"):
        writer().write([ASKED[0], Request("Write on.", begin="Dear")], 5)
    assert server.bodies == []


def test_no_requests_ask_nothing(server, writer):
    assert writer().write([], 5) == []
    assert server.bodies == []


@pytest.mark.parametrize("key", [None, "", " \n", "sk hunter2", "sk-hunter2\r\nX-Other: 1", "sk-hunter2-\u00e9"])
def test_a_key_that_cannot_be_sent_is_said_before_anything_is(server, writer, monkeypatch, key):
    asking = writer()
    monkeypatch.delenv("WRITER_KEY") if key is None else monkeypatch.setenv("WRITER_KEY", key)
    with pytest.raises(WriterError, match="the environment variable WRITER_KEY holds") as raised:
        asking.reach()
    assert "hunter2" not in shown(raised.value)
    assert server.bodies == []


def test_a_key_may_end_a_line(server, writer, monkeypatch):
    monkeypatch.setenv("WRITER_KEY", f"{KEY}\n")
    writer().reach()
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_a_proxy_that_is_none_is_said(writer, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "gopher://nowhere")
    monkeypatch.setenv("https_proxy", "gopher://nowhere")
    with pytest.raises(WriterError, match="look at the proxies in the environment") as raised:
        writer(endpoint="https://example.org/v1").reach()
    assert "hunter2" not in shown(raised.value)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_over_plain_http_no_proxy_gets_to_see_the_key(server, writer, monkeypatch, name):
    monkeypatch.delenv("NO_PROXY")
    proxy = Server()
    monkeypatch.setenv(name, proxy.url)
    writer().reach()
    assert len(server.bodies) == 1
    assert not proxy.headers
    proxy.close()


def test_a_packed_answer_is_not_unpacked(server, writer):
    """Of a megabyte it could make a gigabyte."""
    packed = gzip.compress(json.dumps(answer("a text")).encode())
    server.turns = [(200, {"Content-Encoding": "gzip"}, packed)] * 3
    with pytest.raises(WriterError, match="breaks off"):
        writer().reach()
    assert {headers["accept-encoding"] for headers in server.headers} == {"identity"}


def test_what_is_kept_is_said_only_where_something_is(server, writer):
    server.turns = [(401, {}, "")]
    with pytest.raises(WriterError) as raised:
        writer().write(ASKED[:1], 5)
    assert "kept" not in str(raised.value)


def test_a_contract_names_its_writer(inbox, tmp_path):
    with pytest.raises(WriterError, match=r"names no `base_model\.endpoint`"):
        EndpointWriter.of(inbox, tmp_path)
    base = BaseModelTerms(name="m", endpoint="http://localhost:8000/v1", key_variable="WRITER_KEY")
    terms = inbox.privacy.model_copy(update={"base_model": base})
    made = EndpointWriter.of(type(inbox)(**{**vars(inbox), "privacy": terms}), tmp_path)
    generation = terms.generation
    decoding = ChatDecoding(generation.max_new_tokens, generation.temperature, generation.top_p)
    assert made == EndpointWriter("http://localhost:8000/v1", "m", decoding, tmp_path, "WRITER_KEY")


# llama.cpp's own server, in a process of its own that ends with its input. It listens on a port that is free.
LLAMA = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.api_keys, params.port = sys.argv[1], [sys.argv[2]], 0
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 1024, 2, 2
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.skipif(not MODEL.exists(), reason="the shared model is not here")
def test_the_server_of_llama_cpp_writes_what_is_asked(writer, monkeypatch):
    command = [sys.executable, "-c", LLAMA, str(MODEL), KEY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as llama:
        assert llama.stdin is not None
        assert llama.stdout is not None
        asking = writer(endpoint=f"{llama.stdout.readline().strip()}/v1", patience=Patience(answer=300.0))
        asking.reach()
        texts = asking.write(ASKED[:3], 5)
        assert len(set(texts)) == 3
        assert all(text.strip() for text in texts)
        monkeypatch.setenv("WRITER_KEY", "sk-another")
        assert asking.write(ASKED[:3], 5) == texts  # as they were kept
        with pytest.raises(WriterError, match=r"refuses \(401\): it does not take the key"):
            asking.reach()
        llama.stdin.close()
