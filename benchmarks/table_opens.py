"""How many Delta tables each step opens, in a first run and in one that finds nothing to do.

    python benchmarks/table_opens.py [VIDEO ...]

Without a video one of the sample's sources is curated, in this process, into a temporary folder.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from deltalake import DeltaTable

from curation import sample
from curation.dataset import Dataset
from curation.listing import list_videos
from curation.steps import STEPS
from pipelines import config
from pipelines.run.pipeline import Pipeline

_opened: Counter[str] = Counter()


def count_opens() -> None:
    """Counts each table that is opened from now on."""
    original = DeltaTable.__init__

    def opened(self: DeltaTable, table_uri: str, *args: object, **options: object) -> None:
        _opened[str(table_uri).rstrip("/").rsplit("/", 1)[-1]] += 1
        original(self, table_uri, *args, **options)  # type: ignore[arg-type]

    DeltaTable.__init__ = opened  # type: ignore[method-assign]


def opens_by_step(videos: list[str], out: str) -> dict[str, int]:
    """Runs all steps over an output."""
    profile = config.load(
        None,
        [
            "executor=in_process",
            "scan.shots=ContentChange",
            "motion.min=null",
            "sharpness.min=null",
        ],
    )
    counts = {}
    for step in STEPS:
        pipeline = Pipeline(Dataset(out), profile)
        before = _opened.total()
        if step == "select":
            pipeline.select()
        else:
            inputs = list_videos(videos, exclude=out) if step == "scan" else None
            pipeline.run(step, listing=inputs)
        counts[step] = _opened.total() - before
    return counts


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="*")
    arguments = parser.parse_args()
    count_opens()
    with tempfile.TemporaryDirectory() as folder:
        videos = arguments.videos
        if not videos:
            sample.write_sample(Path(folder, "videos"))
            videos = [next(str(p) for p in sorted(Path(folder, "videos").glob("*.mp4")))]
        out = f"{folder}/out"
        first, again = (opens_by_step(videos, out) for _ in range(2))
    print("step       first run  nothing to do")
    for step in STEPS:
        print(f"{step:10} {first[step]:9}  {again[step]:13}")


if __name__ == "__main__":
    main()
