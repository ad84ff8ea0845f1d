"""Pipes from a child process, all read by one loop, so that memory stays flat without deadlocks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from curation.errors import MediaError

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_POLL_S = 1.0


@dataclass
class Pipe:
    """One stream from the child: cut into records for a callback, or kept."""

    record_bytes: int = 0
    callback: Callable[[bytes], None] | None = None
    max_bytes: int = 1 << 40
    """How much is accepted: more than this is an error with a callback, and dropped without."""
    buffer: bytearray = field(default_factory=bytearray)
    _received: int = 0

    def feed(self, chunk: bytes) -> None:
        """Adds bytes; complete records go to the callback, several at once.

        Raises `MediaError` for more records than `max_bytes` hold.
        """
        if self.callback is None:
            self.buffer += chunk[: max(0, self.max_bytes - len(self.buffer))]
            return
        self._received += len(chunk)
        if self._received > self.max_bytes:
            raise MediaError("too_many_frames", f"the decoder writes over {self.max_bytes:,} bytes")
        self.buffer += chunk
        complete = len(self.buffer) // self.record_bytes * self.record_bytes
        if complete:
            records = bytes(self.buffer[:complete])
            del self.buffer[:complete]
            self.callback(records)

    def text(self) -> str:
        """What was kept, as text."""
        return bytes(self.buffer).decode("utf-8", "replace")


def open_pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """The read end and the write end of a pipe, closed by one of the two stacks each."""
    read, write = os.pipe()
    ours.callback(os.close, read)
    theirs.callback(os.close, write)
    with contextlib.suppress(OSError):
        fcntl.fcntl(write, _F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(read, False)
    return read, write


def pump(pipes: Mapping[int, Pipe], process: subprocess.Popen[bytes], deadline: float) -> None:
    """Feeds pipes, by read end, until all are closed, or nothing comes and the process has ended.

    Raises `TimeoutError` at the deadline, a time of the monotonic clock.
    """
    with selectors.DefaultSelector() as selector:
        for descriptor in pipes:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(timeout=_POLL_S)
            for key, _ in ready:
                if chunk := os.read(key.fd, _PIPE_BYTES):
                    pipes[key.fd].feed(chunk)
                else:
                    selector.unregister(key.fd)
            if not ready and process.poll() is not None:
                return
            if time.monotonic() > deadline:
                raise TimeoutError
