"""Routes of the web page: files of this package.

They are looked up by name among those of the package, so that no path comes from a caller. They
reveal nothing about the data, and need no API key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Request, Response

from pipelines.service.auth import public

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
        """Digest of the content."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def page_files() -> dict[str, PageFile]:
    """Every file of the page, by name."""
    files = {}
    for entry in resources.files("pipelines.service").joinpath("page").iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix in _TYPES:
            files[entry.name] = PageFile(entry.read_bytes(), _TYPES[suffix])
    return files


def add(app: FastAPI) -> None:
    """Adds the routes."""
    files = page_files()

    @app.get("/", response_class=Response, dependencies=[public])
    def get_page(request: Request) -> Response:
        """The web page."""
        return _response(files["index.html"], request)

    @app.get("/page/{file}", response_class=Response, dependencies=[public])
    def get_page_file(file: _FileName, request: Request) -> Response:
        """A style sheet, module or icon of the web page."""
        if file not in files:
            raise HTTPException(404, "the page has no such file")
        return _response(files[file], request)


def _response(file: PageFile, request: Request) -> Response:
    """The file, or 304; browsers revalidate each time, as the server may have been updated."""
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
