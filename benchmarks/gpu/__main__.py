"""The stages on a GPU that need one, in one command of a few minutes.

    python -m benchmarks.gpu KIT RESULTS [--device cuda] [--minutes 8] [--stages train,tokens]
    python -m benchmarks.gpu KIT RESULTS --device cpu --quick

Each stage is a process with a time limit of its own, so that one that hangs or fails costs only
itself, and what it had reported stays. RESULTS gets `results.json`, `table.md`, `log.txt` and the
weights; the same command goes on where it was stopped: finished stages are not repeated, and
training resumes from its checkpoint in `--work`. `docs/gpu.md` says what each stage measures.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu.kit import Kit
from benchmarks.gpu.stage import Stage

LIMITS_S = {
    "train": 255, "tokens": 80, "feed": 40, "tests": 45, "dedup": 40, "shots": 20, "embed": 25,
    "caption": 25,
}  # fmt: skip
"""Seconds that a stage may take, the most valuable stage first."""
CPU_PATIENCE = 20
"""How many times as long a stage may take without a GPU, since its cores are fewer and slower."""
ROOT = Path(__file__).parents[2]


def run_stage(asked: argparse.Namespace) -> None:
    """Runs one stage in this process."""
    kit = Kit.read(asked.kit)
    if asked.quick:
        kit = kit.first(2)
    kit.install(asked.work / "site")
    deadline = time.monotonic() + asked.limit
    file = asked.work / f"{asked.stage}.json"
    stage = Stage(kit, asked.device, asked.quick, asked.work, asked.results, deadline, file)
    importlib.import_module(f"benchmarks.gpu.{asked.stage}").measure(stage)
    if stage.failures:
        raise SystemExit(f"{stage.failures} of the stage's measurements failed")


def child(asked: argparse.Namespace, name: str, limit: float) -> dict[str, Any]:
    """Runs one stage in a process group of its own, and says how it ended."""
    file = asked.work / f"{name}.json"
    file.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "benchmarks.gpu", str(asked.kit), str(asked.results),
        "--work", str(asked.work), "--device", asked.device, "--stage", name,
        "--limit", str(limit - 5), *(["--quick"] if asked.quick else []),
    ]  # fmt: skip
    start = time.monotonic()
    with (asked.results / "log.txt").open("a") as log:
        print(f"== {name}", file=log, flush=True)
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    outcome = (
        "stopped at its limit" if code is None else "done" if code == 0 else f"failed ({code})"
    )
    figures = json.loads(file.read_text()) if file.exists() else {}
    seconds = round(time.monotonic() - start, 1)
    return {"outcome": outcome, "seconds": seconds, "figures": figures}


def machine(device: str) -> dict[str, Any]:
    import numpy
    import torch

    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else "none used"
    return {
        "gpu": gpu, "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(),
        "torch": torch.__version__, "numpy": numpy.__version__,
    }  # fmt: skip


def run(asked: argparse.Namespace) -> int:
    asked.results.mkdir(parents=True, exist_ok=True)
    asked.work.mkdir(parents=True, exist_ok=True)
    key = {"device": asked.device, "quick": asked.quick, "kit": Kit.read(asked.kit).digest}
    path = asked.results / "results.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if found.get("settings") != key:
        found = {"settings": key, "machine": machine(asked.device), "stages": {}}
    end = time.monotonic() + 60 * asked.minutes
    names = asked.stages.split(",") if asked.stages else list(LIMITS_S)
    for name in names:
        if found["stages"].get(name, {}).get("outcome") == "done":
            print(f"{name}: done before", flush=True)
            continue
        patience = 1 if asked.device.startswith("cuda") else CPU_PATIENCE
        limit = min(LIMITS_S[name] * patience, end - time.monotonic())
        if limit < 10:
            print(f"{name}: no time left; run the same command again", flush=True)
            continue
        found["stages"][name] = child(asked, name, limit)
        print(f"{name}: {found['stages'][name]['outcome']}", flush=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(found, indent=1))
        os.replace(temporary, path)
        (asked.results / "table.md").write_text("\n".join(table(found)) + "\n")
    print("\n".join(table(found)))
    return 0 if all(found["stages"].get(n, {}).get("outcome") == "done" for n in names) else 1


def table(found: dict[str, Any]) -> Iterator[str]:
    """All figures as a table of Markdown."""
    yield ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    yield "\n| stage | figure | value |\n|---|---|---|"
    for name, stage in found["stages"].items():
        yield f"| {name} | outcome, seconds | {stage['outcome']}, {stage['seconds']} |"
        for figure, value in flat(stage["figures"]):
            yield f"| {name} | {figure} | {value} |"


def flat(figures: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from ((f"{name}: {key}", deep) for key, deep in flat(value))
        else:
            yield name, value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kit", type=Path, help="what `python -m benchmarks.gpu.pack` made")
    parser.add_argument("results", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; shows that all runs")
    parser.add_argument("--minutes", type=float, help="of all stages together; 8 on a GPU")
    parser.add_argument("--stages", help=f"some of {','.join(LIMITS_S)}")
    parser.add_argument("--work", type=Path, help="folder of checkpoints and temporary models")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.minutes = asked.minutes or (8.0 if asked.device.startswith("cuda") else 60.0)
    asked.kit, asked.results = asked.kit.resolve(), asked.results.resolve()
    default = Path(tempfile.gettempdir()) / f"reelmill-gpu-{Kit.read(asked.kit).digest}"
    asked.work = (asked.work or default).resolve()
    if asked.stage:
        run_stage(asked)
    else:
        raise SystemExit(run(asked))


if __name__ == "__main__":
    main()
