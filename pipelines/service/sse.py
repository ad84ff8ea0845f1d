"""Streams that follow a growing file or a changing value, in constant memory."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.responses import StreamingResponse

from pipelines.service.api_keys import Caller
from pipelines.service.middleware import Rejection
from pipelines.service.settings import ServerLimits

_POLL_S = 0.25
_CHUNK_BYTES = 1 << 16
_KEEPALIVE_S = 15.0
"""Seconds without an event after which a comment is sent."""


class StreamSlots:
    """How many streams are open, in all and of each caller."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def take(self, caller: Caller) -> None:
        """Takes a slot; raises a 429 `Rejection` if none is free."""
        with self._lock:
            is_full = self._open.total() >= self._limits.streams
            if is_full or self._open[caller.name] >= self._limits.streams_per_caller[caller.scope]:
                raise Rejection(429, "too many open streams; end one first", 5.0)
            self._open[caller.name] += 1

    def give_back(self, caller: Caller) -> None:
        """Frees a slot."""
        with self._lock:
            self._open[caller.name] -= 1
            self._open += Counter()  # forgets those without a stream


class LimitedStream(StreamingResponse):
    """A stream that occupies a slot of its caller until it ends, however that happens."""

    def __init__(
        self, stream: AsyncIterator[bytes], slots: StreamSlots, caller: Caller, media_type: str
    ) -> None:
        """Raises a 429 `Rejection` if no slot is free."""
        slots.take(caller)
        super().__init__(stream, media_type=media_type)
        self._slots, self._caller = slots, caller

    async def __call__(self, *channels: object) -> None:
        """Sends the stream."""
        try:
            await super().__call__(*channels)  # type: ignore[arg-type]
        finally:
            self._slots.give_back(self._caller)


async def follow_file(
    path: Path, start: int, is_complete: Callable[[], bool], max_s: float
) -> AsyncIterator[bytes]:
    """A growing file from a byte on, until `is_complete` or for `max_s` seconds."""
    ends = time.monotonic() + max_s
    while time.monotonic() < ends:
        # Before reading: what is written until then is still sent.
        is_last = await anyio.to_thread.run_sync(is_complete)
        while chunk := await anyio.to_thread.run_sync(_read, path, start):
            start += len(chunk)
            yield chunk
        if is_last:
            return
        await anyio.sleep(_POLL_S)


def _read(path: Path, start: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(_CHUNK_BYTES)
    except FileNotFoundError:
        return b""


async def server_sent_events(
    poll: Callable[[], tuple[str, bool]], max_s: float
) -> AsyncIterator[bytes]:
    """The value of `poll` whenever it changes, until it says that it is the last."""
    previous, sent_at = "", time.monotonic()
    ends = sent_at + max_s
    while time.monotonic() < ends:
        value, is_last = await anyio.to_thread.run_sync(poll)
        if value != previous:
            previous, sent_at = value, time.monotonic()
            yield f"data: {value}\n\n".encode()
        elif time.monotonic() - sent_at > _KEEPALIVE_S:
            sent_at = time.monotonic()
            yield b": keep-alive\n\n"
        if is_last:
            return
        await anyio.sleep(_POLL_S)
