"""Pipes from a child process, all read by one loop over whatever is ready.

So memory stays flat, and nothing can wait for anything else in a circle.
"""

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
from curation.media import sandbox

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
LOG_BYTES = 1 << 22
"""How much is kept of what a child says."""


@dataclass
class Pipe:
    """One stream from the child: cut into records of `size` bytes for a sink, or kept."""

    size: int = 0
    sink: Callable[[bytes], None] | None = None
    most: int = 1 << 40
    """Bytes to keep without a sink; what comes later is dropped."""
    held: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> None:
        """Takes what came; whole records go to the sink, several at once."""
        if self.sink is None:
            self.held += chunk[: max(0, self.most - len(self.held))]
            return
        self.held += chunk
        whole = len(self.held) // self.size * self.size
        if whole:
            ready = bytes(self.held[:whole])
            del self.held[:whole]
            self.sink(ready)

    def text(self) -> str:
        """What was kept, as text."""
        return bytes(self.held).decode("utf-8", "replace")


def opened(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """The reading and the writing end of a pipe, each of which one of the two stacks will close."""
    read, write = os.pipe()
    ours.callback(os.close, read)
    theirs.callback(os.close, write)
    with contextlib.suppress(OSError):
        fcntl.fcntl(write, _F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(read, False)
    return read, write


def pump(
    pipes: Mapping[int, Pipe], process: subprocess.Popen[bytes], limits: sandbox.Limits
) -> None:
    """Feeds every pipe until all are closed; `MediaError` and a dead child if the time is up."""
    end = time.monotonic() + limits.wall_s
    with selectors.DefaultSelector() as selector:
        for descriptor in pipes:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(timeout=5.0):
                descriptor = key.fd
                chunk = os.read(descriptor, _PIPE_BYTES)
                if chunk:
                    pipes[descriptor].feed(chunk)
                else:
                    selector.unregister(descriptor)
            if time.monotonic() > end:
                process.kill()
                raise MediaError("time_limit", f"stopped after {limits.wall_s} s")
