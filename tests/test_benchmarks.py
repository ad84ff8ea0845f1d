"""Benchmarks run after `make demo`, which installs no more than Reelmill needs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
OURS = {"benchmarks", "curation", "pipelines", "tokenizer", "truth"}
INSTALLED = {"PIL", "av", "duckdb", "faiss", "numpy", "pyarrow", "torch", "yaml"}
"""Packages that are dependencies themselves; those that the README has everybody run import these
alone."""


@pytest.mark.parametrize("name", ["curate.py", "quality.py"])
def test_a_benchmark_needs_only_what_reelmill_needs(name):
    imported = set()
    for node in ast.walk(ast.parse((FOLDER / name).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    assert imported - OURS - INSTALLED - sys.stdlib_module_names == set()


def test_what_a_command_is_compared_with_is_measured_too(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    needed = importlib.import_module("scale").needed
    assert needed(["why"]) == {"why", "start"}
    assert needed(["select"]) == {"select"}
    assert {"start", "why", "select", "renders"} <= needed(None)


@pytest.mark.ray
def test_the_engine_gives_every_row_once_in_whole_batches(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(FOLDER))
    run = importlib.import_module("engine").measure(tmp_path, "ours", "STREAM", 64)
    assert len(run.notes.spans["decode"]) == 64
    assert len(run.notes.spans["infer"]) == 8
    assert run.notes.loads["infer"] == 1
    assert 0 < run.notes.busy_share <= 1


@pytest.mark.slow
@pytest.mark.parametrize("step", ["scan", "render", "tokenize"])
def test_the_drivers_memory_is_measured(step):
    command = [sys.executable, FOLDER / "driver_memory.py", "--step", step, "--outcomes", "64"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert " 64 outcomes: peak " in done.stdout
