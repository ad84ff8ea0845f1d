"""A small job run step by step in another process, and what its tables hold."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

from curation.dataset import Dataset
from curation.delta_table import arrow_dataset
from curation.storage import storage_faults
from curation.table_rows import filter_rows
from tests.outputs import ROOT, environment

STEPS = ("scan", "select", "render", "caption", "tokenize", "index")
Rows = list[dict[str, object]]


class Worker:
    """A process that runs steps in forks of itself."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process
        self.fork: int | None = None
        """The fork that is running."""
        self.error = ""

    def __call__(self, step: str, job: tuple[str, str], **more: object) -> tuple[int, list[str]]:
        """Runs a step; status of the fork and the changes that it made, if they are counted.

        `more` are further keys of the request.
        """
        self.start(step, job, **more)
        return self.wait()

    def start(self, step: str, job: tuple[str, str], **more: object) -> None:
        """Starts a step."""
        videos, out = job
        request = {"step": step, "videos": videos, "out": out, **more}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def wait(self) -> tuple[int, list[str]]:
        """Status and changes of the step that was started; `error` is then what it raised."""
        while True:
            line = self._process.stdout.readline()
            assert line, "the worker ended"
            answer = json.loads(line)
            self.fork = answer.get("pid")
            if "status" in answer:
                self.error = answer.get("error", "")
                return answer["status"], answer["calls"]


@contextlib.contextmanager
def worker(**variables: str) -> Iterator[Worker]:
    """A worker, with further environment variables."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.crash_worker"], cwd=ROOT,
        env={**environment(), **variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    with process:
        yield Worker(process)
        process.stdin.close()


def rows_at(dataset: Dataset, name: str, version: int | None = None) -> Rows:
    """Rows of a table in a fixed order, without what clocks and chance decide."""
    table = dataset.catalog.open(name, version)
    with storage_faults(name):
        stored = arrow_dataset(table, dataset.catalog.storage, name)
        rows = filter_rows(stored, stored.schema.names).to_pylist()
    changing = ("listed", "started", "seconds", "run_id", "cpu_seconds")
    return sorted(({k: r[k] for k in r if k not in changing} for r in rows), key=repr)


def table_versions(dataset: Dataset) -> dict[str, int]:
    """Version of each table that exists."""
    catalog = dataset.catalog
    return {name: catalog.version(name) for name in catalog.table_names()}
