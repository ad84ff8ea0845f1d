"""One long source: how much faster two processors scan it than one.

    python benchmarks/long_source.py [--minutes 120] [--only N ...]

A video of dissolving, panning and noisy shots of 4 to 14 s, 426x240 at 25 frames/s, is made and
scanned with the default settings by one worker, held to one processor and then to two. Printed are
wall and CPU seconds, their ratios, and whether all rows are the same. Linux; run on an otherwise
idle machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_SCAN = """
import hashlib, json, os, resource, sys, time
from pathlib import Path
from curation.listing import entry_at
from curation.scan.stage import Scan, ScanItem
from pipelines.run.stage_setup import limit_threads
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: int(sys.argv[2])]))
limit_threads()
work = Scan().setup()
limit_threads()
start, before = time.perf_counter(), time.process_time()
result = work(ScanItem(entry_at(sys.argv[1], {})))
wall_s, cpu_s = time.perf_counter() - start, time.process_time() - before
children = resource.getrusage(resource.RUSAGE_CHILDREN)
rows = repr(sorted((n, t.to_pydict()) for n, t in result.side_rows.items()))
print(json.dumps({
    "wall_s": wall_s, "cpu_s": cpu_s + children.ru_utime + children.ru_stime,
    "clips": result.clips.num_rows, "outcome": result.source.outcome,
    "rows": hashlib.sha256((rows + repr(result.clips.to_pydict())).encode()).hexdigest(),
}))
"""


def make_video(path: Path, minutes: float) -> None:
    """Shots of several kinds, cut and dissolved, over and over."""
    from curation.media.ffmpeg_command import ffmpeg_path

    kinds = (
        "testsrc2=s=426x240:r=25:d={d}",
        "mandelbrot=s=426x240:r=25:end_pts=400,trim=duration={d}",
        "life=s=426x240:r=25:ratio=0.1:mold=10:life_color=#C83232:death_color=#3232C8,"
        "trim=duration={d}",
        "gradients=s=426x240:r=25:d={d}:speed=0.05,noise=alls=4:allf=t",
        "cellauto=s=426x240:r=25:rule=110,trim=duration={d}",
    )
    lengths = [4, 9, 14, 6, 11]
    graph = ";".join(
        f"{kind.format(d=length)},format=yuv420p,settb=1/25,setpts=PTS-STARTPTS[s{n}]"
        for n, (kind, length) in enumerate(zip(kinds, lengths, strict=True))
    )
    graph += (
        ";[s0][s1]xfade=duration=1:offset=3[a];[a][s2][s3]concat=n=3,settb=1/25[b];[b][s4]xfade="
    )
    graph += f"duration=0.6:offset={sum(lengths[:4]) - 1.6}[v]"
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "part.mp4")
        quiet = [ffmpeg_path(), "-v", "error", "-y"]
        encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "28"]
        subprocess.run([*quiet, "-filter_complex", graph, "-map", "[v]", *encode, part], check=True)
        loops = max(0, round(minutes * 60 / (sum(lengths) - 1.6)) - 1)
        subprocess.run(
            [*quiet, "-stream_loop", str(loops), "-i", part, "-c", "copy", path], check=True
        )


def scan(path: Path, processors: int) -> dict[str, object]:
    """What a scan on so many processors takes, and a digest of its rows."""
    ran = subprocess.run(
        [sys.executable, "-c", _SCAN, str(path), str(processors)], check=True, text=True,
        stdout=subprocess.PIPE, cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--only", type=int, nargs="+", default=[1, 2], help="processors")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.mp4")
        make_video(path, arguments.minutes)
        print(
            f"{path.stat().st_size / 1e6:.0f} MB, {hashlib.sha256(path.read_bytes()).hexdigest()}"
        )
        runs = {count: scan(path, count) for count in arguments.only}
        for count, run in runs.items():
            print(f"{count} processors: {run}", flush=True)
        if len(runs) > 1:
            one, most = runs[min(runs)], runs[max(runs)]
            assert one["rows"] == most["rows"], "rows differ"
            print(
                f"{float(str(one['wall_s'])) / float(str(most['wall_s'])):.2f} x as fast, same rows"
            )


if __name__ == "__main__":
    main()
