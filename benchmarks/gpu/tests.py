"""Stage: the tests that need a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.stage import Stage

FILE = "tests/test_gpu.py"


def measure(stage: Stage) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", FILE]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
        timeout=max(1, stage.seconds_left),
    )  # fmt: skip
    print(done.stdout, done.stderr, flush=True)
    lines = done.stdout.strip().splitlines()
    stage.report(result=lines[-1] if lines else done.stderr[-200:])
    if done.returncode:
        raise SystemExit(done.returncode)
