"""The engine beside others: how busy it keeps an accelerator, and what it costs itself.

    python benchmarks/engine.py DIR [--rounds 3] [--only NAME ...]

Rows pass two stages that burn CPU and one that waits a fixed time for each batch, as an accelerator
would (`engine_work.py`), on as many processors as this machine has. Printed are medians of rounds
that take turns: `busy`, the share of the time from the first batch to the last in which the
accelerator works; `ideal`, the time from the first row to the last batch as a multiple of what the
accelerator needs alone; `loads`, how often each stage was set up; and `cost`, milliseconds of CPU
that a row takes where the stages do nothing, from runs of two lengths, all processes counted.

Other engines are installed below DIR the first time. Linux, root for the control group that counts
CPU seconds. Run on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import engine_work
import peers.engine
from curation.stage import Done, Resources
from engine_work import EMPTY, NOTES, STREAM, Notes, Work
from pipelines.run.engine import Engine
from pipelines.run.executor import Feed
from pipelines.run.ray_cluster import reaped_folder
from pipelines.run.ray_workers import RayWorkers
from race import CpuMeter

HERE = Path(__file__).parent
PORT = 6390
FEW = 400
"""Rows of the shorter of the two runs that show what a row costs."""


@dataclass(frozen=True)
class Row:
    """One row, or a batch of them."""

    key: str
    value: Any


@dataclass(frozen=True)
class WorkStage:
    """One of the three stages."""

    name: str
    work: Work
    resources: Resources

    def setup(self) -> Callable[[Row], Any]:
        """Notes that it was loaded."""
        engine_work.note(self.name)
        function = getattr(engine_work, self.name)
        return lambda row: function(self.work, row.value)


def run_ours(work: Work) -> list[int]:
    """On a Ray cluster with one accelerator."""
    with reaped_folder() as folder:
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
             "--port", str(PORT), "--node-ip-address", "127.0.0.1", "--num-gpus", "1",
             "--include-dashboard", "false", "--disable-usage-stats", "--temp-dir", folder],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            return _numbers(work)
        finally:
            head.terminate()
            head.wait()


def _numbers(work: Work) -> list[int]:
    shares = {"decode": Resources(0.6, 0, 1), "measure": Resources(0.3, 0, 1),
              "infer": Resources(0.1, 1, 1)}  # fmt: skip
    stages = {name: WorkStage(name, work, resources) for name, resources in shares.items()}
    decode = Feed.of(stages["decode"], (Row(str(n), n) for n in range(work.rows)))
    measured: deque[Any] = deque()

    def batches(is_last: bool) -> None:
        while len(measured) >= work.batch or (measured and is_last):
            batch = [measured.popleft() for _ in range(min(work.batch, len(measured)))]
            infer.items.append(Row(str(batch[0][:4]), batch))

    measure = Feed(stages["measure"], source=decode, count=work.rows)
    infer = Feed(stages["infer"], source=measure, refill=batches, count=work.rows)
    numbers: list[int] = []
    workers = RayWorkers(_reachable(f"127.0.0.1:{PORT}"))
    try:
        for feed, outcome in Engine(workers).run([decode, measure, infer]):
            assert isinstance(outcome, Done), outcome
            if feed is decode:
                measure.items.append(Row(outcome.key, outcome.value))
            elif feed is measure:
                measured.append(outcome.value)
            else:
                numbers += outcome.value
    finally:
        workers.close()
    return numbers


def _reachable(address: str) -> str:
    host, port = address.split(":")
    for _ in range(600):
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return address
    raise TimeoutError(address)


@dataclass(frozen=True)
class Run:
    """What one run took."""

    notes: Notes
    wall_s: float
    cpu_s: float


def measure(place: Path, engine: str, work_name: str, rows: int) -> Run:
    """One run in processes of its own; checks that every row came out once."""
    python, script = (
        (sys.executable, HERE / "engine.py")
        if engine == "ours"
        else (place / engine / "bin" / "python", HERE / "peers" / "engine.py")
    )
    token = {"RAY_AUTH_MODE": "disabled"}
    if engine == "ours":
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    paths = f"{HERE}{os.pathsep}{HERE.parent}" if engine == "ours" else str(HERE)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, NOTES: folder, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        meter, start = CpuMeter(), time.perf_counter()
        command = [str(python), str(script), engine, work_name, str(rows)]
        ran = subprocess.run(
            command, env=environment | token, capture_output=True, text=True, check=False,
            preexec_fn=meter.enter, timeout=900,
        )  # fmt: skip
        wall_s, cpu_s = time.perf_counter() - start, meter.close()
        if f"{rows} {rows * (rows - 1) // 2}" not in ran.stdout.splitlines():
            raise RuntimeError(f"{engine}: {ran.stdout[-500:]}{ran.stderr[-3000:]}")
        return Run(Notes.read(Path(folder)), wall_s, cpu_s)


def install(place: Path, engine: str) -> None:
    """Makes the environment of another engine, unless it is there."""
    if engine != "ours" and not (place / engine / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", place / engine], check=True)
        pip = [place / engine / "bin" / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *peers.engine.ENGINES[engine]], check=True)
        (place / engine / "ready").touch()


def compare(place: Path, engines: list[str], rounds: int) -> None:
    """Runs all engines in turns and prints the table."""
    for engine in engines:
        install(place, engine)
    runs: dict[str, list[tuple[Run, float]]] = {engine: [] for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            streamed = measure(place, engine, "STREAM", STREAM.rows)
            few, many = (measure(place, engine, "EMPTY", rows) for rows in (FEW, EMPTY.rows))
            cost_ms = 1e3 * (many.cpu_s - few.cpu_s) / (EMPTY.rows - FEW)
            runs[engine].append((streamed, cost_ms))
            print(json.dumps({
                "engine": engine, "busy": streamed.notes.busy_share, "run_s": streamed.notes.run_s,
                "wall_s": streamed.wall_s, "cpu_s": streamed.cpu_s, "cost_ms": cost_ms,
                "loads": streamed.notes.loads,
            }), flush=True)  # fmt: skip
    print("| engine | busy | × ideal | wall s | CPU s | cost, ms a row | loads |")
    print("|---|---|---|---|---|---|---|")
    for engine, measured in runs.items():
        figures = [
            (run.notes.busy_share, run.notes.run_s / STREAM.ideal_s, run.wall_s, run.cpu_s, cost_ms)
            for run, cost_ms in measured
        ]
        busy, ideal, wall_s, cpu_s, cost_ms = (
            statistics.median(column) for column in zip(*figures, strict=True)
        )
        loads = ", ".join(map(str, measured[-1][0].notes.loads.values()))
        print(f"| {engine} | {busy:.1%} | {ideal:.2f} | {wall_s:.1f} | {cpu_s:.1f} |"
              f" {cost_ms:.2f} | {loads} |")  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["ours"]:
        work = dataclasses.replace(getattr(engine_work, sys.argv[2]), rows=int(sys.argv[3]))
        from engine import run_ours as run  # so that workers find its classes by this name

        numbers = run(work)
        print(len(numbers), sum(numbers), flush=True)
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    engines = ["ours", *peers.engine.ENGINES]
    parser.add_argument("--only", nargs="+", choices=engines, default=engines)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    compare(arguments.folder, arguments.only, arguments.rounds)


if __name__ == "__main__":
    main()
