"""Running a stage on Ray Data: a pool of actors, each with the stage's models loaded once.

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
from curation.stage import Item, Outcome, Stage, attempt
from pipelines.run.executor import ClusterError, ExecutorLostError, limit_threads, set_up_stage
from pipelines.run.storage_check import StorageMark


@dataclass(frozen=True)
class RayExecutor:
    """Actor pools on a Ray cluster that has been joined."""

    workers: int = 0
    """Actors of a stage; 0 takes as many as the cluster has room for."""

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """Streams the items through a pool, one at a time each; a new pool for each slice.

        Every item of a slice is an object in Ray before the first one starts.
        """
        for at in range(0, len(items), _SLICE):
            yield from self._stream(stage, items[at : at + _SLICE])

    def _stream(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        import ray

        workers = min(self._fitting(stage), len(items))
        needs = stage.needs
        packed, mark = pickle.dumps(stage), StorageMark.from_environment()

        class Worker(_Worker):
            def __init__(self) -> None:
                super().__init__(packed, mark)

        try:
            rows = ray.data.from_items(
                [{"item": pickle.dumps(item)} for item in items], override_num_blocks=len(items)
            )
            with warnings.catch_warnings():  # the finite retries have no other way in yet
                warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
                stream = rows.map_batches(
                    Worker,
                    batch_size=1,
                    compute=ray.data.ActorPoolStrategy(
                        size=workers, max_tasks_in_flight_per_actor=_QUEUED
                    ),
                    num_cpus=needs.cpus,
                    num_gpus=needs.gpus or None,
                    memory=needs.memory_mb << 20,
                    max_restarts=2,
                    max_task_retries=2,
                )
            for row in stream.iter_rows():
                outcome: Outcome = pickle.loads(row["outcome"])
                yield outcome
        except (ray.exceptions.RayError, RuntimeError) as error:
            raise ExecutorLostError(str(error), workers * (_QUEUED + 1)) from error

    def _fitting(self, stage: Stage) -> int:
        """How many actors; raises `ClusterError` if the cluster has no room for what is asked."""
        import ray

        try:
            total = ray.cluster_resources()
        except Exception as error:
            raise InfrastructureError(f"the Ray cluster was lost: {error}") from error
        needs = stage.needs
        spare_cpus = total.get("CPU", 0) - _SPARE_CPUS
        memory_mb = total.get("memory", 0) / (1 << 20)
        room, short, has, each = min(
            (math.floor(has / each + 1e-6), name, has, each)
            for name, has, each in (
                (f"CPUs beside the {_SPARE_CPUS:g} for Ray Data", spare_cpus, needs.cpus),
                ("GPUs", total.get("GPU", 0), needs.gpus),
                ("MB of memory", memory_mb, needs.memory_mb),
            )
            if each
        )
        wanted = self.workers or max(room, 1)
        if wanted > room:
            asked = f"{wanted} workers that take {each:.10g} each"
            raise ClusterError(
                f"the cluster has {max(round(has, 1), 0):.10g} {short}: too few for {asked}, "
                f"enough for {max(room, 0)}; set execution.workers"
            )
        return wanted


_SLICE = 2000
"""Items that are in Ray at a time."""

_QUEUED = 2
"""Items that wait at an actor, the one at work included."""

_SPARE_CPUS = 0.5
"""Left over for Ray Data's own tasks: with every CPU held by actors nothing streams."""


class _Worker:
    """An actor: sets the stage up once, then turns items into outcomes and never raises."""

    def __init__(self, stage: bytes, mark: StorageMark | None) -> None:
        limit_threads()
        self._work = set_up_stage(pickle.loads(stage), mark.check if mark else None)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        outcomes = [attempt(self._work, pickle.loads(item)) for item in batch["item"]]
        return {"outcome": [pickle.dumps(outcome) for outcome in outcomes]}


@contextlib.contextmanager
def cluster(address: str = "local", *, cpus: int = 0, object_store_mb: int = 512) -> Iterator[None]:
    """Joins the cluster at an address, or starts one here for as long as the block lasts.

    `cpus` (0: all cores) counts only for `local`. Token authentication is on: a private Ray makes a
    token of its own; to join a cluster, give its token in `RAY_AUTH_TOKEN` or its usual file.

    Raises `ClusterError` if that fails: within seconds where nobody listens; Ray takes some 20 s to
    give up over a wrong token, and can take minutes where something other than Ray listens. Where
    the head of a joined cluster dies, Ray's native code ends this process about a minute later.
    """
    _check_reachable(address)
    _authenticate(address)
    import ray
    from ray.data import DataContext

    with contextlib.ExitStack() as stack:
        settings: dict[str, Any] = {"address": address, "log_to_driver": False}
        if address == "local":
            settings |= {
                "num_cpus": (cpus or os.cpu_count() or 1) + 1,
                "include_dashboard": False,
                "object_store_memory": object_store_mb << 20,
                "_temp_dir": stack.enter_context(_reaped_folder()),
            }
        stack.callback(ray.shutdown)
        try:
            with _quiet_stderr(), _kept_signals():
                ray.init(**settings, configure_logging=False)
        except Exception as error:
            raise _not_joined(address, error) from error
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        yield


@contextlib.contextmanager
def _reaped_folder() -> Iterator[str]:
    """A folder for a private Ray; it and what runs in it go, even if this process is killed."""
    folder = tempfile.mkdtemp(prefix="reelmill-ray-", dir=_short_temp())
    command = [sys.executable, "-I", str(Path(__file__).with_name("reaper.py")), folder]
    reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield folder
    finally:
        reaper.communicate()


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself; whoever handled it before goes on doing so."""
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
    """Ray's native code announces its log level here; what goes wrong it raises."""
    kept, silent = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)


def _check_reachable(address: str) -> None:
    """Ray itself knocks at a dead `host:port` for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        except (OSError, OverflowError, UnicodeError) as error:
            raise _not_joined(address, error) from error


_CONNECT_SECONDS = 5.0


def _not_joined(address: str, error: Exception) -> ClusterError:
    if address == "local":
        return ClusterError(f"a private Ray cannot be started here: {error}")
    return ClusterError(
        f"cannot join the Ray cluster at {address}: {error}; check that it runs, that "
        "execution.address is its host:port, and that RAY_AUTH_TOKEN is its token"
    )


def _authenticate(address: str) -> None:
    """Token authentication, on both sides; Ray reads this once, when it is imported."""
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address == "local":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _short_temp() -> str:
    """Ray's socket paths must stay under 107 bytes, so a long TMPDIR will not do."""
    place = tempfile.gettempdir()
    return place if len(place) < 40 else "/tmp"
