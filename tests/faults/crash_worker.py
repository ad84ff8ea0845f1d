"""Runs steps of a small job, each in a fork of this process: what is imported once is paid once.

A request is a line of JSON on stdin: `step`, `videos`, `out`; maybe `settings`, `retry` and
`environment`; and maybe `count`, a folder whose changes are counted, with `kill_before`, the change
before which the fork is killed. The answers on stdout are the process id of the fork, and when it
has ended its status, its error and its changes.
"""

from __future__ import annotations

import json
import os
import select
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from curation.dataset import Dataset
from curation.errors import ReelmillError
from curation.garbage import LEAST_S, collect_garbage
from curation.listing import list_videos
from curation.search.update import update
from pipelines import config
from pipelines.run.engine import in_process
from pipelines.run.pipeline import Pipeline
from tests.faults.storage_operations import run_counted

SETTINGS = (
    "scan.shots={ContentChange: {}}", "scan.scores=[Motion]",
    "render.encoding.longest_side=64", "tokenizer=pca-8x8x8", "tokenize.short_side=32",
)  # fmt: skip


def run_step(  # noqa: PLR0917
    environment: dict[str, str], step: str, videos: str, out: str, more: Sequence[str],
    retry: Sequence[str],
) -> None:  # fmt: skip
    """One step, planned and committed as by the command line, in this process."""
    os.environ.update(environment)
    if "FAKETIME" in os.environ:  # which fails now and then to sleep until a time (EINVAL)
        time.sleep = partial(select.select, (), (), ())
    tempfile.tempdir = None
    profile = config.load(overrides=[*SETTINGS, *more])
    pipeline = Pipeline(Dataset(out), profile, in_process(), retry=frozenset(retry))
    if step == "index":
        update(Dataset(out), set())
    elif step == "compact":
        catalog = Dataset(out).catalog
        for name in catalog.table_names():
            catalog.compact(name)
    elif step == "gc":  # in a month
        now_ns = time.time_ns() + 30 * 86_400 * 10**9
        for _ in collect_garbage(Dataset(out).catalog, LEAST_S, delete=True, now_ns=now_ns):
            pass
    elif step == "select":
        pipeline.select()
    else:
        listing = list_videos([videos]) if step == "scan" else None
        pipeline.run(step, listing=listing)


def run_forked(work: Callable[[], None], announce: Callable[[int], None]) -> tuple[int, str]:
    """Runs work in a fork; returns its status and the error that it raised, or nothing."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setsid()
            work()
            status = 0
        except ReelmillError as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        except BaseException:
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(writer)
    announce(pid)
    with open(reader, encoding="utf-8", errors="replace") as pipe:
        message = pipe.read()
    return os.waitpid(pid, 0)[1], message


def main() -> None:
    def answer(**values: Any) -> None:
        print(json.dumps(values), flush=True)

    for line in sys.stdin:
        request = json.loads(line)
        environment = request.get("environment", {})
        work = partial(
            run_step, environment, request["step"], request["videos"], request["out"],
            request.get("settings", ()), request.get("retry", ()),
        )  # fmt: skip
        if request.get("count"):
            done = run_counted(work, request["count"], request.get("kill_before"))
            answer(status=done.status, calls=done.calls)
        else:
            status, message = run_forked(work, lambda pid: answer(pid=pid))
            answer(status=status, calls=[], error=message)


if __name__ == "__main__":
    main()
