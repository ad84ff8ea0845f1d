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
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.stage import Item, Outcome, Stage, attempt
from pipelines.executor import ClusterError, ExecutorLostError, one_thread_each, set_up


@dataclass(frozen=True)
class OnRay:
    """Actor pools on a Ray cluster that has been joined."""

    workers: int = 0
    """Actors of a stage; 0 takes as many as the cluster has room for."""

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """Streams the items through the pool, one at a time each."""
        import ray

        workers = self._fitting(stage, len(items))
        rows = [{"item": pickle.dumps(item)} for item in items]
        needs = stage.needs
        packed = pickle.dumps(stage)

        class Worker(_Worker):
            def __init__(self) -> None:
                super().__init__(packed)

        with warnings.catch_warnings():  # the finite retries have no other way in yet
            warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
            stream = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                Worker,
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(
                    size=workers, max_tasks_in_flight_per_actor=_QUEUED
                ),
                num_cpus=needs.cpus,
                num_gpus=needs.gpus or None,
                max_restarts=2,
                max_task_retries=2,
            )
        try:
            for row in stream.iter_rows():
                outcome: Outcome = pickle.loads(row["outcome"])
                yield outcome
        except (ray.exceptions.RayError, RuntimeError) as error:
            raise ExecutorLostError(str(error), workers * (_QUEUED + 1)) from error

    def _fitting(self, stage: Stage, items: int) -> int:
        """How many actors; raises `ClusterError` if the cluster has no room for what is asked."""
        import ray

        total = ray.cluster_resources()
        needs = stage.needs
        room = math.floor((total.get("CPU", 0) - _SPARE_CPUS) / needs.cpus + 1e-6)
        if needs.gpus:
            room = min(room, math.floor(total.get("GPU", 0) / needs.gpus + 1e-6))
        wanted = self.workers or room
        if wanted > room or room < 1:
            asked = f"{wanted or 1} workers of {needs.cpus:g} CPUs and {needs.gpus:g} GPUs"
            raise ClusterError(
                f"the cluster has {total.get('CPU', 0):g} CPUs and {total.get('GPU', 0):g} GPUs, "
                f"too few for {asked} with {_SPARE_CPUS:g} CPU to spare; set execution.workers"
            )
        return min(wanted, items)


_QUEUED = 2
"""Items that wait at an actor, the one at work included."""

_SPARE_CPUS = 0.5
"""Left over for Ray Data's own tasks: with every CPU held by actors nothing streams."""


class _Worker:
    """An actor: sets the stage up once, then turns items into outcomes and never raises."""

    def __init__(self, stage: bytes) -> None:
        one_thread_each()
        self._work = set_up(pickle.loads(stage))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        outcomes = [attempt(self._work, pickle.loads(item)) for item in batch["item"]]
        return {"outcome": [pickle.dumps(outcome) for outcome in outcomes]}


@contextlib.contextmanager
def cluster(address: str = "local", *, cpus: int = 0, object_store_mb: int = 512) -> Iterator[None]:
    """Joins the cluster at an address, or starts one here for as long as the block lasts.

    `cpus` (0: all cores) counts only for `local`. Token authentication is on: a private Ray makes a
    token of its own; to join a cluster, give its token in `RAY_AUTH_TOKEN` or its usual file.
    """
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
        with _quiet_stderr(), _kept_signals():
            ray.init(**settings, configure_logging=False)
        stack.callback(ray.shutdown)
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
    yield
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
