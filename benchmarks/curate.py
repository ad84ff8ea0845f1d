"""What curation costs, beside one bare ffmpeg decode of the same folder in the same run.

    python benchmarks/curate.py FOLDER [--json FILE] [--set KEY=VALUE ...] [--in-process]

Prints source seconds per wall second, CPU seconds per source second by stage, and peak memory, and
the same for the decode, as ratios. Without `--set` that is the default profile, whose tokenizer is
a network: `--set tokenizer=pca-8x8x8` measures the small one. Run on an otherwise idle machine;
trust the ratios. Memory is read from /proc, so Linux alone has it; elsewhere it is 0.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.dataset import Dataset
from curation.media.ffmpeg_command import ffmpeg_path

_EVERY_S = 2.0
"""Seconds between samples of memory; each walks all page tables, which slows what is measured."""


class PeakMemory:
    """Samples the memory of a process and all its descendants, shared pages counted once."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._root = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._stop.is_set():
            total = sum(map(proportional_kb, process_tree(self._root)))
            self.peak_mb = max(self.peak_mb, total / 2**10)
            self._stop.wait(_EVERY_S)

    def stop(self) -> float:
        self._stop.set()
        self._thread.join()
        return round(self.peak_mb)


def process_tree(pid: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            for child in children.read_text().split():
                yield from process_tree(int(child))


def proportional_kb(pid: int) -> int:
    """Memory of one process in KiB, its part of shared pages; 0 if it ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def timed(command: list[str]) -> tuple[float, float, float, int]:
    """Wall seconds, CPU seconds, peak MiB and exit code of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    memory = PeakMemory(process.pid)
    code = process.wait()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, memory.stop(), code


def decode(paths: list[str]) -> dict[str, float]:
    """One bare decode of every source that could be scanned, one after the other."""
    wall = cpu = peak = 0.0
    for path in paths:
        command = [ffmpeg_path(), "-nostdin", "-v", "quiet", "-threads", "1", "-i", f"file:{path}",
                   "-map", "0:V:0", "-f", "null", "-"]  # fmt: skip
        one_wall, one_cpu, one_peak, _ = timed(command)
        wall, cpu, peak = wall + one_wall, cpu + one_cpu, max(peak, one_peak)
    return {"wall_s": wall, "cpu_s": cpu, "peak_mb": peak}


def measure(folder: str, extra: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="reelmill-benchmark-") as out:
        command = [sys.executable, "-m", "pipelines", "curate", folder, "--out", out, *extra]
        wall, _, peak, code = timed(command)
        if code not in (0, 3):
            raise SystemExit(f"curate ended with exit code {code}")
        dataset = Dataset(out)
        sources = [s for s in dataset.sources().to_pylist() if s["outcome"] == "scanned"]
        seconds = sum(s["duration_s"] for s in sources)
        stages = {r["step"]: {"wall_s": r["seconds"], **json.loads(r["cpu_seconds"])}
                  for r in dataset.runs().to_pylist()}  # fmt: skip
        kept = dataset.clips("kept").num_rows
    bare = decode([s["uri"] for s in sources])
    parts: Counter[str] = Counter()
    for stage in stages.values():
        parts.update({k: v for k, v in stage.items() if k != "wall_s"})
    return {
        "sources": len(sources),
        "source_s": round(seconds, 1),
        "kept_clips": kept,
        "wall_s": round(wall, 1),
        "source_s_per_wall_s": round(seconds / wall, 2),
        "peak_mb": peak,
        "stage_wall_s": {name: stage["wall_s"] for name, stage in stages.items()},
        "cpu_s_per_source_s": {name: round(s / seconds, 4) for name, s in parts.items()},
        "bare_decode": {
            "source_s_per_wall_s": round(seconds / bare["wall_s"], 2),
            "cpu_s_per_source_s": round(bare["cpu_s"] / seconds, 4),
            "peak_mb": bare["peak_mb"],
        },
        "cpu_ratio_to_bare_decode": {
            "all": round(sum(parts.values()) / bare["cpu_s"], 2),
            **{name: round(s / bare["cpu_s"], 2) for name, s in parts.items()},
        },
    }


def show(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(name)
            for key, figure in value.items():
                print(f"    {key:<24}{figure:>10}")
        else:
            print(f"{name:<28}{value:>10}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--in-process", action="store_true", help="no Ray: one worker")
    arguments = parser.parse_args()
    changes = [word for change in arguments.set for word in ("--set", change)]
    if arguments.in_process:
        changes += ["--set", "execution.executor=in_process"]
    found = measure(arguments.folder, changes)
    show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
