"""The page at `/playground`: plain files of this package, held in memory, which use the public API and nothing else.

The page names its files below a digest of them all, so that browsers keep them for good and never mix two releases.
Whoever may load them learns nothing: there is no data in them, and none without a token.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

ROOT: Final = "/playground"
FOLDER: Final = Path(__file__).parent / "playground"

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGE: Final = "index.html"
_BASE: Final = b"{{files}}"
_KEPT: Final = "public, max-age=31536000, immutable"
_ASKED_AGAIN: Final = "no-cache"
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?|\[[0-9a-fA-F:.]{2,45}\](?::\d{1,5})?")


@dataclass(frozen=True)
class StaticFile:
    """What is sent for one file."""

    content: bytes
    media_type: str
    etag: str


class Playground:
    """The files of a folder (not only of today's: `Mapping` from path to content), and how they are answered."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        """Raises `KeyError` for a file of a type we do not serve, or where the page itself is missing."""
        self.release = _digest(b"".join(name.encode() + data for name, data in sorted(contents.items())))
        base = f"{ROOT}/{self.release}".encode()
        self._files = {name: _file(name, data.replace(_BASE, base)) for name, data in contents.items()}
        self._page = self._files.pop(_PAGE)

    async def page(self, request: Request) -> Response:
        """The page itself: asked for anew each time, sent when it has changed."""
        response = _respond(request, self._page, _ASKED_AGAIN)
        response.headers["content-security-policy"] = policy(request.headers.get("host", ""))
        response.headers["permissions-policy"] = "microphone=(self), camera=(), geolocation=()"
        return response

    async def file(self, request: Request) -> Response:
        """One of its files. A page of another release gets today's, and may not keep it. Raises 404."""
        found = self._files.get(request.path_params["path"])
        if found is None:
            raise HTTPException(404)
        same = request.path_params["release"] == self.release
        return _respond(request, found, _KEPT if same else _ASKED_AGAIN)


def serve_pages(app: FastAPI) -> None:
    """Add the page and its files to `app`; `/` leads to it."""
    playground = Playground(read_folder(FOLDER))

    async def home(_request: Request) -> RedirectResponse:
        return RedirectResponse(ROOT)

    app.add_route("/", home, include_in_schema=False)
    app.add_route(ROOT, playground.page, include_in_schema=False)
    app.add_route(f"{ROOT}/", playground.page, include_in_schema=False)
    app.add_route(f"{ROOT}/{{release}}/{{path:path}}", playground.file, include_in_schema=False)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` by its path there, with forward slashes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def policy(host: str) -> str:
    """What the page may do: run our scripts, talk to us, and turn no text into markup. Sockets are named by host,
    because not every browser counts them as 'self'."""
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; worker-src 'self';"
        f" connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _respond(request: Request, file: StaticFile, cache_control: str) -> Response:
    headers = {"etag": file.etag, "cache-control": cache_control}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _file(name: str, content: bytes) -> StaticFile:
    return StaticFile(content, _TYPES[Path(name).suffix], f'"{_digest(content)}"')


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()[:12]).decode()
