"""An executor on processes of this machine, for jobs that are too small to start a cluster for."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import loky
from loky.process_executor import ProcessPoolExecutor

from curation.stage import Item, Outcome, Resources, Stage, attempt
from pipelines.run.executor import ExecutorLostError, limit_threads, set_up_stage
from pipelines.run.startup import leave_out_pandas

_PR_SET_PDEATHSIG = 1


@dataclass
class LocalExecutor:
    """A pool of processes, each with the models of the stage that it last worked on."""

    workers: int = 0
    """Processes; 0 for as many as the cores and the memory of this machine allow."""
    cpus: int = 0
    """Cores to use; 0 for all that this process may use."""
    _pool: ProcessPoolExecutor | None = field(default=None, repr=False)
    _size: int = 0

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """See `Executor`; items start in order."""
        workers = min(self.workers or self._count_workers(stage.resources), len(items))
        pool, pickled_stage = self._open(workers), pickle.dumps(stage)
        waiting = iter(items)
        running: set[Future[Outcome]] = set()
        try:
            while True:
                for item in itertools.islice(waiting, workers - len(running)):
                    running.add(pool.submit(_attempt, pickled_stage, item))
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            self.close()
            raise ExecutorLostError(str(error), workers) from error

    def close(self) -> None:
        """Ends the processes, whatever they are doing."""
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)
            self._pool = None

    def _open(self, workers: int) -> ProcessPoolExecutor:
        if self._size < workers:
            self.close()
        if self._pool is None:
            self._size = workers
            self._pool = ProcessPoolExecutor(
                workers, initializer=_start_worker, initargs=(os.getpid(),)
            )
        return self._pool

    def _count_workers(self, resources: Resources) -> int:
        cpus = self.cpus or loky.cpu_count()
        memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
        return int(max(1, min(cpus / resources.cpus, memory_mb / (resources.memory_mb or 1))))


def _start_worker(parent: int) -> None:
    """Runs first in a worker: it ends with its parent, and leaves Ctrl-C to it."""
    leave_out_pandas()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@functools.lru_cache(1)
def _set_up(pickled_stage: bytes) -> Callable[[Any], Any]:
    limit_threads()
    return set_up_stage(pickle.loads(pickled_stage))


def _attempt(pickled_stage: bytes, item: Item) -> Outcome:
    return attempt(_set_up(pickled_stage), item)
