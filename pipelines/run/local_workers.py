"""Workers that are processes of this machine, for jobs that are too small to start Ray for."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from curation.stage import Item, Resources, Stage
from pipelines.run.workers import Reply, Worker


@dataclass(eq=False)
class _Process:
    process: subprocess.Popen[bytes]
    connection: Connection[bytes, bytes]
    is_busy: bool = False


@dataclass
class LocalWorkers:
    """Processes, each with the models of the stage that it last worked on."""

    cpus: int = 0
    """Cores to use; 0 for all that this process may use."""
    depth: int = 1
    holds_idle: bool = False
    _ready: list[Reply] = field(default_factory=list)
    _in_use: dict[Any, _Process] = field(default_factory=dict)
    _parked: list[_Process] = field(default_factory=list)

    def total(self) -> Resources:
        """The cores, and the memory of the machine."""
        cpus = self.cpus or len(os.sched_getaffinity(0))
        memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
        return Resources(cpus, 0.0, memory_mb)

    def capacity(self, resources: Resources) -> int:
        """At least one."""
        total = self.total()
        shares = (total.cpus / resources.cpus, total.memory_mb / (resources.memory_mb or 1))
        return int(max(1, min(shares)))

    def start(self, stage: Stage) -> Worker:
        """Takes a process that another stage has left, whose imports are paid, or starts one."""
        while self._parked:
            process = self._parked.pop()
            if process.process.poll() is None:
                break
        else:
            process = _spawn()
        self._in_use[process.connection] = process
        self._ready.append(Reply(process))
        _send(process, True, stage)
        return process

    def send(self, worker: Any, item: Item) -> None:
        """Writes it to the worker's socket."""
        worker.is_busy = True
        _send(worker, False, item)

    def wait(self, timeout_s: float) -> list[Reply]:
        """Reads what is there; a closed socket is a death."""
        said, self._ready = self._ready, []
        for connection in wait(list(self._in_use), 0 if said else timeout_s):
            process = self._in_use[connection]
            try:
                outcome = pickle.loads(process.connection.recv_bytes())
            except (EOFError, OSError):  # also in the middle of an answer
                process.is_busy = True
                self.stop(process)
                said.append(Reply(process, died=True))
            else:
                process.is_busy = False
                said.append(Reply(process, outcome))
        return said

    def stop(self, worker: Any) -> None:
        """Kills a busy process; an idle one waits for another stage."""
        del self._in_use[worker.connection]
        if worker.is_busy:
            _kill(worker)
        else:
            self._parked.append(worker)

    def close(self) -> None:
        """Kills all processes."""
        for process in [*self._in_use.values(), *self._parked]:
            _kill(process)
        self._in_use, self._parked, self._ready = {}, [], []


def _spawn() -> _Process:
    ours, theirs = socket.socketpair()
    with theirs:
        command = (
            f"import sys; sys.path[:] = {sys.path!r}; from pipelines.run.local_worker import main;"
            f" main({theirs.fileno()}, {os.getpid()})"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", command],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    return _Process(process, Connection(ours.detach()))


def _kill(process: _Process) -> None:
    process.process.kill()
    process.connection.close()
    process.process.wait()


def _send(process: _Process, is_stage: bool, content: Any) -> None:
    """A worker that has died is noticed by `wait`."""
    with contextlib.suppress(ConnectionError):
        process.connection.send_bytes(pickle.dumps((is_stage, pickle.dumps(content))))
