"""Counts a process's changes below a folder, and kills it just before the n-th one.

The kernel hands every call that changes files to this process before it is carried out (seccomp
user notification, Linux 5.5 and later, no privilege needed). So all operations of the process, of
its threads and of its children are counted, whichever language makes them, and no product code
knows.
"""

from __future__ import annotations

import ctypes
import os
import platform
import select
import signal
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3
_NOTIFY, _ALLOW = 0x7FC00000, 0x7FFF0000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_AT_FDCWD = -100
_O_CREAT = 0x40
_CALLS = {
    "x86_64": {
        "write": 1, "open": 2, "pwrite64": 18, "writev": 20, "fsync": 74, "fdatasync": 75,
        "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86,
        "unlink": 87, "openat": 257, "mkdirat": 258, "unlinkat": 263, "renameat": 264,
        "linkat": 265, "renameat2": 316,
    },
    "aarch64": {
        "write": 64, "pwrite64": 68, "writev": 66, "fsync": 82, "fdatasync": 83, "ftruncate": 46,
        "openat": 56, "mkdirat": 34, "unlinkat": 35, "renameat": 38, "linkat": 37,
        "renameat2": 276,
    },
}  # fmt: skip
_PATH_ARGUMENTS = {
    "rename": (0, 1), "link": (0, 1), "mkdir": (0,), "rmdir": (0,), "unlink": (0,), "creat": (0,),
    "open": (0,), "openat": (1,), "mkdirat": (1,), "unlinkat": (1,), "renameat": (1, 3),
    "renameat2": (1, 3), "linkat": (1, 3),
}  # fmt: skip
"""Which arguments are paths; calls that are not here have a descriptor as the first."""
_WRITES = {"write", "pwrite64", "writev"}
"""Of these, one after the other into one file, the first counts."""
_OPEN_FLAGS = {"open": 1, "openat": 2}


@dataclass
class Operations:
    """What a process did."""

    calls: list[str]
    """Name and path of each change, in order."""
    status: int
    """As of `os.waitpid`."""

    @property
    def was_killed(self) -> bool:
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL


def run_counted(
    work: Callable[[], None], folder: str, kill_before: int | None = None
) -> Operations:
    """Runs work in a fork of this process, which is killed just before so many changes are made.

    The first change is 1. Paths count that are below the folder.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setsid()
            ours.close()
            listener = _install_filter()
            socket.send_fds(theirs, [b"-"], [listener])
            os.close(listener)
            theirs.recv(1)
            work()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    theirs.close()
    try:
        _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
        ours.send(b"-")
        return _supervise(pid, listener, os.path.realpath(folder), kill_before)
    finally:
        ours.close()


def _install_filter() -> int:
    machine = platform.machine()
    calls = _CALLS[machine]
    program = [(_LOAD, 0, 0, 0)]
    for name, number in calls.items():
        if name in _OPEN_FLAGS:  # only what may create a file
            flags = 16 + 8 * _OPEN_FLAGS[name]
            program += [
                (_JUMP_EQUAL, 0, 4, number), (_LOAD, 0, 0, flags), (_JUMP_SET, 0, 1, _O_CREAT),
                (_RETURN, 0, 0, _NOTIFY), (_RETURN, 0, 0, _ALLOW),
            ]  # fmt: skip
        else:
            program += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _NOTIFY)]
    program.append((_RETURN, 0, 0, _ALLOW))
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    description = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    listener = libc.syscall(
        _SECCOMP[machine], _SET_MODE_FILTER, _NEW_LISTENER, ctypes.c_char_p(description)
    )
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return int(listener)


def _supervise(pid: int, listener: int, folder: str, kill_before: int | None) -> Operations:
    calls: list[str] = []
    last: str | None = None
    names = {number: name for name, number in _CALLS[platform.machine()].items()}
    libc = ctypes.CDLL(None, use_errno=True)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    ended = os.pidfd_open(pid)
    poll.register(ended, select.POLLIN)
    try:
        while True:
            ready = dict(poll.poll())
            if ready.get(listener, 0) & select.POLLIN:
                notice = ctypes.create_string_buffer(80)
                if libc.ioctl(listener, ctypes.c_ulong(_RECEIVE), notice) < 0:
                    continue
                number_id, thread, _, call = struct.unpack_from("QIIi", notice.raw)
                arguments = struct.unpack_from("6q", notice.raw, 32)
                path = _changed_path(thread, names[call], arguments, folder)
                if path is not None and not (names[call] in _WRITES and path == last):
                    if len(calls) + 1 == kill_before:
                        os.killpg(pid, signal.SIGKILL)
                        break
                    last = path if names[call] in _WRITES else None
                    calls.append(f"{names[call]} {path[len(folder) + 1 :]}")
                answer = ctypes.create_string_buffer(
                    struct.pack("QqiI", number_id, 0, 0, _CONTINUE)
                )
                libc.ioctl(listener, ctypes.c_ulong(_SEND), answer)
            elif ended in ready:
                break
        _, status = os.waitpid(pid, 0)
        return Operations(calls, status)
    finally:
        os.close(listener)
        os.close(ended)


def _changed_path(thread: int, name: str, arguments: tuple[int, ...], folder: str) -> str | None:
    """The path below the folder that a call changes; None if it changes nothing there."""
    try:
        if name not in _PATH_ARGUMENTS:
            paths = [os.readlink(f"/proc/{thread}/fd/{arguments[0] & 0xFFFFFFFF}")]
        else:
            paths = [_read_path(thread, name, arguments, i) for i in _PATH_ARGUMENTS[name]]
    except OSError:
        return None
    below = [path for path in paths if path.startswith(folder + "/")]
    return below[-1] if below else None


def _read_path(thread: int, name: str, arguments: tuple[int, ...], index: int) -> str:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(arguments[index])
        path = os.fsdecode(memory.read(4096).split(b"\0")[0])
    if os.path.isabs(path):
        return os.path.normpath(path)
    base = f"/proc/{thread}/cwd"
    if name.endswith(("at", "at2")):
        descriptor = ctypes.c_int(arguments[index - 1]).value
        base = base if descriptor == _AT_FDCWD else f"/proc/{thread}/fd/{descriptor}"
    return os.path.normpath(os.path.join(os.readlink(base), path))
