"""Reading a whole output for comparison, and running the command line on one."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from deltalake import DeltaTable

from curation.delta_table import arrow_dataset
from curation.storage import Storage

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "pipelines"]
QUICK = """
scan:
  shots:
    ContentChange: {}
tokenize:
  tokenizer: pca-8x8x8
execution:
  executor: ray
  workers: 2
  cpus: 2
  object_store_mb: 200
"""
"""A profile without a network to load, for runs whose point lies elsewhere."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(*arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(), cwd=ROOT, capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip


def tables(out: Path) -> dict[str, list[dict]]:
    """Every table's rows in a fixed order, but for what has clock times: `runs`, and `listed`."""
    found = {}
    for log in sorted(out.rglob("_delta_log")):
        name = str(log.parent.relative_to(out))
        if name != "runs":
            rows = (
                arrow_dataset(DeltaTable(str(log.parent)), Storage.at(out), name)
                .to_table()
                .to_pylist()
            )
            timeless = [{key: row[key] for key in row if key != "listed"} for row in rows]
            found[name] = sorted(timeless, key=repr)
    return found


def media(out: Path) -> dict[str, str]:
    """Digest of every rendered clip."""
    paths = sorted(out.glob("renders/*/media/*/*.mp4"))
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def versions(out: Path) -> dict[str, int]:
    """Version of every table: a commit of any kind raises one."""
    logs = sorted(out.rglob("_delta_log"))
    return {str(p.parent.relative_to(out)): DeltaTable(str(p.parent)).version() for p in logs}


def assert_same(out: Path, reference: Path) -> None:
    """Same tables, same rows, same clip bytes."""
    found, expected = tables(out), tables(reference)
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        assert len(found[name]) == len(rows), name
        assert found[name] == rows, name
    assert media(out) == media(reference)
