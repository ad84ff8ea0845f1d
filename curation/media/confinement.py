"""What the kernel refuses a child process that reads hostile bytes, whatever code runs in it.

Neither privileges nor namespaces are needed, so that it holds in containers as well:

- `no_new_privs`, and for root no capabilities: no program can give the child more than it has.
- Landlock: the child reads only its inputs and the folders of programs and libraries, writes only
  the files that it was given, and executes nothing outside of those folders. It can neither signal
  nor trace a process outside.
- seccomp: no sockets, no processes, no tracing, mounting or loading, no memory outside of its
  limits, and no change of a file's owner, mode, time or attributes, which Landlock leaves open.
- a user and network namespace of its own where that is allowed, as a second wall.

Each is separate: where a kernel lacks one the others hold, and `Confinement` records which do. Only
system calls run between fork and exec, because the parent has threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import importlib.util
import os
import platform
import resource
import signal
import stat
import struct
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS = 1, 28, 38
_NO_ROOT_LOCKED = 0b11
"""Secure bits by which user 0 gets no capabilities at the next exec."""
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_MAX_THREADS = 1024
"""Of one child; counted apart from other processes of the user only in a namespace of its own."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE, _READ, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_FILE_RIGHTS_BY_ABI = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}
_NET_RIGHTS, _SCOPES = 0b11, 0b11

_ARCHITECTURES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
"""Column in the tables of system calls, audit number, and number of `seccomp`."""
_UNKNOWN_FROM = 463
"""System calls from this number on are newer than what decoders need; libraries fall back."""
_CLONE, _CLONE3, _CLONE_THREAD = (56, 220), 435, 0x10000
_SIGNALS = ((62, 129), (200, 130), (234, 131))  # kill, tkill, tgkill
_PRCTL, _PRLIMIT = (157, 167), (302, 261)
_REFUSED: dict[str, tuple[tuple[int | None, int | None], ...]] = {
    "sockets": ((41, 198), (53, 199)),
    "processes": ((57, None), (58, None), (322, 281), (112, 157), (109, 154)),
    "tracing": (
        (101, 117), (310, 270), (311, 271), (312, 272), (434, 434), (438, 438), (424, 424),
        (440, 440), (448, 448), (129, 138), (297, 240), (298, 241), (135, 92),
    ),
    "mounts and namespaces": (
        (165, 40), (166, 39), (155, 41), (161, 51), (429, 429), (428, 428), (430, 430), (431, 431),
        (432, 432), (433, 433), (442, 442), (272, 97), (308, 268), (303, 264), (304, 265),
        (300, 262),
    ),
    "kernel": (
        (250, 219), (248, 217), (249, 218), (321, 280), (323, 282), (425, 425), (426, 426),
        (427, 427), (175, 105), (313, 273), (176, 106), (246, 104), (320, 294), (167, 224),
        (168, 225), (169, 142), (164, 170), (227, 112), (305, 266), (159, 171), (163, 89),
        (179, 60), (443, 443), (103, 116), (170, 161), (171, 162), (172, None), (173, None),
        (154, None), (134, None), (153, 58),
    ),
    "memory that no limit counts": (
        (319, 279), (447, 447), (29, 194), (30, 196), (68, 186), (64, 190), (240, 180),
    ),
    "owners, modes, times, attributes": (
        (90, None), (91, 52), (268, 53), (452, 452), (92, None), (93, 55), (94, None), (260, 54),
        (132, None), (235, None), (280, 88), (261, None), (188, 5), (189, 6), (190, 7), (197, 14),
        (198, 15), (199, 16), (76, 45),
    ),
}  # fmt: skip
"""Refused system calls by their numbers on x86_64 and aarch64."""
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_FIRST_ARGUMENT = 16
"""Where the filter finds it."""
_SPEC_ALLOW = 4
"""Without this flag kernels before 5.16 slow a filtered process down."""
_OWN_PID = 0xFFFFFFFF
"""Stands for the child's own process id until it is known."""
CHILD_PACKAGES = ("av", "PIL")
"""What the programs that run confined import, beside the standard library."""


@dataclass(frozen=True)
class FileAccess:
    """The files that one child may use, besides programs and libraries."""

    reads: tuple[str, ...] = ()
    """Files that it may read."""
    writes: tuple[str, ...] = ()
    """Files that it may write and read; a rule can only name one that exists."""
    max_bytes: int = 0
    """Bytes that it may write to any one file."""
    folders: tuple[str, ...] = ()
    """Folders that it may list, and whose files it may read."""


@dataclass(frozen=True)
class Confinement:
    """What holds for children on this machine."""

    no_new_privs: bool
    landlock: int
    """Version of Landlock's interface; 0 where the kernel or the container refuses it."""
    seccomp: bool
    namespaces: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """Guards that do not hold, without namespaces: seccomp refuses sockets without them too."""
        names = ("no_new_privs", "landlock", "seccomp")
        return tuple(name for name in names if not getattr(self, name))

    def __str__(self) -> str:
        guards = {
            "no_new_privs": self.no_new_privs,
            f"Landlock (ABI {self.landlock})" if self.landlock else "Landlock": self.landlock,
            "seccomp": self.seccomp,
            "namespaces": self.namespaces,
        }
        held = ", ".join(name for name, holds in guards.items() if holds)
        lacking = ", ".join(name for name, holds in guards.items() if not holds)
        return f"{held or 'none'}{f'; not here: {lacking}' if lacking else ''}"


@contextlib.contextmanager
def guards(program: str, files: FileAccess) -> Iterator[Callable[[], Confinement]]:
    """A function that confines the process which calls it, for between fork and exec.

    `program` is the file that is executed next.
    """
    if _LIBC is None:
        yield lambda: Confinement(False, 0, False, False)
        return
    parent, system_filter = os.getpid(), _system_call_filter()
    with _ruleset(program, files) as ruleset:

        def confine() -> Confinement:
            prctl = _LIBC.prctl
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            prctl(_PR_SET_SECUREBITS, _NO_ROOT_LOCKED, 0, 0, 0)
            no_new_privs = prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            restricted = ruleset >= 0 and _call(_RESTRICT_SELF, ruleset, 0) == 0
            namespaces = _unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
            if namespaces:
                resource.setrlimit(resource.RLIMIT_NPROC, (_MAX_THREADS, _MAX_THREADS))
            filtered = system_filter is not None and system_filter.install()
            return Confinement(
                no_new_privs, landlock_abi() if restricted else 0, filtered, namespaces
            )

        yield confine


def _call(number: int, *arguments: object) -> int:
    """A system call without a function in libc; −1 if it fails."""
    assert _LIBC is not None
    result: int = _LIBC.syscall(ctypes.c_long(number), *arguments)
    return result


def _unshare(flags: int) -> int:
    assert _LIBC is not None
    result: int = _LIBC.unshare(flags)
    return result


# Landlock


@functools.cache
def landlock_abi() -> int:
    """Version of Landlock's interface in this kernel; 0 without Landlock."""
    return 0 if _LIBC is None else max(0, _call(_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


@contextlib.contextmanager
def _ruleset(program: str, files: FileAccess) -> Iterator[int]:
    """A descriptor of the rules for a child, or −1 without Landlock.

    Rights outside of the rules are refused, and so are TCP, abstract sockets and signals to the
    processes outside where the kernel can do that.
    """
    abi = landlock_abi()
    if not abi:
        yield -1
        return
    handled = _FILE_RIGHTS_BY_ABI[min(abi, max(_FILE_RIGHTS_BY_ABI))]
    attributes = struct.pack(
        "=QQQ", handled, _NET_RIGHTS if abi >= 4 else 0, _SCOPES if abi >= 6 else 0
    )
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    try:
        if ruleset >= 0:
            for folder in _program_folders():
                _add_rule(ruleset, folder, handled & (_EXECUTE | _READ | _READ_DIR))
            for path in ("/dev/null", "/dev/zero", "/dev/urandom"):
                _add_rule(ruleset, path, handled & (_READ | _WRITE))
            _add_rule(ruleset, program, _EXECUTE | _READ)
            for path in files.reads:
                _add_rule(ruleset, path, _READ)
            for path in files.folders:
                _add_rule(ruleset, path, _READ | _READ_DIR)
            for path in files.writes:
                _add_rule(ruleset, path, handled & (_READ | _WRITE | _TRUNCATE))
        yield ruleset
    finally:
        if ruleset >= 0:
            os.close(ruleset)


def _add_rule(ruleset: int, path: str, rights: int) -> None:
    """Allows rights on a file, or on a folder and what is below it; what is missing is left out."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                rights &= ~_READ_DIR
            _call(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
        finally:
            os.close(descriptor)


@functools.cache
def _program_folders() -> tuple[str, ...]:
    """Folders and files of the interpreter, its packages, and the system's libraries."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    # A .pth file, or an environment that shares packages, puts them elsewhere.
    specs = filter(None, map(importlib.util.find_spec, CHILD_PACKAGES))
    paths += [os.path.dirname(os.path.dirname(spec.origin)) for spec in specs if spec.origin]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [
        *paths, os.path.dirname(__file__), os.path.realpath(sys.executable),
        os.path.join(sys.prefix, "pyvenv.cfg"), sysconfig.get_config_var("LIBDIR"),
        "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache",
        f"/etc/{version}",
    ]  # fmt: skip
    return tuple(dict.fromkeys(path for path in candidates if path and os.path.exists(path)))


# seccomp


@dataclass(frozen=True)
class _SystemCallFilter:
    """A filter in the kernel's format, made in the parent and installed in the child."""

    number: int
    """Of the system call `seccomp`."""
    instructions: ctypes.Array[ctypes.c_char]
    program: ctypes.Array[ctypes.c_char]
    """The structure that points to the instructions."""
    pid_offsets: tuple[int, ...]
    """Where the child's own process id belongs."""

    def install(self) -> bool:
        """Applies it to the calling process; whether the kernel did."""
        for offset in self.pid_offsets:
            struct.pack_into("=I", self.instructions, offset, os.getpid())
        return _call(self.number, 1, _SPEC_ALLOW, self.program) == 0


@functools.cache
def _system_call_filter() -> _SystemCallFilter | None:
    """The filter of this machine; None for an architecture without a table."""
    if platform.machine() not in _ARCHITECTURES:
        return None
    column, audit_number, seccomp = _ARCHITECTURES[platform.machine()]
    code = _instructions(column, audit_number)
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    instructions = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack("@HP", len(code), ctypes.addressof(instructions))
    offsets = tuple(8 * i + 4 for i, line in enumerate(code) if line == (_EQUAL, 1, 0, _OWN_PID))
    return _SystemCallFilter(
        seccomp, instructions, ctypes.create_string_buffer(program, len(program)), offsets
    )


_Instruction = tuple[int, int, int, int]


def _instructions(column: int, audit_number: int) -> list[_Instruction]:
    """The filter: operation, jump if true, jump if false, operand."""
    refuse, allow = (_RETURN, 0, 0, _FAIL | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    unknown = (_RETURN, 0, 0, _FAIL | errno.ENOSYS)
    first = (_LOAD, 0, 0, _FIRST_ARGUMENT)

    def only(number: int | None, *lines: _Instruction) -> list[_Instruction]:
        """What happens to one system call."""
        return [] if number is None else [(_EQUAL, 0, len(lines), number), *lines]

    code: list[_Instruction] = [
        (_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit_number), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0), (_AT_LEAST, 0, 1, _UNKNOWN_FROM), unknown,
        *only(_CLONE3, unknown),
        *only(_CLONE[column], first, (_ANY_BIT, 1, 0, _CLONE_THREAD), refuse, allow),
        *only(_PRCTL[column], first, (_EQUAL, 0, 1, _PR_SET_PDEATHSIG), refuse, allow),
        *only(_PRLIMIT[column], first, (_EQUAL, 1, 0, 0), refuse, allow),
    ]  # fmt: skip
    for numbers in _SIGNALS:
        code += only(numbers[column], first, (_EQUAL, 1, 0, _OWN_PID), refuse, allow)
    for group in _REFUSED.values():
        for refused in group:
            code += only(refused[column], refuse)
    return [*code, allow]
