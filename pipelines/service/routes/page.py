"""Routes of the web page: files of this package, as they are.

The files are looked up by name among those that the package holds, so that no path comes from a
caller. They say nothing about the data: whoever may see the server may see them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Request, Response

from pipelines.service.auth import anyone

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FileName = Annotated[str, Path(pattern=r"^[a-z_]{1,40}\.(css|js|svg)$")]


@dataclass(frozen=True)
class PageFile:
    """One file of the page."""

    content: bytes
    media_type: str

    @property
    def etag(self) -> str:
        """Names the content."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def files() -> dict[str, PageFile]:
    """Every file of the page, by name."""
    found = {}
    for entry in resources.files("pipelines.service").joinpath("page").iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix in _TYPES:
            found[entry.name] = PageFile(entry.read_bytes(), _TYPES[suffix])
    return found


def add(app: FastAPI) -> None:
    """Adds the routes."""
    known = files()

    @app.get("/", response_class=Response, dependencies=[anyone])
    def get_page(request: Request) -> Response:
        """The web page."""
        return _answer(known["index.html"], request)

    @app.get("/page/{file}", response_class=Response, dependencies=[anyone])
    def get_page_file(file: _FileName, request: Request) -> Response:
        """A style sheet, a module or a picture of the web page."""
        if file not in known:
            raise HTTPException(404, "the page has no such file")
        return _answer(known[file], request)


def _answer(file: PageFile, request: Request) -> Response:
    """The file, or that the browser has it already; it asks each time, as a server may be newer."""
    said = {"ETag": file.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=said)
    return Response(file.content, media_type=file.media_type, headers=said)
