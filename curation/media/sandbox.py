"""A child process that may be fed hostile bytes.

It gets an empty environment, a process group and (where the kernel lets us) a network namespace of
its own, limits on memory and CPU time, and SIGKILL when its parent dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curation.errors import InfrastructureError, MediaError, ReelmillError

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_CAUGHT = 255
"""How ffmpeg exits after a signal that it caught."""
_NO_MEMORY = re.compile(
    r"Cannot allocate memory|MemoryError|ENOMEM|bad_alloc|failed to map segment"
    r"|get_buffer\(\) failed|pthread_create\(\) failed|thread_encoder_init failed"
)
_BAD_SIZE = "image parameters invalid"
"""With these words a buffer is refused for its size, not for want of memory."""
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_CALLS = (_LIBC.prctl, _LIBC.unshare) if _LIBC is not None else None
"""Looked up here, so that nothing has to be looked up between fork and exec."""
_NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded|Read-only file system")


class ChildKilledError(ReelmillError):
    """A signal ended the child that no limit explains: a crash, or the out-of-memory killer."""


@dataclass(frozen=True)
class Limits:
    """What one child process may use."""

    memory_mb: int = 4096
    """Address space, in MiB."""
    cpu_s: int = 7200
    """CPU seconds."""
    wall_s: int = 14400
    """Seconds by the clock."""
    max_pixels: int = 8192 * 4320
    """Pixels of one frame."""
    max_frames: int = 2_000_000
    """Frames of one stream."""


def _confine(limits: Limits) -> None:
    """Runs in the child between fork and exec."""
    if _CALLS is not None:
        prctl, unshare = _CALLS
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    memory = limits.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def spawn(
    command: Sequence[str],
    limits: Limits,
    *,
    pass_fds: Sequence[int] = (),
    stdout: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a confined child; its process group is gone when the block is left."""
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        pass_fds=tuple(pass_fds),
        env={"LC_ALL": "C"},
        start_new_session=True,
        preexec_fn=lambda: _confine(limits),  # noqa: PLW1509  short, and looks nothing up
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def run(command: Sequence[str], limits: Limits) -> tuple[bytes, str]:
    """Runs a confined child to its end. Returns its output and its error text.

    Raises `MediaError` for a limit, `ChildKilledError` for a foreign signal, and `ChildFailedError`
    for any other non-zero exit.
    """
    before = cpu_seconds()
    with spawn(command, limits, stdout=subprocess.PIPE) as process:
        try:
            out, err = process.communicate(timeout=limits.wall_s)
        except subprocess.TimeoutExpired as error:
            raise MediaError("time_limit", f"stopped after {limits.wall_s} s") from error
        text = err.decode("utf-8", "replace")
        check_exit(process.returncode, text, limits, cpu_seconds() - before)
        return out, text


class ChildFailedError(ReelmillError):
    """The child ended with an error of its own; `text` is what it said."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"exit {code}: {text[-500:]}")
        self.code = code
        self.text = text


def check_exit(code: int, text: str, limits: Limits, spent_s: float) -> None:
    """Turns an exit status into the exception that fits it; returns if it is 0.

    `spent_s` are the child's CPU seconds, for ffmpeg catches SIGXCPU and SIGTERM alike.
    """
    if code == 0:
        return
    if code == -signal.SIGXCPU or (code in (_CAUGHT, -signal.SIGKILL) and spent_s >= limits.cpu_s):
        raise MediaError("time_limit", f"used more than {limits.cpu_s} s of CPU time")
    if found := _NO_ROOM.search(text):
        raise InfrastructureError(f"cannot write: {found[0]}")
    check_memory(text, limits)
    if code == _CAUGHT:
        raise ChildKilledError("child ended by a signal that it caught")
    if code < 0:
        raise ChildKilledError(f"child ended by signal {-code} ({signal.strsignal(-code)})")
    raise ChildFailedError(code, text)


def check_memory(text: str, limits: Limits) -> None:
    """Raises `MediaError` if the child's words say that it got no memory."""
    if (found := _NO_MEMORY.search(text)) and _BAD_SIZE not in text:
        raise MediaError("memory_limit", f"needed more than {limits.memory_mb} MiB ({found[0]})")


def plain(text: str, most: int = 200) -> str:
    """A child's words without what a terminal or a page would act on, cut to `most` characters."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:most]


def cpu_seconds() -> float:
    """CPU seconds of all children of this process that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
