"""Leases: which run writes to which tables, so that a second run is refused and not the first.

A run that acquires tables writes a small file that names it, and renews it every 20 s. Another run
of the same step on one of these tables finds the file and is refused before it changes anything. On
one machine the lease of a process that has ended is void at once; on other machines a lease
expires when it has not been renewed for three minutes. Its age is the difference of two times that
the storage set, so clocks need not agree; if that clock is set back, the lease counts as renewed.

A lease saves work and gives the refusal to the right run. It does not keep tables consistent: that
is for their transaction numbers (`curation.catalog`), by which one of two runs that both got past
this point loses.
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

from pyarrow import fs

from curation.errors import InfrastructureError
from curation.process_identity import machine_id, start_time
from curation.storage import Storage, storage_faults

FOLDER = "_leases"
_RENEWAL_S = 20.0
_EXPIRY_S = 180.0
_NS = 1_000_000_000
_TIME = "%Y-%m-%d %H:%M:%S UTC"
_MAX_COMMAND = 300
"""Characters of a command line that are stored."""


class LeaseHeldError(InfrastructureError):
    """Another run writes to these tables; the message says which."""

    advice = "This run has left those tables as they are. Start it again when the other has ended."


@dataclass(frozen=True)
class Lease:
    """A run and the tables that it holds."""

    app: str
    """The step."""
    tables: list[str]
    host: str
    machine: str
    """Within one machine, a process id means the same process."""
    pid: int
    process: str
    """When the process started, to distinguish it from a later one with the same id."""
    since: str
    """When it was taken, by the storage's clock."""
    command: str

    @classmethod
    def of_this_process(cls, app: str, tables: Iterable[str], now_ns: int) -> Lease:
        """A lease of this process, at a time of the storage."""
        program = Path(sys.argv[0])
        name = "reelmill" if program.parent.name == "pipelines" else program.name
        return cls(
            app=app,
            tables=sorted(tables),
            host=socket.gethostname(),
            machine=machine_id(),
            pid=os.getpid(),
            process=start_time(os.getpid()) or "",
            since=datetime.fromtimestamp(now_ns // _NS, timezone.utc).strftime(_TIME),
            command=shlex.join([name, *sys.argv[1:]])[:_MAX_COMMAND],
        )

    @property
    def since_ns(self) -> int:
        """When it was taken, to the second before."""
        since = datetime.strptime(self.since, _TIME).replace(tzinfo=timezone.utc)
        return int(since.timestamp()) * _NS

    def __str__(self) -> str:
        """Who holds it, for people."""
        return f"pid {self.pid} on {self.host} since {self.since}, running: {self.command}"


@contextlib.contextmanager
def hold_lease(storage: Storage, app: str, tables: Iterable[str]) -> Iterator[None]:
    """Holds tables for one step while the block runs.

    Raises `LeaseHeldError`, with the name of the other run, if a live run of this step holds one.
    """
    lease = Lease.of_this_process(app, tables, storage_time_ns(storage))
    _check_free(storage, lease)
    name = f"{FOLDER}/{app}-{secrets.token_hex(8)}.json"
    _write(storage, name, lease)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(_RENEWAL_S):
            with contextlib.suppress(InfrastructureError, OSError):  # commits meet it too
                _write(storage, name, lease)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_RENEWAL_S)
        _remove(storage, name)


def _check_free(storage: Storage, lease: Lease) -> None:
    """Raises `LeaseHeldError` where a live run holds a table of the lease; removes expired ones."""
    for name, other, mtime_ns in _leases(storage):
        if other.app != lease.app or not set(other.tables) & set(lease.tables):
            continue
        left_s = _left_s(storage, name, other, mtime_ns)
        if left_s is None or left_s > 0:
            hint = left_s is not None and (
                f" (last sign of life {_EXPIRY_S - left_s:.0f} s ago; if none follows, its lease"
                f" expires in {left_s:.0f} s)"
            )
            raise LeaseHeldError(f"{lease.app}: {storage.root} is held by {other}{hint or ''}")
        _remove(storage, name)


def live_leases(storage: Storage) -> list[Lease]:
    """The leases of all runs that live. Raises `InfrastructureError`."""
    return [
        lease
        for name, lease, mtime_ns in _leases(storage)
        if (left_s := _left_s(storage, name, lease, mtime_ns)) is None or left_s > 0
    ]


def _leases(storage: Storage) -> Iterator[tuple[str, Lease, int]]:
    """Each lease, the name of its file, and when that was written."""
    with storage_faults():
        files = storage.filesystem.get_file_info(
            fs.FileSelector(storage.path(FOLDER), allow_not_found=True)
        )
    for file in files:
        name = f"{FOLDER}/{file.base_name}"
        lease = _read(storage, name) if file.base_name.endswith(".json") else None
        if lease is not None:
            yield name, lease, int(file.mtime_ns or 0)


def _left_s(storage: Storage, name: str, lease: Lease, mtime_ns: int) -> float | None:
    """Seconds until a lease expires, 0 if it has; None for one of a live process here."""
    if lease.machine == machine_id():
        return None if start_time(lease.pid) == lease.process else 0.0
    age_s = (storage_time_ns(storage) - mtime_ns) / 1e9
    if age_s < -_RENEWAL_S:  # the clock was set back: written again, it expires in time
        _write(storage, name, lease)
    return max(0.0, _EXPIRY_S - max(0.0, age_s))


def _write(storage: Storage, name: str, lease: Lease) -> None:
    with storage.atomic_write(name) as path:
        Path(path).write_text(json.dumps(dataclasses.asdict(lease)), encoding="utf-8")


def _read(storage: Storage, name: str) -> Lease | None:
    """A lease; None if the file no longer exists or holds no lease."""
    try:
        with storage.local_path(name) as path:
            lease = Lease(**json.loads(Path(path).read_text(encoding="utf-8")))
        return lease if lease.since_ns else None
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _remove(storage: Storage, name: str) -> None:
    with contextlib.suppress(OSError, InfrastructureError):
        storage.filesystem.delete_file(storage.path(name))


def storage_time_ns(storage: Storage) -> int:
    """The time by the storage's own clock; raises `InfrastructureError` where it has none."""
    name = f"{FOLDER}/{secrets.token_hex(8)}.now"
    with storage.atomic_write(name) as path:
        Path(path).touch()
    with storage_faults():
        file = storage.filesystem.get_file_info(storage.path(name))
    _remove(storage, name)
    if not file.mtime_ns:
        raise InfrastructureError(f"{storage.root} does not say when files were written")
    return int(file.mtime_ns)
