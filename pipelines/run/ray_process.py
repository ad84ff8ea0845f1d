"""An executor on Ray whose driver is a process of its own, because Ray may end its driver.

When a node process of Ray is killed or crashes, Ray's native code ends the process that called
`ray.init`, without an exception. Here that is a child of the command, which then says what happened
and that it can be resumed. Stages, items and outcomes are passed as bytes; the child unpickles none
of them. When the command ends in any way, the child does, and with it a private Ray.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from curation.errors import InfrastructureError, ReelmillError
from curation.stage import Item, Outcome, Stage
from pipelines.run.executor import ExecutorLostError
from pipelines.run.ray_executor import RayExecutor, cluster

_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from pipelines.run.ray_process import drive
drive(int(sys.argv[2]))
"""
_NODE_PROCESSES = {"raylet", "gcs_server"}
_SHUTDOWN_S = 60.0
_ENDED = "Ray ended in the middle of a step, as one of its own processes was killed or has crashed"


@dataclass
class RayProcess:
    """Runs stages on the cluster that its child has joined or started."""

    address: str = "local"
    workers: int = 0
    """As of `RayExecutor`."""
    cpus: int = 0
    object_store_mb: int = 512
    """As of `cluster`."""
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _connection: Connection | None = field(default=None, repr=False)

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """See `Executor`; raises `InfrastructureError` if Ray ends the child."""
        connection = self._open()
        is_over = False
        try:
            request = pickle.dumps(stage), stage.resources, [pickle.dumps(item) for item in items]
            connection.send(request)
            while (answer := connection.recv()) is not None:
                if isinstance(answer, Exception):
                    is_over = isinstance(answer, ExecutorLostError)
                    raise answer
                yield answer
            is_over = True
        except (EOFError, OSError) as error:
            raise self._lost() from error
        finally:
            if not is_over:  # answers that nobody waits for may be on their way
                self._kill()

    def close(self) -> None:
        """Leaves the cluster, or ends a private one."""
        if self._connection is not None and self._child is not None:
            self._connection.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_SHUTDOWN_S)
        self._kill()

    def _open(self) -> Connection:
        if self._connection is None:
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-I", "-c", _PROGRAM, json.dumps(sys.path)]
                self._child = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=None if "RAY_BACKEND_LOG_LEVEL" in os.environ else subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            self._connection = Connection(ours.detach())
            size = {"cpus": self.cpus, "object_store_mb": self.object_store_mb}
            self._connection.send((self.address, self.workers, size))
        return self._connection

    def _lost(self) -> InfrastructureError:
        code = self._child.wait() if self._child is not None else None
        return InfrastructureError(f"{_ENDED} (exit code {code})")

    def _kill(self) -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.kill()
            self._child.wait()
            self._child.stdin.close()
        if self._connection is not None:
            self._connection.close()
        self._child = self._connection = None


def drive(descriptor: int) -> None:
    """The child: joins the cluster at the first request, and answers requests until there are none.

    A request is a pickled stage, its resources and pickled items; answers are its pickled outcomes,
    then None or an error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connection = Connection(descriptor)
    address, workers, size = connection.recv()
    is_joined = False
    with contextlib.ExitStack() as stack, contextlib.suppress(EOFError):
        while True:
            stage, resources, items = connection.recv()
            error: Exception | None = None
            try:
                if not is_joined:
                    stack.enter_context(cluster(address, **size))
                    is_joined = True
                for outcome in RayExecutor(workers).run_pickled(stage, resources, items):
                    connection.send_bytes(outcome)
            except Exception as raised:
                error = _as_answer(raised, address == "local")
            connection.send(error)


def _end_with_parent() -> None:
    """The command holds the standard input open while it lives."""
    sys.stdin.buffer.read()
    os._exit(1)


def _as_answer(error: Exception, is_private: bool) -> Exception:
    """The error as one that can be sent; without its node processes Ray cannot blame an item."""
    if isinstance(error, ExecutorLostError) and is_private and not _has_node_processes():
        return InfrastructureError(_ENDED)
    if isinstance(error, ReelmillError):
        return error
    return RuntimeError("".join(traceback.format_exception(error)))


def _has_node_processes() -> bool:
    """Whether those of a private Ray, children of this process, are alive; true where unknown."""
    names = set()
    tasks = [*Path("/proc/self/task").glob("*/children")]
    for pid in {pid for task in tasks for pid in task.read_text().split()}:
        with contextlib.suppress(OSError):
            name, state = _name_and_state(Path("/proc", pid, "stat").read_text())
            names |= {name} - ({name} if state == "Z" else set())
    return not tasks or names >= _NODE_PROCESSES


def _name_and_state(stat: str) -> tuple[str, str]:
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return name, rest.split()[0]
