"""Files of any storage over HTTP, whole or one `Range`, in constant memory.

The length is fixed when the response starts, so that a growing file, such as a log, is sent up to
there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from fastapi import HTTPException
from pyarrow import fs
from starlette.responses import Response, StreamingResponse

from curation.listing import is_below
from curation.storage import Storage, storage_faults

_CHUNK_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of the requested range; None for the whole file.

    Anything but a single range is ignored, as HTTP allows. Raises 416 for one outside the file.
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, end = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        end = min(size, int(match[2]) + 1) if match[2] else size
    if start >= end:
        if match[2] and match[1] and int(match[2]) < start:
            return None
        raise HTTPException(416, f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return start, end


def file_response(
    storage: Storage, relative: str, range_header: str | None, media_type: str,
    headers: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    """A file of a storage, or the part that the `Range` header requests.

    404 if it no longer exists, or is outside of the storage once links are resolved.
    """
    path = storage.path(relative)
    if not is_below(storage.uri(relative), storage.root):
        raise HTTPException(404, "the file no longer exists")
    with storage_faults():
        info = storage.filesystem.get_file_info(path)
    if info.type != fs.FileType.File:
        raise HTTPException(404, "the file no longer exists")
    size = int(info.size)
    part = parse_range(range_header, size)
    start, end = part or (0, size)
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(end - start), **(headers or {})}
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(
        _chunks(storage.filesystem.open_input_file(path), start, end),
        206 if part is not None else 200, headers, media_type,
    )  # fmt: skip


def _chunks(file: Any, start: int, end: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < end:
            chunk = file.read(min(_CHUNK_BYTES, end - start))
            if not chunk:
                return
            start += len(chunk)
            yield chunk


def tail_start(file: IO[bytes], lines: int, max_bytes: int = 1 << 22) -> int:
    """The byte where the last `lines` lines start, within the last `max_bytes`."""
    size = file.seek(0, 2)
    position, count = size, 0
    while position > 0 and size - position < max_bytes:
        step = min(1 << 16, position)
        position -= step
        file.seek(position)
        chunk = file.read(step)
        end = len(chunk) - (1 if position + step == size and chunk.endswith(b"\n") else 0)
        while (newline := chunk.rfind(b"\n", 0, end)) >= 0:
            count += 1
            if count == lines:
                return position + newline + 1
            end = newline
    return position
