"""Confined child processes, which may read hostile bytes.

A child gets an empty environment, the guards of `confinement`, its own process group, limits on
memory, CPU time and what it writes, and SIGKILL when its parent dies. What it prints is read up to
a bound. The programs `*_child.py` beside this file run in one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from curation.errors import InfrastructureError, MediaError, ReelmillError
from curation.media.confinement import CHILD_PACKAGES, Confinement, FileAccess, guards
from curation.media.pipes import Pipe, open_pipe, pump

_EXIT_CAUGHT_SIGNAL = 255
"""ffmpeg's exit code after a signal that it caught."""
_NO_MEMORY = re.compile(
    r"Cannot allocate memory|MemoryError|ENOMEM|bad_alloc|failed to map segment"
    r"|get_buffer\(\) failed|pthread_create\(\) failed|thread_encoder_init failed"
)
_BAD_SIZE = "image parameters invalid"
"""The message of an allocation that failed for an invalid size, not for lack of memory."""
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|Read-only file system")
_LOG_BYTES = 1 << 22
"""How much of a child's log is kept."""
_OUTPUT_BYTES = 1 << 26
"""How much of a child's output is kept where the caller states no other bound."""


class ChildKilledError(ReelmillError):
    """A signal that no limit explains ended the child: a crash, or the out-of-memory killer."""


class ConfinementError(InfrastructureError):
    """Children cannot be confined here as `sandbox.require` demands."""


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
    require: Literal["available", "strict"] = "available"
    """`strict` starts no child where a guard of `confinement` is missing."""


@functools.cache
def confinement() -> Confinement:
    """What holds for children on this machine, as one of them reports it.

    Raises `ConfinementError` if the interpreter and what children import cannot start confined.
    """
    read, write = os.pipe()
    with open(read, "rb") as report, guards(sys.executable, FileAccess()) as confine:
        try:
            process = subprocess.run(
                [sys.executable, "-I", "-c", f"import {', '.join(CHILD_PACKAGES)}"],
                env={"LC_ALL": "C"},
                stderr=subprocess.PIPE,
                check=False,
                preexec_fn=lambda: os.write(write, json.dumps(vars(confine())).encode()),
            )
        finally:
            os.close(write)
        if process.returncode:
            text = printable(process.stderr.decode("utf-8", "replace")[-200:])
            raise ConfinementError(
                f"a confined interpreter does not start: {text}; install Reelmill and its packages"
                " into one environment, which this user can read"
            )
        return Confinement(**json.load(report))


def _enter(limits: Limits, files: FileAccess, confine: Callable[[], Confinement]) -> None:
    """Runs in the child between fork and exec."""
    memory = limits.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (files.max_bytes, files.max_bytes))
    confine()
    # Last, because the parent may exceed it, and then nothing can be allocated any more.
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


@contextlib.contextmanager
def spawn(
    command: Sequence[str],
    limits: Limits,
    *,
    files: FileAccess,
    pass_fds: Sequence[int] = (),
    stdout: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a confined child; its process group is killed on exit.

    Raises `ConfinementError` where `limits.require` demands more than there is.
    """
    if limits.require == "strict" and (missing := confinement().missing):
        raise ConfinementError(
            f"sandbox.require is strict, and here is no {' and no '.join(missing)}: take a kernel"
            " or a container runtime that has it, or set sandbox.require=available; `reelmill"
            " doctor` says what holds"
        )
    program = shutil.which(command[0]) or command[0]
    with _new_files(files.writes):
        with guards(program, files) as confine:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                pass_fds=tuple(pass_fds),
                env={"LC_ALL": "C"},
                start_new_session=True,
                preexec_fn=lambda: _enter(limits, files, confine),  # noqa: PLW1509  short
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


@contextlib.contextmanager
def _new_files(paths: Sequence[str]) -> Iterator[None]:
    """Creates the files of these that are missing; in the end removes those that stayed empty."""
    created = []
    try:
        for path in paths:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
                created.append(path)
        yield
    finally:
        for path in created:
            with contextlib.suppress(OSError):
                if not os.path.getsize(path):
                    os.unlink(path)


def run_piped(
    command: Callable[[Mapping[str, int]], list[str]],
    streams: Mapping[str, Pipe],
    limits: Limits,
    *,
    files: FileAccess,
    stdout: str | None = None,
) -> tuple[int, str]:
    """Runs a confined child that writes into pipes; returns its exit code and its log.

    `command` receives the descriptor of each stream's write end; `stdout` is the stream that is its
    standard output. Raises `MediaError` at the limit on wall-clock time.
    """
    log = Pipe(max_bytes=_LOG_BYTES)
    deadline = time.monotonic() + limits.wall_s
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as child_ends:
            ends = {name: open_pipe(stack, child_ends) for name in streams}
            write_ends = {name: write for name, (_, write) in ends.items()}
            process = stack.enter_context(
                spawn(
                    command(write_ends),
                    limits,
                    files=files,
                    pass_fds=[end for name, end in write_ends.items() if name != stdout],
                    stdout=subprocess.DEVNULL if stdout is None else write_ends[stdout],
                )
            )
        assert process.stderr is not None
        read_ends = {ends[name][0]: pipe for name, pipe in streams.items()}
        try:
            pump({**read_ends, process.stderr.fileno(): log}, process, deadline)
            return process.wait(max(0.0, deadline - time.monotonic())), log.text()
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            raise MediaError("time_limit", f"stopped after {limits.wall_s} s") from error


def run(
    command: Sequence[str],
    limits: Limits,
    *,
    files: FileAccess,
    max_output_bytes: int = _OUTPUT_BYTES,
) -> tuple[bytearray, str]:
    """Runs a confined child to its end. Returns its output and its error text, up to a bound each.

    Raises `MediaError` for a limit, `ChildKilledError` for a foreign signal, and `ChildFailedError`
    for any other non-zero exit.
    """
    cpu_before_s = cpu_seconds()
    out = Pipe(max_bytes=max_output_bytes)
    code, text = run_piped(lambda _: list(command), {"out": out}, limits, files=files, stdout="out")
    check_exit(code, text, limits, cpu_seconds() - cpu_before_s)
    return out.buffer, text


def run_child(script: str, request: dict[str, Any], limits: Limits, *, files: FileAccess) -> Any:
    """Runs a `*_child.py` program with a JSON argument; returns the JSON that it prints.

    Raises as `run` does, and `ConfinementError` if it is not its input that made it fail.
    """
    try:
        out, _ = run(child_command(script, request), limits, files=files)
    except ChildFailedError:
        confinement()
        raise
    return json.loads(out)


def child_command(script: str, request: dict[str, Any]) -> list[str]:
    """The command line of a `*_child.py` program: one beside this file, or by its full path."""
    return [sys.executable, "-I", str(Path(__file__).parent / script), json.dumps(request)]


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
