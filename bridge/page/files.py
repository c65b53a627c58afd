"""The page's own files, as they lie beside this module: no build step makes them, and nothing of them comes from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

__all__ = ["files"]

FOLDER: Final = Path(__file__).parent / "static"
KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


class _File:
    def __init__(self, path: Path) -> None:
        self.body = path.read_bytes()
        self.kind = KINDS[path.suffix]
        self.tag = f'"{sha256(self.body).hexdigest()[:24]}"'


def files() -> Sequence[BaseRoute]:
    """Return the routes of all files, which are read once: a request can name those and no other path."""
    there = {path.name: _File(path) for path in sorted(FOLDER.iterdir()) if path.suffix in KINDS}

    async def index(request: Request) -> Response:
        return _answer(request, there["index.html"])

    async def icon(request: Request) -> Response:
        return _answer(request, there["icon.svg"])

    async def static(request: Request) -> Response:
        found = there.get(request.path_params["name"])
        return Response("there is no such file", status_code=404) if found is None else _answer(request, found)

    return [Route("/", index), Route("/favicon.ico", icon), Route("/static/{name:str}", static)]


def _answer(request: Request, file: _File) -> Response:
    # Asked for again at each visit and not sent again: after an upgrade no browser mixes old files with new ones.
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, media_type=file.kind, headers=headers)
