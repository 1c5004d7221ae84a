"""Cards and reports in the web interface: pages of the artifacts, served beside Dagster's own.

    /pages/<contract>/<kind>/<id>/<page>.html

A page holds texts that a model wrote. They are escaped in it; should one be read as markup all the same, the browser is
told to load nothing, run nothing, and treat the page as a stranger's: it cannot act for whoever looks at it. Stands
behind `guard.Guard`, and passes on everything else.
"""

from __future__ import annotations

import re
from pathlib import Path

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from dpsynth_assets.assets.figures import PAGES
from dpsynth_assets.publish.card import CARD
from dpsynth_assets.publish.quality import REPORT
from dpsynth_assets.web.guard import App, Receive, Scope, Send
from ledger.report.document import POLICY

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_PAGE = re.compile(rf"/{PAGES}/(({_NAME})/({_NAME})/({_NAME})/({re.escape(CARD)}|{re.escape(REPORT)}))")
_HEADERS = {
    "content-security-policy": f"{POLICY}; sandbox",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Pages:
    """An ASGI application that answers for the pages of artifacts, and leaves everything else to another one.

    Args:
        app: the other one.
        artifacts: the folder of the home's artifacts.
    """

    def __init__(self, app: App, artifacts: Path) -> None:
        self._app, self._artifacts = app, artifacts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = str(scope["path"]) if scope["type"] == "http" else ""
        if not asked.startswith(f"/{PAGES}/"):
            await self._app(scope, receive, send)
            return
        await self._answer(asked, str(scope["method"]))(scope, receive, send)

    def _answer(self, asked: str, method: str) -> Response:
        found = _PAGE.fullmatch(asked)
        file = self._artifacts / found[1] if found else None
        if method not in ("GET", "HEAD"):
            return PlainTextResponse("Pages are only read.", 405)
        if file is None or file.is_symlink() or not file.is_file():
            return PlainTextResponse("There is no such page here: the home may have been cleared since.", 404)
        return HTMLResponse(file.read_bytes(), headers=_HEADERS)
