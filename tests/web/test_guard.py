"""The guard before the web interface: what reaches the pages behind it, and what does not."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsynth_assets.cli.console import BadInput
from dpsynth_assets.cli.ui import _chosen_token, origins_of
from dpsynth_assets.web.guard import Guard

OWN, NAMED = "http://127.0.0.1:3000", "https://dpsynth.example.org"
TOKEN, COOKIE = "s3cret-of-this-start", "dpsynth-3000"
PAGE = {"host": "127.0.0.1:3000", "cookie": f"{COOKIE}={TOKEN}"}
SENT = PAGE | {"origin": OWN, "sec-fetch-site": "same-origin", "content-type": "application/json"}
SOCKET = PAGE | {"origin": OWN}


class Behind:
    """The application behind the guard; remembers what reached it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope["type"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
            await send({"type": "http.response.body", "body": b"done"})
        elif scope["type"] == "websocket":
            await send({"type": "websocket.accept"})


def ask(
    headers: Any, method: str = "GET", path: str = "/graphql", query: str = "", kind: str = "http"
) -> tuple[Any, dict[str, str], bool]:
    """Status (of a socket: what was sent), headers of the answer, and whether the application was reached."""
    behind, said = Behind(), []
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
    }

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    guard = Guard(behind, origins=(OWN, "http://localhost:3000", NAMED), token=TOKEN, cookie=COOKIE)
    asyncio.run(guard(scope, receive, send))
    answered = {name.decode(): value.decode() for name, value in said[0].get("headers", ())}
    return said[0].get("status", said[0]["type"]), answered, bool(behind.reached)


def socket(headers: Any) -> Any:
    return ask(headers, kind="websocket")


def changed(headers: dict[str, str], **changes: str | None) -> dict[str, str]:
    """The headers with some replaced, or left out."""
    all_of_them = headers | {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in all_of_them.items() if value is not None}


def test_its_own_pages_may_read_send_and_open_sockets():
    assert ask(PAGE, path="/runs")[0] == 200
    assert ask(changed(PAGE, accept="text/html"), path="/graphql")[0] == 200  # the playground's page
    assert ask(SENT, "POST")[0] == 200
    assert socket(SOCKET)[0] == "websocket.accept"


def test_a_program_that_has_the_secret_needs_neither_cookie_nor_origin():
    program = {"host": "127.0.0.1:3000", "x-dpsynth-token": TOKEN, "content-type": "application/json"}
    assert ask(program, "POST")[0] == 200
    assert ask(changed(program, origin="https://evil.example"), "POST")[0] == 403


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "", "http://127.0.0.1:8000", "https://127.0.0.1:3000", "http://localhost:3000",
     "http://127.0.0.1:3000.evil.example", NAMED],
)  # fmt: skip
def test_another_page_can_neither_send_nor_open_a_socket(origin):
    status, _, reached = ask(changed(SENT, origin=origin, sec_fetch_site=None), "POST")
    assert (status, reached) == (403, False)
    assert socket(changed(SOCKET, origin=origin))[0] == "websocket.close"
    assert not socket(changed(SOCKET, origin=origin))[2]


def test_without_an_origin_nothing_is_changed_on_the_strength_of_a_cookie():
    assert ask(changed(SENT, origin=None), "POST")[0] == 403
    assert socket(changed(SOCKET, origin=None))[0] == "websocket.close"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_the_browser_says_of_the_page_counts_too(site):
    assert ask(changed(SENT, sec_fetch_site=site), "POST")[0] == 403
    assert ask(changed(PAGE, sec_fetch_site=site, sec_fetch_mode="no-cors"), path="/logs/x")[0] == 403
    assert ask(changed(PAGE, sec_fetch_site=site, sec_fetch_mode="navigate"), path="/runs")[0] == 200


@pytest.mark.parametrize("host", ["evil.example:3000", "evil.example", "127.0.0.1", "127.0.0.1:3001", "", "[::1]:3000"])
def test_another_name_for_this_machine_is_not_answered_to(host):
    for headers, method, kind in ((PAGE, "GET", "http"), (SENT, "POST", "http"), (SOCKET, "GET", "websocket")):
        rebound = headers | {"host": host, "origin": f"http://{host}", "x-dpsynth-token": TOKEN}
        status, _, reached = ask(rebound, method, kind=kind)
        assert status in (421, "websocket.close")
        assert not reached


@pytest.mark.parametrize("cookie", [None, "", f"{COOKIE}=", f"{COOKIE}=wrong", f"other={TOKEN}", f"{COOKIE}={TOKEN}x"])
def test_without_the_secret_nothing_is_answered(cookie):
    for headers, method, kind in ((PAGE, "GET", "http"), (SENT, "POST", "http"), (SOCKET, "GET", "websocket")):
        status, _, reached = ask(changed(headers, cookie=cookie), method, kind=kind, path="/runs")
        assert status in (401, "websocket.close")
        assert not reached


def test_other_cookies_of_this_host_do_not_hide_the_secret():
    noisy = f'a="x; b=[1,2]; {COOKIE}=theirs; =; {COOKIE}={TOKEN}; c=\xe9'
    assert ask(changed(PAGE, cookie=noisy), path="/runs")[0] == 200


def test_the_first_visit_keeps_the_secret_as_a_cookie_and_takes_it_out_of_the_address():
    status, headers, reached = ask({"host": "127.0.0.1:3000"}, path="/runs", query=f"a=1&token={TOKEN}&b=x%26y")
    assert (status, headers["location"], reached) == (303, "/runs?a=1&b=x%26y", False)
    assert headers["set-cookie"] == f"{COOKIE}={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
    assert ask({"host": "dpsynth.example.org"}, query=f"token={TOKEN}")[1]["set-cookie"].endswith("; Secure")
    assert ask({"host": "127.0.0.1:3000"}, path="/runs", query="token=wrong")[0] == 401
    assert (
        ask({"host": "127.0.0.1:3000"}, path="//evil.example/x", query=f"token={TOKEN}")[1]["location"]
        == "/evil.example/x"
    )
    assert ask(changed(SENT, cookie=None), "POST", query=f"token={TOKEN}")[0] == 401


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
def test_graphql_is_never_executed_for_a_get(path):
    for method in ("GET", "HEAD"):
        status, _, reached = ask(PAGE, method, path, query="query=mutation{launchRun}")
        assert (status, reached) == (405, False)


@pytest.mark.parametrize(
    "form",
    [None, "", "text/plain", "application/graphql", "application/x-www-form-urlencoded", "multipart/form-data",
     "text/plain; x=application/json", "text/plain;application/json"],
)  # fmt: skip
def test_only_json_is_executed(form):
    status, _, reached = ask(changed(SENT, content_type=form), "POST")
    assert (status, reached) == (415, False)
    assert ask(changed(SENT, content_type="Application/JSON; charset=utf-8"), "POST")[0] == 200


@pytest.mark.parametrize("name", ["host", "origin", "content-type", "cookie", "x-dpsynth-token"])
def test_a_header_that_is_given_twice_counts_as_none(name):
    full = SENT | {"x-dpsynth-token": TOKEN}
    full = full if name == "cookie" else changed(full, cookie=None)
    pairs = [*full.items(), (name, full[name])]
    if name == "cookie":
        pairs = [pair for pair in pairs if pair[0] != "x-dpsynth-token"]
    assert not ask(pairs, "POST")[2]


@given(
    method=st.sampled_from(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "TRACE")),
    headers=st.dictionaries(
        st.sampled_from(("origin", "sec-fetch-site", "sec-fetch-mode", "content-type", "accept", "referer")),
        st.sampled_from(("", "null", "https://evil.example", OWN, "same-site", "cross-site", "navigate", "text/plain",
                         "application/json", "text/html", "*/*")),
    ),
    path=st.sampled_from(("/graphql", "/", "/report_asset_materialization/x", "/runs")),
)  # fmt: skip
def test_a_foreign_page_executes_nothing_with_any_combination_of_headers(method, headers, path):
    headers = headers | {"origin": "https://evil.example"}
    reads = method in ("GET", "HEAD")
    status, _, reached = ask(PAGE | headers, method, path, query="query=mutation{launchRun}")
    assert not reached or (reads and (path != "/graphql" or "text/html" in headers.get("accept", "")))
    assert status != 200 or reads


def test_no_other_page_may_frame_it():
    for headers in (PAGE, changed(PAGE, cookie=None)):
        answered = ask(headers, path="/runs")[1]
        assert answered["x-frame-options"] == "SAMEORIGIN"
        assert answered["cross-origin-resource-policy"] == "same-origin"


def test_it_answers_to_its_own_address_and_to_what_it_is_told():
    assert origins_of("127.0.0.1", 3000, ()) == ("http://127.0.0.1:3000", "http://localhost:3000", "http://[::1]:3000")
    assert origins_of("127.0.0.1", 80, ())[0] == "http://127.0.0.1"
    assert origins_of("10.0.0.5", 3000, ["Dpsynth.example.org"]) == ("http://10.0.0.5:3000", NAMED)
    assert origins_of("0.0.0.0", 3000, ["http://box:3000"]) == ("http://box:3000",)
    assert origins_of("0.0.0.0", 3000, ["https://box:443", "http://box2:80"]) == ("https://box", "http://box2")
    assert origins_of("::", 3000, [NAMED]) == (NAMED,)
    with pytest.raises(BadInput, match="under which name"):
        origins_of("0.0.0.0", 3000, ())
    for wrong in ("*", "*.example.org", "a b", "http://", "ftp://x", "https://x/path", "https://me@x", "http://x:port"):
        with pytest.raises(BadInput):
            origins_of("127.0.0.1", 3000, [wrong])


def test_a_secret_that_the_operator_chose_is_long_and_not_left_to_the_runs(monkeypatch):
    assert _chosen_token() is None
    monkeypatch.setenv("DPSYNTH_UI_TOKEN", "s3cret" * 6)
    assert _chosen_token() == "s3cret" * 6
    assert "DPSYNTH_UI_TOKEN" not in os.environ
    for wrong in ("", "short", "a b" * 20):
        monkeypatch.setenv("DPSYNTH_UI_TOKEN", wrong)
        with pytest.raises(BadInput, match="at least 32"):
            _chosen_token()
