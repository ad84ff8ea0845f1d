"""What a hostile program can do as a confined child: next to nothing, namespaces or not."""

import contextlib
import json
import mmap
import os
import re
import sys
import time
from pathlib import Path

import pytest

from curation.errors import MediaError
from curation.media import confinement, sandbox
from curation.media.confinement import Confinement, FileAccess, guards
from curation.media.probe import probe
from curation.media.sandbox import ConfinementError, Limits
from curation.sample import write_numbered_video

HOSTILE = """if True:
    import ctypes, json, os, socket, sys
    own, beside, target, elsewhere, parent, *left_out = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name, *arguments):
        if getattr(libc, name)(*arguments) == -1:
            raise OSError(ctypes.get_errno(), name)

    def overwrite(path, mode="wb"):
        with open(path, mode) as file:
            file.write(b"x")

    def outlive():
        if os.fork() == 0:
            os.setsid()
            os.execv("/bin/sleep", ["sleep", "60"])

    def fill():
        with open(target, "wb") as file:
            for _ in range(64):
                file.write(bytes(1 << 20))

    trials = {
        "inet socket": lambda: socket.socket(),
        "unix socket": lambda: socket.socket(socket.AF_UNIX),
        "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "socket pair": lambda: socket.socketpair(),
        "read passwords": lambda: open("/etc/passwd").read(),
        "read the environment of the parent": lambda: open(f"/proc/{parent}/environ").read(),
        "read beside the input": lambda: open(beside).read(),
        "list the folder": lambda: os.listdir(os.path.dirname(own)),
        "write the input": lambda: overwrite(own, "r+b"),
        "write beside the input": lambda: overwrite(beside, "r+b"),
        "write elsewhere": lambda: overwrite(elsewhere),
        "link the input": lambda: os.link(own, elsewhere),
        "remove the input": lambda: os.unlink(own),
        "cut the input": lambda: os.truncate(own, 0),
        "open the input to all": lambda: os.chmod(own, 0o777),
        "change the time of the input": lambda: os.utime(own, (0, 0)),
        "mark the input": lambda: os.setxattr(own, "user.mark", b"1"),
        "start a process that outlives": outlive,
        "run another program": lambda: os.execv("/bin/sh", ["sh", "-c", "true"]),
        "signal the parent": lambda: os.kill(int(parent), 0),
        "trace the parent": lambda: call("ptrace", 16, int(parent), 0, 0),
        "survive the parent": lambda: call("prctl", 1, 0, 0, 0, 0),
        "take memory beyond its limit": lambda: os.memfd_create("room"),
        "raise a limit": lambda: call("setrlimit", 1, (ctypes.c_ulong * 2)(1 << 40, 1 << 40)),
        "mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "fill the disk": fill,
    }
    outcomes = {}
    for name in trials.keys() - set(left_out):
        trial = trials[name]
        try:
            trial()
            outcomes[name] = "done"
        except OSError as error:
            outcomes[name] = os.strerror(error.errno)
    assert open(own).read() == "input"
    print(json.dumps(outcomes))
"""
FILES = {"Permission denied"}
CALLS = {"Operation not permitted"}
BY_LANDLOCK = {
    "read passwords", "read the environment of the parent", "read beside the input",
    "list the folder", "write the input", "write beside the input", "write elsewhere",
    "link the input", "remove the input",
}  # fmt: skip

BY_SECCOMP = {
    "open the input to all", "change the time of the input", "mark the input", "mount",
    "start a process that outlives", "inet socket", "unix socket", "netlink socket", "socket pair",
    "survive the parent", "take memory beyond its limit", "cut the input", "raise a limit",
}  # fmt: skip
"""What seccomp alone refuses."""


@pytest.fixture(params=["namespaces", "no namespaces"])
def namespaces(request, monkeypatch):
    """With a user namespace where the kernel allows it, and as in most containers without."""
    if request.param == "no namespaces":
        monkeypatch.setattr(confinement, "_unshare", lambda flags: -1)


@pytest.fixture
def attack(tmp_path):
    """What each trial of the hostile program comes to."""
    if sandbox.confinement().missing:
        pytest.skip(f"this kernel lacks {sandbox.confinement().missing}")
    own, beside, target, elsewhere = (
        tmp_path / name for name in ("in/own.mp4", "in/beside.mp4", "out/target", "out/elsewhere")
    )
    for path in (own, beside):
        path.parent.mkdir(exist_ok=True)
        path.write_text("input")
    target.parent.mkdir()

    def run(left_out=()):
        paths = [str(path) for path in (own, beside, target, elsewhere)]
        out, _ = sandbox.run(
            [sys.executable, "-I", "-c", HOSTILE, *paths, str(os.getpid()), *left_out],
            Limits(cpu_s=20),
            files=FileAccess((str(own),), (str(target),), max_bytes=1 << 20),
        )  # fmt: skip
        outcomes = json.loads(out)
        assert target.stat().st_size <= 1 << 20
        assert outcomes.pop("fill the disk") == "File too large"
        return outcomes

    yield run
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["beside.mp4", "own.mp4"]
    assert (own.read_text(), beside.read_text()) == ("input", "input")
    assert own.stat().st_mtime > 1
    assert own.stat().st_mode & 0o777 != 0o777


@pytest.mark.usefixtures("namespaces")
def test_everything_outside_is_refused(attack):
    outcomes = attack()
    assert len(outcomes) == 25
    assert {name: text for name, text in outcomes.items() if text not in FILES | CALLS} == {}
    assert {name for name, text in outcomes.items() if text in FILES} >= BY_LANDLOCK


@pytest.mark.usefixtures("namespaces")
def test_without_landlock_the_system_calls_are_refused(attack, monkeypatch):
    monkeypatch.setattr(confinement, "landlock_abi", lambda: 0)
    outcomes = attack(left_out=BY_LANDLOCK | {"run another program"})
    assert len(outcomes) == 15
    assert set(outcomes.values()) == CALLS


@pytest.mark.usefixtures("namespaces")
def test_without_seccomp_the_files_are_out_of_reach(attack, monkeypatch):
    monkeypatch.setattr(confinement, "_system_call_filter", lambda: None)
    outcomes = attack(left_out=BY_SECCOMP)
    assert {name for name, text in outcomes.items() if text in FILES} >= BY_LANDLOCK
    assert outcomes["run another program"] == "Permission denied"
    assert {outcomes[f"{verb} the parent"] for verb in ("signal", "trace")} == CALLS


def test_a_child_ends_when_what_it_started_holds_its_pipes(monkeypatch, tmp_path):
    """Without seccomp, that is: with it nothing is started."""
    monkeypatch.setattr(confinement, "_system_call_filter", lambda: None)
    program = "import os, time; print('parent', flush=True)\nif os.fork() == 0: time.sleep(600)"
    start = time.monotonic()
    out, _ = sandbox.run([sys.executable, "-I", "-c", program], Limits(), files=FileAccess())
    assert out == b"parent\n"
    assert time.monotonic() - start < 60


def test_a_child_that_closes_its_pipes_is_stopped_in_time():
    program = "import os, time; os.close(1); os.close(2); time.sleep(600)"
    with pytest.raises(MediaError, match="time_limit: stopped after 1 s"):
        sandbox.run([sys.executable, "-I", "-c", program], Limits(wall_s=1), files=FileAccess())


def test_what_a_child_prints_is_kept_up_to_a_bound():
    program = "import os\nfor n in range(256): os.write(1 + n % 2, b'x' * 2**19)"
    command = [sys.executable, "-I", "-c", program]
    out, text = sandbox.run(command, Limits(), files=FileAccess(), max_output_bytes=1000)
    assert (len(out), len(text)) == (1000, 1 << 22)


def test_a_parent_may_be_larger_than_its_child(monkeypatch):
    """What runs between fork and exec may need memory, which a limit below the parent's forbids."""

    @contextlib.contextmanager
    def greedy(program, files):
        with guards(program, files) as confine:
            yield lambda: (bytes(64 << 20), confine())[1]

    monkeypatch.setattr(sandbox, "guards", greedy)
    no_reserve = 0x4000  # as the constant MAP_NORESERVE, which the module lacks
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    with mmap.mmap(-1, 8 << 30, flags):
        program = "import resource; print(resource.getrlimit(resource.RLIMIT_AS)[1])"
        command = [sys.executable, "-I", "-c", program]
        out, _ = sandbox.run(command, Limits(memory_mb=1024), files=FileAccess())
    assert int(out) == 1 << 30


def test_strict_starts_no_child_where_a_guard_is_missing(monkeypatch):
    sandbox.confinement.cache_clear()
    monkeypatch.setattr(confinement, "landlock_abi", lambda: 0)
    command = [sys.executable, "-I", "-c", ""]
    try:
        sandbox.run(command, Limits(), files=FileAccess())
        with pytest.raises(ConfinementError, match="strict, and here is no landlock: take"):
            sandbox.run(command, Limits(require="strict"), files=FileAccess())
    finally:
        sandbox.confinement.cache_clear()


def test_the_record_names_what_holds_and_what_does_not():
    full = Confinement(no_new_privs=True, landlock=7, seccomp=True, namespaces=True)
    assert str(full) == "no_new_privs, Landlock (ABI 7), seccomp, namespaces"
    container = Confinement(no_new_privs=True, landlock=0, seccomp=True, namespaces=False)
    assert str(container) == "no_new_privs, seccomp; not here: Landlock, namespaces"
    assert (full.missing, container.missing) == ((), ("landlock",))


@pytest.mark.parametrize(
    ("column", "header"), [(0, "x86_64-linux-gnu/asm/unistd_64.h"), (1, "asm-generic/unistd.h")]
)
def test_every_number_is_that_of_a_system_call_that_can_do_harm(column, header):
    """By the kernel's own headers, where they are installed."""
    path = Path("/usr/include", header)
    if not path.exists():
        pytest.skip("no kernel headers")
    names = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text()))
    by_number = {int(number): name for name, number in names.items()}
    newer = {452: "fchmodat2"}
    refused = [n[column] for group in confinement._REFUSED.values() for n in group]
    numbers = [n for n in refused if n is not None]
    assert len(set(numbers)) == len(numbers)
    named = {(newer | by_number).get(number, number) for number in numbers}
    assert named >= {"socket", "ptrace", "mount", "bpf", "io_uring_setup", "keyctl", "memfd_create"}
    assert not named & HARMLESS
    assert all(isinstance(name, str) for name in named), named


HARMLESS = {
    "read", "write", "openat", "mmap", "mprotect", "munmap", "brk", "futex", "exit_group", "close",
    "rt_sigaction", "sched_getaffinity", "getrandom", "execve", "clone", "ppoll", "lseek",
}  # fmt: skip


def test_a_child_whose_packages_cannot_be_read_is_not_the_inputs_fault(tmp_path, monkeypatch):
    """As after an installation that is spread over several folders."""
    write_numbered_video(tmp_path / "fine.mp4", 5)
    assert probe(str(tmp_path / "fine.mp4"), Limits()).width
    sandbox.confinement.cache_clear()
    monkeypatch.setattr(confinement, "_program_folders", lambda: ("/lib", "/lib64", "/usr/lib"))
    try:
        with pytest.raises(ConfinementError, match="does not start"):
            probe(str(tmp_path / "fine.mp4"), Limits())
    finally:
        sandbox.confinement.cache_clear()
