"""A small server that speaks the protocol of chat completions, and can be told to fail in every way."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def answer(content: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "length"}]}


def text_for(body: dict[str, Any]) -> str:
    return f"{body['messages'][0]['content']} by {body['seed']}"


class Server:
    """Answers by the next of `turns`, and each request in earnest when there are no more. A turn is a status with
    headers and a body, or a function of the request's body that gives the text. `refused` gives the turn of a request
    that is always answered so, or None."""

    def __init__(self) -> None:
        self.turns: list[Any] = []
        self.refused: Callable[[dict[str, Any]], Any] = lambda body: None
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    server.bodies.append(body)
                    server.headers.append({name.lower(): value for name, value in self.headers.items()})
                    server.paths.append(self.path)
                    turn = server.refused(body) or (server.turns.pop(0) if server.turns else text_for)
                if callable(turn):
                    turn = (200, {}, json.dumps(answer(turn(body))))
                status, headers, content = turn
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": len(content),
                    **headers,
                }.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(content if isinstance(content, bytes) else content.encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *told: None  # who asks may have gone
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()
