"""The page's own files: read once, served compressed, with a name for what they hold."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from streamd.gateway.operations import Refused

STATIC = Path(__file__).parent / "static"
PAGES = ("/", "/login", "/camera")
"""Addresses that give the page itself, which shows what belongs there."""
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_LEAST_GZIPPED = 512


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    packed: bytes | None
    kind: str
    tag: str


def routes(folder: Path = STATIC) -> list[web.RouteDef]:
    """Of every file below the folder; nothing else can be asked for."""
    files = {path.relative_to(folder).as_posix(): _file(path) for path in sorted(folder.rglob("*")) if path.is_file()}

    async def static(request: web.Request) -> web.Response:
        found = files.get(request.match_info["path"])
        if found is None:
            raise Refused(404, "not_found", "there is nothing at this address")
        return _response(request, found)

    async def icon(request: web.Request) -> web.Response:
        return _response(request, files["icon.svg"])

    async def page(request: web.Request) -> web.Response:
        return _response(request, files["index.html"])

    found = [web.get("/static/{path:.+}", static)]
    if "index.html" in files:
        found += [web.get(path, page) for path in PAGES]
    if "icon.svg" in files:
        found.append(web.get("/favicon.ico", icon))
    return found


def _file(path: Path) -> _File:
    data = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    packed = gzip.compress(data, 9, mtime=0) if len(data) >= _LEAST_GZIPPED and path.suffix != ".png" else None
    return _File(data, packed, kind, f'"{hashlib.sha256(data).hexdigest()[:20]}"')


def _response(request: web.Request, file: _File) -> web.Response:
    # Asked for again each time, and answered by 304: an upgraded daemon must not run on an old page.
    headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if file.tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    charset = "utf-8" if file.kind.startswith("text/") else None
    if file.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=file.packed, headers=headers, content_type=file.kind, charset=charset)
    return web.Response(body=file.data, headers=headers, content_type=file.kind, charset=charset)
