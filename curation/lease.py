"""Who is at work on which tables of an output, so that a second run is refused and not the first.

A run that takes tables leaves a small file that names it, and rewrites that every 20 s. Another one
that would take one of the same tables for the same step finds it, and is refused before it has
changed anything. On one machine a process that is gone frees its tables at once; elsewhere a lease
ends when nobody has rewritten it for three minutes. Its age is the difference of two times that the
storage wrote, so clocks need not agree.

A lease saves work and gives the refusal to the right run. What keeps tables whole is not the lease
but the tables' transaction numbers (`curation.catalog`): of two runs that both got past this point,
one loses there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import shlex
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pyarrow import fs

from curation.errors import InfrastructureError
from curation.storage import Storage, storage_faults

FOLDER = "_leases"
_REWRITTEN_S = 20.0
_ENDS_S = 180.0
_MOST_SHOWN = 300
"""Characters of a command line that are stored and shown."""


class HeldError(InfrastructureError):
    """Another run is at work on these tables; the message says which."""

    advice = "This run has left those tables as they are. Start it again when the other has ended."


@dataclass(frozen=True)
class Lease:
    """Which tables a run has taken, and who it is."""

    app: str
    """The step."""
    tables: list[str]
    host: str
    machine: str
    """Within this, process ids mean the same process."""
    pid: int
    process: str
    """When the process started, so that a later one with its id is not taken for it."""
    since: str
    command: str

    @classmethod
    def mine(cls, app: str, tables: Iterable[str]) -> Lease:
        """Of this process."""
        program = Path(sys.argv[0])
        name = "reelmill" if program.parent.name == "pipelines" else program.name
        command = shlex.join([name, *sys.argv[1:]])[:_MOST_SHOWN]
        since = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        return cls(
            app, sorted(tables), socket.gethostname(), _machine(), os.getpid(),
            _process(os.getpid()) or "", since, command,
        )  # fmt: skip

    def __str__(self) -> str:
        """Who it is, for people."""
        return f"pid {self.pid} on {self.host} since {self.since}, running: {self.command}"


@contextlib.contextmanager
def leased(storage: Storage, app: str, tables: Iterable[str]) -> Iterator[None]:
    """Holds tables for one step while the block runs.

    Raises `HeldError`, naming the other run, if one that lives holds any of them for this step.
    """
    mine = Lease.mine(app, tables)
    _refuse_beside_others(storage, mine)
    name = f"{FOLDER}/{app}-{secrets.token_hex(8)}.json"
    _write(storage, name, mine)
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(storage, name, mine, ended), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join(_REWRITTEN_S)
        _remove(storage, name)


def _keep(storage: Storage, name: str, lease: Lease, ended: threading.Event) -> None:
    """Rewrites a lease until its run ends; storage that is down shows where rows are committed."""
    while not ended.wait(_REWRITTEN_S):
        with contextlib.suppress(InfrastructureError, OSError):
            _write(storage, name, lease)


def _refuse_beside_others(storage: Storage, mine: Lease) -> None:
    selector = fs.FileSelector(storage.path(FOLDER), allow_not_found=True)
    with storage_faults():
        found = storage.filesystem.get_file_info(selector)
    for info in found:
        name = f"{FOLDER}/{info.base_name}"
        other = _read(storage, name) if info.base_name.endswith(".json") else None
        if other is None or other.app != mine.app or not set(other.tables) & set(mine.tables):
            continue
        if other.machine == mine.machine:
            lives, more = _process(other.pid) == other.process, ""
        else:
            silent_s = max(0.0, (_now_ns(storage) - int(info.mtime_ns or 0)) / 1e9)
            lives = silent_s < _ENDS_S
            more = (
                f" (last sign of life {silent_s:.0f} s ago; if none follows, its hold ends in"
                f" {_ENDS_S - silent_s:.0f} s)"
            )
        if lives:
            raise HeldError(f"{mine.app}: {storage.root} is held by {other}{more}")
        _remove(storage, name)


def _write(storage: Storage, name: str, lease: Lease) -> None:
    with storage.writing(name) as path:
        Path(path).write_text(json.dumps(dataclasses.asdict(lease)), encoding="utf-8")


def _read(storage: Storage, name: str) -> Lease | None:
    """A lease; None if it is gone by now, or is none."""
    try:
        with storage.local(name) as path:
            said: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return Lease(**said)
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _remove(storage: Storage, name: str) -> None:
    with contextlib.suppress(OSError, InfrastructureError):
        storage.filesystem.delete_file(storage.path(name))


def _now_ns(storage: Storage) -> int:
    """What the storage's own clock says."""
    name = f"{FOLDER}/{secrets.token_hex(8)}.now"
    with storage.writing(name) as path:
        Path(path).touch()
    with storage_faults():
        info = storage.filesystem.get_file_info(storage.path(name))
    _remove(storage, name)
    return int(info.mtime_ns or 0)


def _machine() -> str:
    """Names the kernel and the namespace of processes; the host where the system has neither."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _process(pid: int) -> str | None:
    """When a process of this machine started, in the kernel's ticks; None if there is none."""
    if not os.path.isdir("/proc/self"):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]
