"""Memory of the driver while it commits the outcomes of a step: it must not grow with their number.

    python benchmarks/driver_memory.py [--outcomes 10000 1000000]

The ledgers of scan, render and tokenize commit synthetic outcomes through `run_step`, each number
in a process of its own. The work list makes its items as they are asked for, and an executor in the
same process gives each the outcome that a worker would have sent. Files are merged as in any run.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import pickle
import resource
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from curation import records
from curation.dataset import Dataset
from curation.listing import Entry
from curation.records import Clip, Render, Source, TokenizedClip
from curation.render.rendered_clip import RenderedClip
from curation.render.stage import RenderBatch, RenderClips
from curation.render.step import RenderStep
from curation.scan.shots import ContentChange
from curation.scan.sources import source_row
from curation.scan.stage import Scan, ScanItem, ScanResult
from curation.scan.step import ScanStep
from curation.stage import Done, Outcome
from curation.step import Step
from pipelines.run.executor import Feed
from pipelines.run.step_runner import Progress, run_step
from tokenizer.tokenize.shards import TokenWindow, write_shard
from tokenizer.tokenize.stage import ClipBatch, Tokenize, TokenizedBatch
from tokenizer.tokenize.step import TokenizeStep

STEPS = ("scan", "render", "tokenize")
_CLIPS = {"scan": 1, "render": 8, "tokenize": 32}
"""Outcomes of an item: sources, or clips."""


def digest(number: int) -> str:
    """An id by a number."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def filled(record: type, **values: Any) -> Any:
    """A record with these values, and one of its type in each other field that has no default."""
    return dataclasses.replace(template(record), **values)


@cache
def template(record: type) -> Any:
    """The same without values of its own."""
    hints, values = typing.get_type_hints(record), {}
    default = {str: "word", int: 1, float: 0.5, bool: True, bytes: bytes(300)}
    for field in dataclasses.fields(record):
        if field.default is dataclasses.MISSING:
            kind = (typing.get_args(hints[field.name]) or (hints[field.name],))[0]
            values[field.name] = default[kind]
    return record(**values)


@dataclass(frozen=True)
class LazyList(Sequence[Any]):
    """A work list that makes its items as they are asked for."""

    make: Callable[[int], Any]
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        chosen = self.numbers[index]
        if isinstance(chosen, range):
            return [self.make(number) for number in chosen]
        return self.make(chosen)


@dataclass(frozen=True)
class Instant:
    """An executor that has each outcome at once, as large as one that a worker has sent."""

    result: Callable[[Any], Any]

    def run(self, feeds: Sequence[Feed]) -> Iterator[tuple[Feed, Outcome]]:
        """See `Executor`."""
        for feed in feeds:
            while feed.fill(is_last=True):
                item: Any = feed.items.popleft()
                yield feed, Done(item.key, self.result(item), 0.0)


def of_scan(dataset: Dataset, items: int) -> tuple[Step, Callable[[Any], Any]]:
    """Sources of one clip each."""
    stage = Scan(shots=ContentChange(), scores=())

    @dataclass(frozen=True)
    class Synthetic(ScanStep):
        def todo(self) -> Any:
            return LazyList(lambda n: ScanItem(Entry(f"/videos/{n}.mp4", n, "then")), range(items))

    sides = {name: records.to_table(r, [filled(r)]) for name, r in stage.side_tables.items()}
    rows = pickle.dumps((records.to_table(Clip, [filled(Clip)]), sides))

    def result(item: ScanItem) -> ScanResult:
        source_id = digest(item.entry.size_bytes)
        source = source_row(item.entry, "scanned", source_id=source_id, clips=1)
        return ScanResult(source, *pickle.loads(rows), {})

    return Synthetic(dataset.catalog, stage, []), result


def of_render(dataset: Dataset, items: int) -> tuple[Step, Callable[[Any], Any]]:
    """Batches of eight clips."""

    def batch(number: int) -> RenderBatch:
        source = filled(Source, source_id=digest(number))
        clips = [digest(number * 8 + at)[:32] for at in range(8)]
        return RenderBatch(source, tuple(filled(Clip, clip_id=clip) for clip in clips))

    @dataclass(frozen=True)
    class Synthetic(RenderStep):
        def todo(self) -> Any:
            return LazyList(batch, range(items))

    def result(item: RenderBatch) -> list[Render]:
        return [
            filled(Render, clip_id=clip.clip_id, outcome="rendered", path=f"renders/{clip.clip_id}")
            for clip in item.clips
        ]

    return Synthetic(dataset, RenderClips(output=dataset.catalog.storage.root), "all"), result


def of_tokenize(dataset: Dataset, items: int) -> tuple[Step, Callable[[Any], Any]]:
    """Batches of 32 clips, whose shards are written."""
    storage = dataset.catalog.storage

    def batch(number: int) -> ClipBatch:
        clips = [digest(number * 32 + at)[:32] for at in range(32)]
        rendered = tuple(filled(RenderedClip, clip_id=clip) for clip in clips)
        return ClipBatch(f"{number}", rendered, storage, step.tokens, ())

    @dataclass(frozen=True)
    class Synthetic(TokenizeStep):
        def todo(self) -> Any:
            return LazyList(batch, range(items))

    def result(item: ClipBatch) -> TokenizedBatch:
        windows = [filled(TokenWindow, clip_id=clip.clip_id) for clip in item.clips]
        shard = write_shard(windows, storage, item.directory, {"tokenizer": "synthetic"})
        clips = [
            TokenizedClip(clip.clip_id, "source", "tokenized", windows=1) for clip in item.clips
        ]
        return TokenizedBatch(shard, clips)

    stage = Tokenize(tokenizer="pca-8x8x8")
    step = Synthetic(dataset, stage, "all", renders="renders/encode-00000000")
    return step, result


def measure(name: str, outcomes: int) -> None:
    """Commits the outcomes of one step and prints what it took."""
    with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
        make = {"scan": of_scan, "render": of_render, "tokenize": of_tokenize}[name]
        step, result = make(Dataset(folder), max(1, outcomes // _CLIPS[name]))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, progress = time.process_time(), Progress()
        run_step(step, Instant(result), progress)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        files = len(step.catalog.files(step.result))
        print(
            f"{name:9} {progress.done:>9,} outcomes: peak {peak / 1024:,.0f} MB, of which"
            f" {(peak - before) / 1024:,.0f} MB since the start; {files} files of {step.result};"
            f" {time.process_time() - start:.0f} s of CPU",
            flush=True,
        )


def main() -> None:
    """Prints a line for each step and number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--outcomes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--step", choices=STEPS, help="this one alone, in this process")
    arguments = parser.parse_args()
    for name in [arguments.step] if arguments.step else STEPS:
        for outcomes in arguments.outcomes:
            if arguments.step:
                measure(name, outcomes)
            else:
                options = ["--step", name, "--outcomes", str(outcomes)]
                subprocess.run([sys.executable, __file__, *options], check=True)


if __name__ == "__main__":
    main()
