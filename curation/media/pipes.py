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
from curation.media import sandbox

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_LOG_BYTES = 1 << 22
"""How much of a child's log is kept."""


@dataclass
class Pipe:
    """One stream from the child: cut into records for a callback, or kept."""

    record_bytes: int = 0
    callback: Callable[[bytes], None] | None = None
    max_bytes: int = 1 << 40
    """How much is kept without a callback; the rest is dropped."""
    buffer: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> None:
        """Adds bytes; complete records go to the callback, several at once."""
        if self.callback is None:
            self.buffer += chunk[: max(0, self.max_bytes - len(self.buffer))]
            return
        self.buffer += chunk
        complete = len(self.buffer) // self.record_bytes * self.record_bytes
        if complete:
            records = bytes(self.buffer[:complete])
            del self.buffer[:complete]
            self.callback(records)

    def text(self) -> str:
        """What was kept, as text."""
        return bytes(self.buffer).decode("utf-8", "replace")


def run_piped(
    command: Callable[[Mapping[str, int]], list[str]],
    streams: Mapping[str, Pipe],
    limits: sandbox.Limits,
) -> tuple[int, str]:
    """Runs a confined child that writes into pipes; returns its exit code and its log.

    `command` receives the descriptor of each stream's write end. Raises `MediaError` at the limit
    on wall-clock time.
    """
    log = Pipe(max_bytes=_LOG_BYTES)
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as child_ends:
            ends = {name: _open_pipe(stack, child_ends) for name in streams}
            write_ends = {name: write for name, (_, write) in ends.items()}
            process = stack.enter_context(
                sandbox.spawn(command(write_ends), limits, pass_fds=[*write_ends.values()])
            )
        assert process.stderr is not None
        read_ends = {ends[name][0]: pipe for name, pipe in streams.items()}
        _pump({**read_ends, process.stderr.fileno(): log}, process, limits)
        return process.wait(), log.text()


def _open_pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """The read end and the write end of a pipe, closed by one of the two stacks each."""
    read, write = os.pipe()
    ours.callback(os.close, read)
    theirs.callback(os.close, write)
    with contextlib.suppress(OSError):
        fcntl.fcntl(write, _F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(read, False)
    return read, write


def _pump(
    pipes: Mapping[int, Pipe], process: subprocess.Popen[bytes], limits: sandbox.Limits
) -> None:
    """Feeds pipes, by read end, until all are closed; at the time limit kills and raises."""
    deadline = time.monotonic() + limits.wall_s
    with selectors.DefaultSelector() as selector:
        for descriptor in pipes:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(timeout=5.0):
                if chunk := os.read(key.fd, _PIPE_BYTES):
                    pipes[key.fd].feed(chunk)
                else:
                    selector.unregister(key.fd)
            if time.monotonic() > deadline:
                process.kill()
                raise MediaError("time_limit", f"stopped after {limits.wall_s} s")
