"""Cards and reports in the web interface: which files are served, and as what."""

from __future__ import annotations

import asyncio

import pytest

from dpsynth_assets.web.pages import Pages

PLACE = "/pages/inbox--lora-0.5/card/20260101T000000Z-abcdef"


@pytest.fixture
def artifacts(tmp_path):
    folder = tmp_path / "artifacts/inbox--lora-0.5/card/20260101T000000Z-abcdef"
    folder.mkdir(parents=True)
    (folder / "card.html").write_text("<p>the card", encoding="utf-8")
    (folder / "card.json").write_text("{}", encoding="utf-8")
    (folder / "report.html").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (tmp_path / "card.html").write_text("secret", encoding="utf-8")
    return tmp_path / "artifacts"


@pytest.fixture
def ask(artifacts):
    def asked(path: str, method: str = "GET", kind: str = "http") -> tuple[int, dict[str, str], str]:
        said = []

        async def behind(scope, receive, send):
            await send({"type": "http.response.start", "status": 299, "headers": []})

        async def send(message):
            said.append(message)

        scope = {"type": kind, "method": method, "path": path, "query_string": b"", "headers": []}
        asyncio.run(Pages(behind, artifacts)(scope, None, send))
        headers = {name.decode(): value.decode() for name, value in said[0]["headers"]}
        return said[0]["status"], headers, b"".join(each.get("body", b"") for each in said[1:]).decode()

    return asked


def test_a_page_is_served_as_a_stranger_s(ask):
    status, headers, body = ask(f"{PLACE}/card.html")
    assert (status, body) == (200, "<p>the card")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.endswith("; sandbox")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "path",
    [
        f"{PLACE}/card.json",
        f"{PLACE}/report.html",  # a link
        f"{PLACE}/other.html",
        "/pages/inbox/card/20260101T000000Z-abcdef/card.html",
        "/pages/../../card.html",
        "/pages/inbox--lora-0.5/card/../../../card.html",
        "/pages/../../../card.html",
        "/pages/./././card.html",
        f"{PLACE}/card.html\n",
        "/pages/",
    ],
)
def test_nothing_else_is_served(ask, path):
    status, _, body = ask(path)
    assert status == 404
    assert "secret" not in body


def test_pages_are_only_read(ask):
    assert ask(f"{PLACE}/card.html", "POST")[0] == 405


@pytest.mark.parametrize(
    ("path", "kind"), [("/assets", "http"), ("/pagesx/a", "http"), (f"{PLACE}/card.html", "websocket")]
)
def test_all_else_is_passed_on(ask, path, kind):
    assert ask(path, kind=kind)[0] == 299
