"""Workers that are actors on Ray, whose driver is a process of its own.

When a node process of Ray is killed or crashes, Ray's native code ends the process that called
`ray.init`, without an exception. Here that is a child of the command, which then says what happened
and that it can be resumed. Stages, items and outcomes pass through the child as bytes. When the
command ends in any way, the child does, and with it a private Ray.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from curation.errors import InfrastructureError, ReelmillError
from curation.stage import Item, Resources, Stage
from pipelines.run.ray_actors import RayActors
from pipelines.run.ray_cluster import cluster
from pipelines.run.workers import Reply, Worker

_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from pipelines.run.ray_workers import drive
drive(int(sys.argv[2]))
"""
_ANSWERED = {"nodes", "wait"}
_NODE_PROCESSES = {"raylet", "gcs_server"}
_LOST = "Ray ended in the middle of a step"
_SILENCE_S = 120.0
"""After so long without an answer Ray is taken for lost: its calls may hang without a raylet."""
_WATCH_S = 1.0
_LOOK_S = 5.0
"""Nodes that join and leave are noticed after so long."""
_SHUTDOWN_S = 60.0


@dataclass
class RayWorkers:
    """Actors on the cluster at an address, which is joined, or started, when it is first used."""

    address: str = "local"
    cpus: int = 0
    object_store_mb: int = 512
    """As of `cluster`."""
    depth: int = 2
    holds_idle: bool = True
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _connection: Connection[Any, Any] | None = field(default=None, repr=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)
    _nodes: list[Resources] = field(default_factory=list)
    _looked: float = -math.inf

    def total(self) -> Resources:
        """Of all nodes."""
        nodes = self._look()
        return Resources(
            sum(node.cpus for node in nodes),
            sum(node.gpus for node in nodes),
            sum(node.memory_mb for node in nodes),
        )

    def capacity(self, resources: Resources) -> int:
        """Workers that fit onto the nodes; no worker is on two."""
        return sum(_fit(node, resources) for node in self._look())

    def start(self, stage: Stage) -> Worker:
        """Asks for an actor."""
        number = next(self._numbers)
        self._call("start", number, pickle.dumps(stage), stage.resources)
        return number

    def send(self, worker: Worker, item: Item) -> None:
        """Sends it to the actor."""
        self._call("send", worker, pickle.dumps(item), item.key)

    def wait(self, timeout_s: float) -> list[Reply]:
        """What actors have answered."""
        return [
            Reply(number, None if outcome is None else pickle.loads(outcome), died)
            for number, outcome, died in self._call("wait", timeout_s)
        ]

    def stop(self, worker: Worker) -> None:
        """Kills the actor, unless the cluster is lost."""
        if self._connection is not None:
            self._call("stop", worker)

    def close(self) -> None:
        """Leaves the cluster, or ends a private one."""
        if self._connection is not None and self._child is not None:
            self._connection.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_SHUTDOWN_S)
        self._kill()

    def _look(self) -> list[Resources]:
        if time.monotonic() - self._looked >= _LOOK_S:
            self._nodes = self._call("nodes")
            self._looked = time.monotonic()
        return self._nodes

    def _call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the child's `RayActors`; raises `InfrastructureError` if it ended."""
        try:
            connection = self._connection or self._open()
            connection.send((method, arguments))
            if method == "wait" and not connection.poll(_SILENCE_S):
                raise EOFError
            answer = connection.recv() if method in _ANSWERED else None
        except (EOFError, OSError) as error:
            code = None
            if self._child is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = self._child.wait(_WATCH_S)
            self._kill()
            raise InfrastructureError(
                f"{_LOST} (exit code {code}): one of its own processes was killed or has crashed"
            ) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _open(self) -> Connection[Any, Any]:
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
        self._connection.send((self.address, size))
        return self._connection

    def _kill(self) -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.kill()
            self._child.wait()
            self._child.stdin.close()
        if self._connection is not None:
            self._connection.close()
        self._child = self._connection = None


def drive(descriptor: int) -> None:
    """The child: joins the cluster, and does what the command asks for until it asks no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connection: Connection[Any, Any] = Connection(descriptor)
    address, size = connection.recv()
    error: Exception | None = None
    actors = RayActors()
    with contextlib.ExitStack() as stack, contextlib.suppress(EOFError, BrokenPipeError):
        try:
            stack.enter_context(cluster(address, **size))
            if address == "local":
                threading.Thread(target=_end_with_node, daemon=True).start()
        except ReelmillError as raised:
            error = raised
        while True:
            method, arguments = connection.recv()
            answer: Any = error
            if error is None:
                try:
                    answer = getattr(actors, method)(*arguments)
                except ReelmillError as raised:
                    answer = error = raised
                except Exception as raised:
                    answer = error = RuntimeError("".join(traceback.format_exception(raised)))
            if method in _ANSWERED:
                connection.send(answer)


def _end_with_parent() -> None:
    """The command holds the standard input open while it lives."""
    sys.stdin.buffer.read()
    os._exit(1)


def _end_with_node() -> None:
    """Ends this process with a private Ray's own processes, its children: calls may hang then."""
    while has_node_processes():
        time.sleep(_WATCH_S)
    os._exit(1)


def has_node_processes() -> bool:
    """Whether this process has the children that run a private Ray; true where that is unknown."""
    tasks = [*Path("/proc/self/task").glob("*/children")]
    names = set()
    for pid in {pid for task in tasks for pid in task.read_text().split()}:
        with contextlib.suppress(OSError):
            name, _, rest = Path("/proc", pid, "stat").read_text().partition("(")[2].rpartition(")")
            names |= {name} if rest.split()[0] != "Z" else set()
    return not tasks or names >= _NODE_PROCESSES


def _fit(node: Resources, resources: Resources) -> int:
    shares = (
        (node.cpus, resources.cpus),
        (node.gpus, resources.gpus),
        (node.memory_mb, resources.memory_mb),
    )
    return min(math.floor(there / share + 1e-6) for there, share in shares if share)
