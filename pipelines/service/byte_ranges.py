"""Files over HTTP, a part at a time: one range of a request, in flat memory, from any storage.

The length is fixed when the answer begins, so that a file which grows meanwhile, such as a log,
is sent up to there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from fastapi import HTTPException
from pyarrow import fs
from starlette.responses import Response, StreamingResponse

from curation.storage import Storage, storage_faults

_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of the one range that a header asks for; None for the whole.

    What is no single range is ignored, as HTTP allows. Raises 416 for one outside the file.
    """
    found = _RANGE.fullmatch((header or "").strip())
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        start, end = max(0, size - int(found[2])), size
    else:
        start = int(found[1])
        end = min(size, int(found[2]) + 1) if found[2] else size
    if start >= end:
        if found[2] and found[1] and int(found[2]) < start:
            return None
        raise HTTPException(416, f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return start, end


def file(
    storage: Storage, relative: str, header: str | None, media_type: str,
    headers: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    """A file of a storage, or the part of it that the `Range` header asks for; 404 without it."""
    with storage_faults():
        info = storage.filesystem.get_file_info(storage.path(relative))
    if info.type != fs.FileType.File:
        raise HTTPException(404, "the file is gone")
    size = int(info.size)
    part = wanted(header, size)
    start, end = part or (0, size)
    said = {"Accept-Ranges": "bytes", "Content-Length": str(end - start), **(headers or {})}
    if part is not None:
        said["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(
        _chunks(storage.filesystem.open_input_file(storage.path(relative)), start, end),
        206 if part is not None else 200, said, media_type,
    )  # fmt: skip


def _chunks(opened: Any, start: int, end: int) -> Iterator[bytes]:
    with opened:
        opened.seek(start)
        while start < end:
            chunk = opened.read(min(_CHUNK, end - start))
            if not chunk:
                return
            start += len(chunk)
            yield chunk


def tail_start(file: IO[bytes], lines: int, most_bytes: int = 1 << 22) -> int:
    """Where the last `lines` lines of a file begin, looking at its last `most_bytes` at most."""
    size = file.seek(0, 2)
    at, seen = size, 0
    while at > 0 and size - at < most_bytes:
        step = min(1 << 16, at)
        at -= step
        file.seek(at)
        chunk = file.read(step)
        end = len(chunk) - (1 if at + step == size and chunk.endswith(b"\n") else 0)
        while (found := chunk.rfind(b"\n", 0, end)) >= 0:
            seen += 1
            if seen == lines:
                return at + found + 1
            end = found
    return at
