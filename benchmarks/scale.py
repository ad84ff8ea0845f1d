"""What each command costs on outputs of 10,000 to a million clips that `synthetic.py` writes.

    python benchmarks/scale.py [--clips N …] [--large] [--light] [--only NAME …] [--keep DIR]
                               [--json FILE] [--plot FILE.svg]

Each is run by itself, on the output as the steps before have left it. Printed are CPU seconds, wall
seconds, peak memory and bytes read; and the CPU seconds as a ratio to DuckDB reading the same
columns of the same tables once, in a process of its own as well. `why` is compared with a command
that reads one small table. `select` finds near-duplicates stored: `dedup.py` measures the search.
With several sizes a last table has how many times the CPU seconds of the smallest each size takes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.dataset import Dataset
from curation.records import Clip
from scale_commands import CHILDREN, COMMANDS, Command
from scale_plot import write_plot

SIZES = (10_000, 100_000, 1_000_000)
LARGE = 10_000_000


_LAUNCHER = """
import json, os, sys, time
log, *arguments = sys.argv[1:]
start = time.perf_counter()
child = os.fork()
if not child:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.execv(arguments[0], arguments)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
read = int(open(f"/proc/{child}/io").read().split()[1])
_, status, usage = os.wait4(child, 0)
print(json.dumps({"status": status, "cpu_s": usage.ru_utime + usage.ru_stime,
                  "wall_s": time.perf_counter() - start, "peak_mb": usage.ru_maxrss / 1024,
                  "read_mb": read / 1e6}))
"""
"""Runs a command: a small process, as the peak of what it starts is no less than its own."""


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    read_mb: float


def cost_of(arguments: list[str], log: Path) -> Cost:
    """Runs a process to its end; raises where it fails."""
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(log), *arguments]
    printed = subprocess.run(launcher, check=True, capture_output=True, text=True).stdout
    found = json.loads(printed)
    if found.pop("status"):
        raise SystemExit(f"{' '.join(arguments)} failed:\n{log.read_text()[-2000:]}")
    return Cost(**found)


def needed(only: list[str] | None) -> set[str]:
    """These commands, or all, and those that they are compared with."""
    names = {*(only or COMMANDS)}
    return names | {COMMANDS[name].beside for name in names} - {""}


def measure(out: Path, only: list[str] | None, say: Callable[[str], None]) -> dict[str, Any]:
    """The costs of these commands on one output, or of all, by name."""
    this = [sys.executable, __file__, "--child"]
    costs: dict[str, Any] = {}
    clip_id = ""
    for name, command in COMMANDS.items():
        if not clip_id:
            rows = Dataset(out).catalog.read("clips", Clip, ["clip_id"])
            clip_id = rows["clip_id"][len(rows) // 2].as_py()
            del rows
        if name not in needed(only):
            continue
        arguments = command.arguments(str(out), clip_id) or [*this, name, str(out)]
        cost = cost_of(arguments, out.parent / "log.txt")
        if name in CHILDREN and not command.title:
            continue
        costs[name] = {**vars(cost), **_ratio(command, name, cost, costs, out, this)}
        say(line(command.title, costs[name]))
    return costs


def _ratio(  # noqa: PLR0917
    command: Command, name: str, cost: Cost, costs: dict[str, Any], out: Path, this: list[str]
) -> dict[str, float]:
    if command.beside:
        return {"ratio": cost.cpu_s / costs[command.beside]["cpu_s"]}
    if not command.reads:
        return {}
    alike = [costs[n]["duckdb_cpu_s"] for n in costs if COMMANDS[n].reads is command.reads]
    if not alike:
        reading = cost_of([*this, f"read {name}", str(out)], out.parent / "log.txt")
        alike = [reading.cpu_s]
    return {"ratio": cost.cpu_s / alike[0], "duckdb_cpu_s": alike[0]}


HEADER = (
    "| | CPU s | wall s | peak MB | read MB | DuckDB, CPU s | ratio |\n"
    "|---|---:|---:|---:|---:|---:|---:|"
)


def line(title: str, cost: dict[str, Any]) -> str:
    """One line of the table."""
    duckdb = f"{cost['duckdb_cpu_s']:.1f}" if "duckdb_cpu_s" in cost else ""
    ratio = f"{cost['ratio']:.1f}" if "ratio" in cost else ""
    numbers = [f"{cost['cpu_s']:.1f}", f"{cost['wall_s']:.1f}", f"{cost['peak_mb']:.0f}",
               f"{cost['read_mb']:.0f}", duckdb, ratio]  # fmt: skip
    return f"| {title} | {' | '.join(numbers)} |"


def growth(found: dict[int, dict[str, Any]]) -> list[str]:
    """How many times the CPU seconds of the smallest size each takes."""
    sizes = sorted(found)
    lines = [f"| | {' | '.join(f'{size:,}' for size in sizes)} |", "|---|" + "---:|" * len(sizes)]
    for name, command in COMMANDS.items():
        if all(name in found[size] for size in sizes):
            first = found[sizes[0]][name]["cpu_s"]
            times = [f"{found[size][name]['cpu_s'] / first:.1f}" for size in sizes]
            lines.append(f"| {command.title} | {' | '.join(times)} |")
    return lines


def main() -> None:
    """Measures all sizes."""
    if sys.argv[1:2] == ["--child"]:
        CHILDREN[sys.argv[2]](sys.argv[3])
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--large", action="store_true", help=f"{LARGE:,} clips as well")
    parser.add_argument("--commits", type=int, help="commits of each table that a scan fills")
    parser.add_argument("--light", action="store_true", help="outputs without vectors")
    parser.add_argument("--only", nargs="*", choices=list(COMMANDS))
    parser.add_argument("--keep", type=Path, help="where outputs lie, and stay, for another run")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")  # as commands do
    found: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in [*arguments.clips, *([LARGE] if arguments.large else [])]:
            out = (arguments.keep or Path(folder)) / f"{size}" / "out"
            out.parent.mkdir(parents=True, exist_ok=True)
            if not (out / "sources").exists():
                script = str(Path(__file__).with_name("synthetic.py"))
                commits = ["--commits", str(arguments.commits)] if arguments.commits else []
                light = ["--light"] if arguments.light else []
                written = [sys.executable, script, str(out), "--clips", str(size), *commits, *light]
                cost_of(written, out.parent / "log.txt")
            print(f"\n{size:,} clips\n\n{HEADER}", flush=True)
            found[size] = measure(out, arguments.only, lambda text: print(text, flush=True))
            if arguments.json:
                arguments.json.write_text(json.dumps(found, indent=1))
    if len(found) > 1:
        print("\n" + "\n".join(growth(found)))
    if arguments.plot:
        write_plot(arguments.plot, found, {n: c.title for n, c in COMMANDS.items() if c.title})


if __name__ == "__main__":
    main()
