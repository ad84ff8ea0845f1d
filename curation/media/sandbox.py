"""Confined child processes, which may read hostile bytes.

A child gets an empty environment, its own process group and (where the kernel allows it) network
namespace, limits on memory and CPU time, and SIGKILL when its parent dies. The programs
`*_child.py` beside this file run in one.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.errors import InfrastructureError, MediaError, ReelmillError

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_EXIT_CAUGHT_SIGNAL = 255
"""ffmpeg's exit code after a signal that it caught."""
_NO_MEMORY = re.compile(
    r"Cannot allocate memory|MemoryError|ENOMEM|bad_alloc|failed to map segment"
    r"|get_buffer\(\) failed|pthread_create\(\) failed|thread_encoder_init failed"
)
_BAD_SIZE = "image parameters invalid"
"""The message of an allocation that failed for an invalid size, not for lack of memory."""
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_CALLS = (_LIBC.prctl, _LIBC.unshare) if _LIBC is not None else None
"""Resolved here, so that nothing has to be resolved between fork and exec."""
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|Read-only file system")


class ChildKilledError(ReelmillError):
    """A signal that no limit explains ended the child: a crash, or the out-of-memory killer."""


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
    """Starts a confined child; its process group is killed on exit."""
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        pass_fds=tuple(pass_fds),
        env={"LC_ALL": "C"},
        start_new_session=True,
        preexec_fn=lambda: _confine(limits),  # noqa: PLW1509  short, and resolves nothing
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
    cpu_before_s = cpu_seconds()
    with spawn(command, limits, stdout=subprocess.PIPE) as process:
        try:
            out, err = process.communicate(timeout=limits.wall_s)
        except subprocess.TimeoutExpired as error:
            raise MediaError("time_limit", f"stopped after {limits.wall_s} s") from error
        text = err.decode("utf-8", "replace")
        check_exit(process.returncode, text, limits, cpu_seconds() - cpu_before_s)
        return out, text


def run_child(script: str, request: dict[str, Any], limits: Limits) -> Any:
    """Runs a `*_child.py` program with a JSON argument; returns the JSON that it prints.

    Raises as `run` does.
    """
    command = [sys.executable, "-I", str(Path(__file__).with_name(script)), json.dumps(request)]
    out, _ = run(command, limits)
    return json.loads(out)


class ChildFailedError(ReelmillError):
    """The child exited with an error; `text` is its error output."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"exit {code}: {text[-500:]}")
        self.code = code
        self.text = text


def check_exit(code: int, text: str, limits: Limits, cpu_s: float) -> None:
    """Raises the exception that an exit code other than 0 calls for.

    `cpu_s` are the child's CPU seconds: ffmpeg catches SIGXCPU and SIGTERM alike.
    """
    if code == 0:
        return
    killed = code in (_EXIT_CAUGHT_SIGNAL, -signal.SIGKILL)
    if code == -signal.SIGXCPU or (killed and cpu_s >= limits.cpu_s):
        raise MediaError("time_limit", f"used more than {limits.cpu_s} s of CPU time")
    if match := _DISK_FULL.search(text):
        raise InfrastructureError(f"cannot write: {match[0]}")
    check_memory(text, limits)
    if code == _EXIT_CAUGHT_SIGNAL:
        raise ChildKilledError("child ended by a signal that it caught")
    if code < 0:
        raise ChildKilledError(f"child ended by signal {-code} ({signal.strsignal(-code)})")
    raise ChildFailedError(code, text)


def check_memory(text: str, limits: Limits) -> None:
    """Raises `MediaError` if a child's messages say that memory ran out."""
    if (match := _NO_MEMORY.search(text)) and _BAD_SIZE not in text:
        raise MediaError("memory_limit", f"needed more than {limits.memory_mb} MiB ({match[0]})")


def printable(text: str, max_chars: int = 200) -> str:
    """A child's message without what a terminal or a page would interpret, cut to `max_chars`."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:max_chars]


def cpu_seconds() -> float:
    """CPU seconds of all children of this process that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
