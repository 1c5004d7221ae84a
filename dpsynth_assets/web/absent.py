"""Files that the web interface is asked for and does not have: a plain 404, where Dagster's server would fail with 500.

    /logs/<log key ...>/<out or err>      what a step printed
    /download_debug/<run>                 what Dagster knows of a run

It looks for whatever it is asked for. A log outside its folder, by `..` or without a key, and a run that was deleted
end in an exception there, and in a trace on the terminal of whoever serves.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.responses import PlainTextResponse

from dpsynth_assets.web.guard import App, Receive, Scope, Send

_LOGS, _RUNS = "/logs/", "/download_debug/"
_RUN = re.compile(r"[\w-]+", re.ASCII)


class Absent:
    """An ASGI application that answers for what is not there, and leaves everything else to another one.

    Args:
        app: the other one.
        has_run: whether there is a run of this id.
    """

    def __init__(self, app: App, has_run: Callable[[str], bool]) -> None:
        self._app, self._has_run = app, has_run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = str(scope["path"]) if scope["type"] == "http" else ""
        if self._is_there(asked):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("There is no such file here.", 404)(scope, receive, send)

    def _is_there(self, asked: str) -> bool:
        if asked.startswith(_RUNS):
            run = asked.removeprefix(_RUNS)
            return _RUN.fullmatch(run) is not None and self._has_run(run)
        return not asked.startswith(_LOGS) or _may_be_a_log(asked.removeprefix(_LOGS))


def _may_be_a_log(name: str) -> bool:
    """Whether it is a key of at least one part and a kind, each the name of something."""
    parts = name.split("/")
    return len(parts) > 1 and "\0" not in name and not {"", ".", ".."} & set(parts)
