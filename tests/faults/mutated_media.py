"""Scans mutated files and judges what the scan says of each.

A file is passed off as fine if the scan accepts it without a remark although an independent
decode with all checks reports damage, or gives other frames than the file before its mutation. Of
the latter, `other pixels` are counted apart: damage inside coded pictures that decodes into as many
frames at the same times, without an error. No container here has checksums of its content, so no
reader can notice it.

`python -m tests.faults.mutated_media SEEDS` prints the table of that many batches.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from curation import records
from curation.dataset import Dataset
from curation.media.ffmpeg_command import ffmpeg_path
from curation.records import Source
from pipelines.verify import verify
from tests.faults.mutations import MUTATIONS, mutate
from tests.faults.steps import Worker, worker
from tests.sweep.encoders import recipe_for
from tests.sweep.generator import write

KINDS = (
    ("h264b", "mp4"), ("hevc", "mkv"), ("vp9", "mp4"), ("av1", "mkv"), ("h264b", "ts"),
    ("h264b", "mkv"), ("hevcb", "mp4"), ("vp9", "mkv"), ("av1", "mp4"), ("hevcb", "ts"),
)  # fmt: skip
"""Codecs and containers that go together; each half has every codec and container."""
SETTINGS = ("scan.shots=FixedWindows", "scan.scores=[]", "sandbox.wall_s=60")
UNCHANGED = "none"
"""Instead of a mutation's name: a file that has to be intact, or the others tell nothing."""
_DECODE_TIMEOUT_S = 60
STRICT = ("-xerror", "-err_detect", "crccheck+bitstream+buffer+explode")

REFUSED, FLAGGED, INTACT, OTHER_PIXELS = "refused", "flagged", "intact", "other pixels"
FINE = (REFUSED, FLAGGED, INTACT, OTHER_PIXELS)
"""Verdicts that are no fault."""


@dataclass(frozen=True)
class Decoded:
    """A decode by the ffmpeg program alone."""

    frames: tuple[str, ...]
    """Digest of each frame."""
    starts_s: tuple[float, ...]
    """When each is shown, in seconds from the first."""
    errors: str

    def by_time(self) -> list[tuple[float, str]]:
        """Time, to the millisecond, and digest of each frame."""
        return [(round(at, 3), frame) for at, frame in zip(self.starts_s, self.frames, strict=True)]


@dataclass(frozen=True)
class Verdict:
    """What the scan made of one mutated file."""

    name: str
    kind: str
    mutation: str
    verdict: str
    """One of `FINE`, or how it was passed off as fine."""
    detail: str


def decode(path: Path, *options: str) -> Decoded:
    """The first video stream, decoded frame by frame."""
    command = [ffmpeg_path(), "-nostdin", "-v", "error", *options, "-i", f"file:{path}",
               "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False,
        timeout=_DECODE_TIMEOUT_S,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    ticks = [line.split()[-1].split("/") for line in lines if line.startswith("#tb")]
    tick_s = int(ticks[0][0]) / int(ticks[0][1]) if ticks else 0.0
    rows = [line.split(",") for line in lines if not line.startswith("#")]
    starts = [int(row[2]) * tick_s for row in rows]
    return Decoded(
        tuple(row[-1].strip() for row in rows),
        tuple(start - starts[0] for start in starts),
        done.stderr.strip() or (f"exit {done.returncode}" if done.returncode else ""),
    )


@cache
def pristine(kind: tuple[str, str]) -> tuple[bytes, Decoded]:
    """A file of this codec and container before its mutation, and its frames."""
    codec, container = kind
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "pristine"), recipe_for(container, codec))
        decoded = decode(path, *STRICT)
        assert not decoded.errors, decoded.errors
        return path.read_bytes(), decoded


def write_batch(folder: Path, seed: int) -> dict[str, tuple[tuple[str, str], str]]:
    """One mutant of each kind of the seed's half and each mutation; what each file is.

    One more file is unchanged.
    """
    kinds = KINDS[: len(KINDS) // 2] if seed % 2 == 0 else KINDS[len(KINDS) // 2 :]
    files = {}

    def add(kind: tuple[str, str], mutation: str, data: bytes) -> None:
        name = f"{seed}-{'-'.join(kind)}-{mutation.replace(' ', '_')}.{kind[1]}"
        (folder / name).write_bytes(data)
        files[name] = (kind, mutation)

    for at, kind in enumerate(kinds):
        data, other = pristine(kind)[0], pristine(kinds[at - 1])[0]
        for mutation in MUTATIONS:
            random = Random(f"{seed} {kind} {mutation}")
            add(kind, mutation, mutate(mutation, data, random, other))
    control = kinds[seed // 2 % len(kinds)]
    add(control, UNCHANGED, pristine(control)[0])
    return files


def scan(run: Worker, folder: Path, out: Path, damage: str) -> list[Source]:
    """The rows of all files of a folder, after one scan that `verify` approves of."""
    settings = (*SETTINGS, f"scan.damage={damage}")
    assert run("scan", (str(folder), str(out)), settings=settings)[0] == 0, run.error
    dataset = Dataset(str(out))
    assert [r.violations for r in verify(dataset) if not r.holds] == []
    return records.from_table(Source, dataset.sources())


def judge_batch(run: Worker, folder: Path, seed: int) -> list[Verdict]:
    """A verdict on each outcome of one batch of mutants, scanned under either rule for damage."""
    videos = folder / "videos"
    videos.mkdir()
    files = write_batch(videos, seed)
    rows = scan(run, videos, folder / "out", "refuse" if seed // 2 % 2 == 0 else "salvage")
    names = Counter(Path(row.uri).name for row in rows)
    assert names == Counter([*files]), "not one outcome for each file"
    verdicts = []
    for row in rows:
        name = Path(row.uri).name
        kind, mutation = files[name]
        verdict, detail = judge(row, videos / name, pristine(kind)[1])
        if mutation == UNCHANGED:
            assert verdict == INTACT, f"{name}, which is not mutated: {verdict}, {detail}"
        else:
            verdicts.append(Verdict(name, "-".join(kind), mutation, verdict, detail))
    return verdicts


def judge(row: Source, path: Path, before: Decoded) -> tuple[str, str]:
    """Whether a file's outcome is right, and the reason, remark or difference."""
    if row.outcome == "failed":
        assert row.detail is not None
        detail = f"{row.reason}: {row.detail}"
        return ("blamed on the program" if row.reason == "internal" else REFUSED), detail
    if row.remarks is not None:
        return FLAGGED, row.remarks
    strict, after = decode(path, *STRICT), decode(path)
    if strict.errors:
        return "strict decode reports damage", strict.errors.splitlines()[0]
    if len(after.frames) != len(before.frames) or row.frames != len(after.frames):
        counts = f"{len(before.frames)} before, {len(after.frames)} after, {row.frames} in the row"
        return "frames lost or added", counts
    off = max(abs(a - b) for a, b in zip(after.starts_s, before.starts_s, strict=True))
    if off > 0.002:
        return "other times", f"by up to {off:.3f} s"
    changed = sum(a != b for a, b in zip(after.frames, before.frames, strict=True))
    return (OTHER_PIXELS, f"{changed} frames") if changed else (INTACT, "")


def table(verdicts: list[Verdict]) -> str:
    """Counts by mutation."""
    names = [*FINE, *sorted({v.verdict for v in verdicts} - {*FINE})]
    lines = ["| mutation | files | " + " | ".join(names) + " |", "|---" * (2 + len(names)) + "|"]
    for mutation in (*MUTATIONS, "all"):
        counts = Counter(v.verdict for v in verdicts if mutation in (v.mutation, "all"))
        cells = [str(counts.total()), *(str(counts[name]) for name in names)]
        lines.append(f"| {mutation} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(seeds: int) -> None:
    """Prints the table of batches, and every fault."""
    verdicts = []
    with worker() as run:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                batch = judge_batch(run, Path(folder), seed)
            verdicts += batch
            for verdict in batch:
                if verdict.verdict not in FINE:
                    print(verdict, flush=True)
    print(table(verdicts))


if __name__ == "__main__":
    main(int(sys.argv[1]))
