"""An executor on Ray Data: a pool of actors, each with the stage's models loaded once.

The address is always explicit: `local` starts a private Ray on this machine and stops it at the
end; anything else is a cluster to join. A bare `ray.init()` could join somebody else's.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.errors import InfrastructureError
from curation.stage import Item, Outcome, Resources, Stage, attempt
from pipelines.run.executor import ClusterError, ExecutorLostError, limit_threads, set_up_stage
from pipelines.run.storage_check import StorageMark

_SLICE = 2000
"""Items that are in Ray at a time."""

_QUEUED = 2
"""Items queued at an actor, including the one at work."""

_SPARE_CPUS = 0.5
"""Reserved for Ray Data's own tasks: nothing streams if actors hold every CPU."""

_CONNECT_S = 5.0


@dataclass(frozen=True)
class RayExecutor:
    """Pools of actors on a Ray cluster that has been joined."""

    workers: int = 0
    """Actors per stage; 0 for as many as fit into the cluster."""

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """See `Executor`."""
        pickled = [pickle.dumps(item) for item in items]
        for outcome in self.run_pickled(pickle.dumps(stage), stage.resources, pickled):
            yield pickle.loads(outcome)

    def run_pickled(
        self, stage: bytes, resources: Resources, items: Sequence[bytes]
    ) -> Iterator[bytes]:
        """As `run`, with all but the stage's resources pickled.

        Streams items through a pool of actors, a new pool for each slice. Every item of a slice is
        an object in Ray before the first one starts.
        """
        for start in range(0, len(items), _SLICE):
            yield from self._stream(stage, resources, items[start : start + _SLICE])

    def _stream(
        self, stage: bytes, resources: Resources, items: Sequence[bytes]
    ) -> Iterator[bytes]:
        import ray

        workers = min(self._count_workers(resources), len(items))
        mark = StorageMark.from_environment()

        class Worker(_Worker):
            def __init__(self) -> None:
                super().__init__(stage, mark)

        try:
            rows = ray.data.from_items(
                [{"item": item} for item in items], override_num_blocks=len(items)
            )
            with warnings.catch_warnings():  # there is no other way yet to limit retries
                warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
                stream = rows.map_batches(
                    Worker,
                    batch_size=1,
                    compute=ray.data.ActorPoolStrategy(
                        size=workers, max_tasks_in_flight_per_actor=_QUEUED
                    ),
                    num_cpus=resources.cpus,
                    num_gpus=resources.gpus or None,
                    memory=resources.memory_mb << 20,
                    max_restarts=2,
                    max_task_retries=2,
                )
            for row in stream.iter_rows():
                yield row["outcome"]
        except (ray.exceptions.RayError, RuntimeError) as error:
            raise ExecutorLostError(str(error), workers * (_QUEUED + 1)) from error

    def _count_workers(self, resources: Resources) -> int:
        """How many actors; raises `ClusterError` if the cluster has too few resources for them."""
        import ray

        try:
            total = ray.cluster_resources()
        except Exception as error:
            raise InfrastructureError(f"the Ray cluster was lost: {error}") from error
        cpus = total.get("CPU", 0) - _SPARE_CPUS
        memory_mb = total.get("memory", 0) / (1 << 20)
        capacity, name, available, share = min(
            (math.floor(available / share + 1e-6), name, available, share)
            for name, available, share in (
                (f"CPUs beside the {_SPARE_CPUS:g} for Ray Data", cpus, resources.cpus),
                ("GPUs", total.get("GPU", 0), resources.gpus),
                ("MB of memory", memory_mb, resources.memory_mb),
            )
            if share
        )
        workers = self.workers or max(capacity, 1)
        if workers > capacity:
            raise ClusterError(
                f"the cluster has {max(round(available, 1), 0):.10g} {name}: too few for"
                f" {workers} workers that take {share:.10g} each, enough for {max(capacity, 0)};"
                " set execution.workers"
            )
        return workers


class _Worker:
    """An actor: sets the stage up once, then returns outcomes of items and never raises."""

    def __init__(self, stage: bytes, mark: StorageMark | None) -> None:
        limit_threads()
        self._work = set_up_stage(pickle.loads(stage), mark.check if mark else None)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        outcomes = [attempt(self._work, pickle.loads(item)) for item in batch["item"]]
        return {"outcome": [pickle.dumps(outcome) for outcome in outcomes]}


@contextlib.contextmanager
def cluster(address: str = "local", *, cpus: int = 0, object_store_mb: int = 512) -> Iterator[None]:
    """Joins the cluster at an address, or starts one here for as long as the block lasts.

    `cpus` (0: all cores) is for `local` only. A private Ray listens on loopback, and makes its own
    token, as token authentication is always on; to join a cluster, give its token in
    `RAY_AUTH_TOKEN` or its usual file.

    Raises `ClusterError` if it cannot be joined: within seconds where nothing listens, after some
    20 s for a wrong token, and possibly after minutes where something other than Ray listens; and
    `InfrastructureError` if a private one does not start, as on a machine with too much to do. If a
    node process of Ray dies, native code ends this process up to a minute later: see `ray_process`.
    """
    _check_reachable(address)
    os.environ["RAY_AUTH_MODE"] = "token"  # Ray reads these once, when it is imported
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address == "local":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # The default of macOS and Windows, and the only way to listen on loopback alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray
    from ray.data import DataContext

    with contextlib.ExitStack() as stack:
        settings: dict[str, Any] = {"address": address, "log_to_driver": False}
        if address == "local":
            settings |= {
                "num_cpus": (cpus or os.cpu_count() or 1) + 1,
                "include_dashboard": False,
                "object_store_memory": object_store_mb << 20,
                "_temp_dir": stack.enter_context(reaped_folder()),
            }
        stack.callback(ray.shutdown)
        try:
            with _quiet_stderr(), _restored_signals():
                ray.init(**settings, configure_logging=False)
        except Exception as error:
            if address == "local" and not isinstance(error, ValueError):
                raise InfrastructureError(f"a private Ray does not start: {error}") from error
            raise _connection_error(address, error) from error
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        yield


@contextlib.contextmanager
def reaped_folder() -> Iterator[str]:
    """A folder for a private Ray; it and its processes end even if this process is killed."""
    parent = tempfile.gettempdir()
    if len(parent) >= 40:  # Ray's socket paths must stay under 107 bytes
        parent = "/tmp"
    folder = tempfile.mkdtemp(prefix="reelmill-ray-", dir=parent)
    command = [sys.executable, "-I", str(Path(__file__).with_name("reaper.py")), folder]
    reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield folder
    finally:
        reaper.communicate()


@contextlib.contextmanager
def _restored_signals() -> Iterator[None]:
    """Restores the signal handlers that Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silences Ray's native code, which prints its log level; errors are raised anyway."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


def _check_reachable(address: str) -> None:
    """Fails fast for a dead `host:port`, which Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
        except (OSError, OverflowError, UnicodeError) as error:
            raise _connection_error(address, error) from error


def _connection_error(address: str, error: Exception) -> ClusterError:
    if address == "local":
        return ClusterError(f"a private Ray cannot be started here: {error}")
    return ClusterError(
        f"cannot join the Ray cluster at {address}: {error}; check that it runs, that "
        "execution.address is its host:port, and that RAY_AUTH_TOKEN is its token"
    )
