"""Answers that go on while something grows, in flat memory."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.responses import StreamingResponse

from pipelines.service.middleware import Refusal

_LOOK_S = 0.25
_CHUNK = 1 << 16
_QUIET_S = 15.0
"""After so many seconds without news a stream says that it is still there."""


def answer(
    stream: AsyncIterator[bytes], streams: threading.BoundedSemaphore, media_type: str
) -> StreamingResponse:
    """A stream as an answer; 429 where too many are followed already."""
    if not streams.acquire(blocking=False):
        raise Refusal(429, "too many streams are followed; end one first", 5.0)

    async def counted() -> AsyncIterator[bytes]:
        async for chunk in stream:
            yield chunk

    return _Counted(counted(), streams, media_type)


class _Counted(StreamingResponse):
    """Gives its place back when it is over, however it ends."""

    def __init__(
        self, stream: AsyncIterator[bytes], streams: threading.BoundedSemaphore, media_type: str
    ) -> None:
        super().__init__(stream, media_type=media_type)
        self._streams = streams

    async def __call__(self, *channels: object) -> None:
        try:
            await super().__call__(*channels)  # type: ignore[arg-type]
        finally:
            self._streams.release()


async def growing(
    path: Path, start: int, over: Callable[[], bool], most_s: float
) -> AsyncIterator[bytes]:
    """A file from a byte on, as it grows, until it is `over`."""
    ends = time.monotonic() + most_s
    while time.monotonic() < ends:
        last = await anyio.to_thread.run_sync(over)  # asked first: what comes later is still read
        while chunk := await anyio.to_thread.run_sync(_read, path, start):
            start += len(chunk)
            yield chunk
        if last:
            return
        await anyio.sleep(_LOOK_S)


def _read(path: Path, start: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(_CHUNK)
    except FileNotFoundError:
        return b""


async def changes(look: Callable[[], tuple[str, bool]], most_s: float) -> AsyncIterator[bytes]:
    """What `look` sees, whenever it is different, as server-sent events; until it says so."""
    before, said_at = "", time.monotonic()
    ends = said_at + most_s
    while time.monotonic() < ends:
        seen, last = await anyio.to_thread.run_sync(look)
        if seen != before:
            before, said_at = seen, time.monotonic()
            yield f"data: {seen}\n\n".encode()
        elif time.monotonic() - said_at > _QUIET_S:
            said_at = time.monotonic()
            yield b": still here\n\n"
        if last:
            return
        await anyio.sleep(_LOOK_S)
