"""What stands before the web interface, so that no web page but its own can launch a run.

Whoever can launch a run can spend budget, and Dagster's web server executes what it is sent whatever page sent it. So a
request has to come

    to a host name that this interface answers to       a page cannot rebind its own name to this machine's address
    with the secret of this start                       as a cookie that other sites' pages cannot send, or as a header
    from a page of this interface, if it changes        `Origin`, and `Sec-Fetch-Site` where the browser sends it
    anything or opens a socket
    and, if it is GraphQL, as JSON in a POST            a form or a picture in a foreign page can send neither

A plain ASGI middleware: it knows headers and nothing of Dagster but where GraphQL is answered. It does not know people:
the secret is one for all. A login belongs in front of it (docs/operators.md).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_HEADER = "x-dpsynth-token"
TOKEN_PARAMETER = "token"
_READS = ("GET", "HEAD")
_GRAPHQL = "/graphql"
_POLICY_VIOLATION = 1008  # of a web socket; before it is accepted, the client sees 403
_HEADERS = (  # on every answer: no other page may show this one in a frame, or hold its window
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"content-security-policy", b"frame-ancestors 'self'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True)
class Refusal:
    """An answer in place of the interface's, and what the person who reads it can do."""

    status: int
    text: str


class Guard:
    """An ASGI application that lets only its own pages, and programs that have the secret, through to another one.

    Args:
        app: the application behind.
        origins: the origins under which browsers reach it, such as `http://127.0.0.1:3000`. All lower case.
        token: the secret of this start.
        cookie: the cookie's name. Cookies do not know ports, so it should name the port.
    """

    def __init__(self, app: App, *, origins: tuple[str, ...], token: str, cookie: str) -> None:
        self._app = app
        self._origins = {origin.partition("://")[2]: origin for origin in origins}
        self._token = token
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        asked = _Asked(scope)
        refusal = self._to_another_host(asked)
        if refusal is None and self._is_first_visit(asked):
            await self._let_in(asked, send)
            return
        refusal = (
            refusal or self._without_the_secret(asked) or self._from_another_page(asked) or _in_another_form(asked)
        )
        if refusal is None:
            await self._app(scope, receive, send if asked.is_socket else _with_headers(send))
        elif asked.is_socket:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.text[:100]})
        else:
            await _answer(send, refusal.status, refusal.text)

    def _to_another_host(self, asked: _Asked) -> Refusal | None:
        if asked.header("host").lower() in self._origins:
            return None
        return Refusal(421, f"This interface does not answer to that name. Use {', '.join(self._origins.values())}.")

    def _is_first_visit(self, asked: _Asked) -> bool:
        return asked.method == "GET" and any(self._is_the_secret(value) for value in asked.parameters(TOKEN_PARAMETER))

    async def _let_in(self, asked: _Asked, send: Send) -> None:
        """Keep the secret as a cookie, and take it out of the address."""
        secure = "; Secure" if self._origins[asked.header("host").lower()].startswith("https:") else ""
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict{secure}"
        headers = ((b"location", asked.address_without(TOKEN_PARAMETER)), (b"set-cookie", cookie.encode("ascii")))
        await _answer(send, 303, "", headers)

    def _without_the_secret(self, asked: _Asked) -> Refusal | None:
        if any(map(self._is_the_secret, (asked.header(TOKEN_HEADER), *asked.cookies(self._cookie)))):
            return None
        return Refusal(
            401,
            "Open the address that `dpsynth ui` printed when it was started. If you have opened it before and come "
            "from another page now, enter this page's address yourself.",
        )

    def _from_another_page(self, asked: _Asked) -> Refusal | None:
        own = self._origins[asked.header("host").lower()]
        origin, site = asked.header("origin").lower(), asked.header("sec-fetch-site").lower()
        if not asked.is_socket and asked.method in _READS:
            # A link elsewhere may lead here; nothing else of another page may load anything.
            other = site in ("cross-site", "same-site") and asked.header("sec-fetch-mode") != "navigate"
        elif asked.names("origin"):
            other = origin != own or site not in ("", "same-origin")
        else:  # no browser leaves it out
            other = not self._is_the_secret(asked.header(TOKEN_HEADER))
        return Refusal(403, "This is asked by a page of another site.") if other else None

    def _is_the_secret(self, value: str) -> bool:
        return hmac.compare_digest(value.encode("utf-8", "replace"), self._token.encode("ascii"))


def _in_another_form(asked: _Asked) -> Refusal | None:
    """What a page can send without asking the browser's leave first is never executed."""
    if asked.is_socket:
        return None
    if asked.method in _READS:
        if asked.path.rstrip("/") == _GRAPHQL and "text/html" not in asked.header("accept"):  # with it: the playground
            return Refusal(405, "GraphQL is answered to POST with a JSON body only.")
        return None
    if asked.header("content-type").partition(";")[0].strip().lower() != "application/json":
        return Refusal(415, "Send application/json.")
    return None


class _Asked:
    """The parts of a request that decide. A header that is given twice counts as none, since others may read either."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.is_socket = scope["type"] == "websocket"
        self.method = "GET" if self.is_socket else str(scope["method"]).upper()
        self.path = str(scope["path"])

    def names(self, name: str) -> int:
        """How often a header is given."""
        return sum(key == name.encode("ascii") for key, _ in self._scope["headers"])

    def header(self, name: str) -> str:
        """A header's value, or nothing."""
        values = [value for key, value in self._scope["headers"] if key == name.encode("ascii")]
        return values[0].decode("latin-1").strip() if len(values) == 1 else ""

    def cookies(self, name: str) -> list[str]:
        """The values of a cookie; pages on other ports of this host may have set one by the same name."""
        pairs = (each.strip().partition("=") for each in self.header("cookie").split(";"))
        return [value for key, _, value in pairs if key == name]

    def parameters(self, name: str) -> list[str]:
        """The values of a parameter in the address."""
        return [value for key, value in self._query() if key == name]

    def address_without(self, name: str) -> bytes:
        """This address on this host, without a parameter of its query."""
        rest = urlencode([(key, value) for key, value in self._query() if key != name])
        path = "/" + quote(self.path.lstrip("/\\"))  # one slash: two would name another host
        return (path + ("?" + rest if rest else "")).encode("ascii")

    def _query(self) -> list[tuple[str, str]]:
        return parse_qsl(self._scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    body = text.encode("utf-8")
    plain = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode("ascii")))
    own = (*plain, *headers, *_HEADERS, (b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})
