"""Files at `https://` addresses: copies of them are read, and nothing can be written there."""

from __future__ import annotations

import http.client
import shutil
import time
import urllib.error
import urllib.request
from functools import cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urljoin, urlsplit

from curation.errors import InfrastructureError, MediaError, UnavailableError

SCHEME = "https://"
MAX_BYTES = 32 << 30
"""Of one file."""
_ATTEMPTS = 4
_TIMEOUT_S = 30.0
_CHUNK = 1 << 20
_GONE = {401, 403, 404, 410, 451}
"""Answers that a later attempt does not change."""


def is_web(address: str) -> bool:
    """Whether an address is one of the web."""
    return address.startswith(SCHEME)


def problem(address: str) -> str:
    """Why an address cannot be requested; empty if it can."""
    parts = urlsplit(address)
    if not parts.hostname or parts.username is not None or parts.password is not None:
        return f"{SCHEME}HOST/PATH is needed, without a user or password"
    if not address.isascii() or not address.isprintable() or " " in address:
        return "blanks and characters other than ASCII have to be escaped with %"
    return ""


def without_query(address: str) -> str:
    """An address of the web without what may sign it; any other address or path as it is."""
    return address.partition("?")[0] if is_web(address) else address


def suffix(address: str) -> str:
    """The ending of the file that an address names, such as `.mp4`."""
    return PurePosixPath(without_query(address)).suffix


def relative(base: str, address: str) -> str:
    """The address of a file that a list in the folder `base` names."""
    return urljoin(f"{base}/", address)


def copy_to(address: str, path: str) -> None:
    """Writes the file at an address to a local path.

    Raises `FileNotFoundError` where a server has no such file for us, `UnavailableError` where it
    does not answer or breaks off, each of several times, `MediaError` (`unreadable`) for more than
    `MAX_BYTES`, and `InfrastructureError` where the disk has no room.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _attempt(address, path)
            return
        except urllib.error.HTTPError as error:
            if error.code in _GONE:
                raise FileNotFoundError(f"{address}: {error.code} {error.reason}") from error
            fault: Exception = error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            fault = error
        if attempt < _ATTEMPTS:
            time.sleep(2.0 ** (attempt - 1))
    raise UnavailableError(f"{address}: {fault}")


def _attempt(address: str, path: str) -> None:
    with _opener().open(address, timeout=_TIMEOUT_S) as response:
        stated = response.headers.get("Content-Length")
        size = int(stated) if stated and stated.isdecimal() else None
        if size is not None and size > MAX_BYTES:
            raise _too_large()
        if size is not None and size > shutil.disk_usage(path.rpartition("/")[0]).free:
            raise InfrastructureError(f"no room for a copy of {address}: {size:,} bytes")
        received = 0
        with open(path, "wb") as file:
            while chunk := response.read(_CHUNK):
                received += len(chunk)
                if received > MAX_BYTES:
                    raise _too_large()
                file.write(chunk)
        if size is not None and received != size:
            raise http.client.IncompleteRead(b"", size - received)


def _too_large() -> MediaError:
    return MediaError("unreadable", f"the server sends more than {MAX_BYTES:,} bytes")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to other `https://` addresses alone."""

    def redirect_request(  # noqa: PLR0917
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not is_web(newurl):
            raise urllib.error.URLError(f"leads to {newurl}, which is no https:// address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@cache
def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.build_opener(_Redirects)
    opener.addheaders = [("User-Agent", "reelmill")]
    return opener
