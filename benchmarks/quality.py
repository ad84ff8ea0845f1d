"""Precision and recall of every filter and tag, on sources whose truth is known.

    python benchmarks/quality.py [--videos FOLDER] [--per 12] [--keep FOLDER]

Renders short sources (see `truth.py`), scans them through the real decode, applies the default
policy, and compares. With a folder of real videos half of the worlds are frames of those.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

import truth
from curation.listing import entry_at
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.scores import Speech
from curation.select.policy import LIMITS, Range
from pipelines import config
from truth import Plan, Source


@dataclass(frozen=True)
class Task:
    """One source to make and to look at."""

    group: str
    word: str
    number: int


GROUPS: dict[str, tuple[str, ...]] = {
    "camera": truth.CAMERAS,
    "light": ("bright", "dark"),
    "kind": ("screen", "still"),
    "fault": ("black", "burnt_out", "dark", "flat", "blurred", "bars", "flicker", "mostly_still",
              "little_motion", "stutters", "combed", "blocky"),
    "sound": ("silent", "speech", "none"),
}  # fmt: skip
"""What is rendered: for tags the words, and the reasons that faults have to be given."""


WORLDS: list[Image.Image] = []
"""Filled before the workers are forked, which then share it."""


def plan(task: Task) -> tuple[Plan, Source]:
    seed = [task.number, *task.group.encode(), *task.word.encode()]
    rng = np.random.default_rng(seed)
    size = truth.SIZES[int(rng.integers(len(truth.SIZES)))]
    camera = task.word if task.group == "camera" else str(rng.choice(truth.CAMERAS[:5]))
    name = f"{task.group}-{task.word}-{task.number:03d}"
    made = Plan(
        name, rng, WORLDS[int(rng.integers(len(WORLDS)))], size,
        truth.path_of(camera, rng, size), int(rng.integers(0, 3)), float(rng.uniform(0.5, 3.5)),
        crf=int(rng.integers(20, 29)),
    )  # fmt: skip
    if camera == "static":  # else nothing would move at all, which is a fault
        made.objects += 1
    if task.group == "camera":
        return made, Source(name, {"camera": camera, "kind": "moving"}, clean=True)
    if task.group == "fault":
        return broken(made, task.word)
    if task.group == "sound":
        tags = {"sound": "silent" if task.word == "silent" else "audible"}
        tags["voice"] = "speech" if task.word == "speech" else "none"
        return made, Source(name, tags, clean=True)
    if task.word == "bright":
        made.change = truth.well_lit(made.world, rng)
        return made, Source(name, {"light": "bright"}, clean=True)
    if task.word == "dark":
        made.change = truth.dark_with_lamps(made.world, rng, size)
        return made, Source(name, {"light": "dark"})
    made.objects = 0
    if task.word == "still":
        made.path, made.noise = truth.path_of("static", rng, size) * 0, 0.0
    return made, Source(name, {"kind": task.word}, clean=False)


def broken(made: Plan, reason: str) -> tuple[Plan, Source]:
    rng = made.rng
    made.objects = max(made.objects, 1)
    if reason in ("mostly_still", "little_motion", "combed"):
        made.path = truth.path_of("pan_left", rng, made.size)
    if reason == "blocky":
        made.coding = truth.strongly_coded(rng)
    changes = {
        "black": lambda: truth.darker(float(rng.uniform(0, 0.04))),
        "burnt_out": truth.burnt,
        "dark": lambda: truth.darker(float(rng.uniform(0.0, 0.04))),
        "flat": lambda: truth.faded(float(rng.uniform(0.0, 0.04))),
        "blurred": lambda: truth.blurred(float(rng.uniform(0.012, 0.04)) * max(made.size)),
        "bars": lambda: truth.boxed(rng, float(rng.uniform(0.24, 0.5))),
        "flicker": lambda: truth.flickering(rng, float(rng.uniform(0.06, 0.2))),
        "mostly_still": lambda: truth.frozen(float(rng.uniform(0.95, 1.0))),
        "little_motion": lambda: truth.frozen(1.0),
        "stutters": lambda: truth.stuttering(int(rng.integers(3, 7))),
        "combed": truth.combed,
    }
    if reason in changes:
        made.change = changes[reason]()
    return made, Source(made.name, {}, frozenset({reason}))


@dataclass(frozen=True)
class Found:
    """What was measured of one source."""

    source: Source
    group: str
    reasons: frozenset[str]
    """Every bound of the policy that it breaks."""
    words: dict[str, str | None]
    values: dict[str, float | str | None]


def look(task: Task, folder: Path) -> Found:
    """Renders, scans and judges one source."""
    made, source = plan(task)
    if source.tags.get("kind") == "screen":
        truth.encode(folder / f"{made.name}.mp4", truth.screen(made.rng, made.size), fps=truth.FPS)
    else:
        if task.group == "sound":
            made.sound = truth.sound(task.word, made.rng, folder / f"{made.name}.wav")
        made.write(folder)
    stage = Scan(shots=FixedWindows(), scores=(*config.load().scan.scores, Speech()))
    result = stage.setup()(ScanItem(entry_at(str(folder / f"{made.name}.mp4"), {})))
    values: dict[str, float | str | None] = {}
    for name, rows in result.side_rows.items():
        if name.startswith("scores/"):
            (row,) = rows.to_pylist()
            values |= row
    return Found(source, task.group, broken_bounds(values), values, values)


def broken_bounds(values: dict) -> frozenset[str]:
    bounds = config.load().policy.limits | {"stutter": Range(max=0.5)}
    found = set()
    for name, limit in LIMITS.items():
        value, bound = values.get(name), bounds.get(name, Range())
        if isinstance(value, float):
            if bound.min is not None and value < bound.min:
                found.add(limit.low)
            if bound.max is not None and value > bound.max:
                found.add(limit.high)
    return frozenset(found)


def judged(found: Iterable[Found]) -> None:
    """Prints precision and recall of each word of each tag, and of each reason."""
    listed = list(found)
    print(f"{'':24}{'sources':>8}{'precision':>11}{'recall':>8}")
    for column in ("camera", "light", "kind", "sound", "voice"):
        pairs = [
            (f.source.tags[column], f.words[column]) for f in listed if column in f.source.tags
        ]
        right = sum(t == w for t, w in pairs)
        print(f"{column:24}{len(pairs):8}   accuracy {right / len(pairs):.3f}")
        for word in sorted({t for t, _ in pairs}):
            line(f"  {word}", [(t == word, w == word) for t, w in pairs])
        for pair, count in Counter(p for p in pairs if p[0] != p[1]).most_common(6):
            print(f"      {count} × {pair[0]} taken for {pair[1]}")
    reasons = sorted({r for f in listed for r in f.source.faults})
    for reason in reasons:
        pairs = [
            (reason in f.source.faults, reason in f.reasons)
            for f in listed if reason in f.source.faults or f.source.clean
        ]  # fmt: skip
        line(reason, pairs)


def line(name: str, pairs: list[tuple[bool, bool]]) -> None:
    hits = sum(t and w for t, w in pairs)
    named, real = sum(w for _, w in pairs), sum(t for t, _ in pairs)
    precision = f"{hits / named:.3f}" if named else "–"
    print(f"{name:24}{real:8}{precision:>11}{hits / max(real, 1):8.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=Path, help="real videos to take worlds from")
    parser.add_argument("--per", type=int, default=12, help="sources of each kind")
    parser.add_argument("--keep", type=Path, help="folder to leave the sources in")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    tasks = [
        Task(g, w, n) for g, words in GROUPS.items() for w in words for n in range(options.per)
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        WORLDS[:] = truth.worlds(options.videos)
        with get_context("fork").Pool(options.workers) as pool:
            found = pool.map(partial(look, folder=folder), tasks, chunksize=1)
    judged(found)
    for each in found:
        wrong = {c: each.words[c] for c, t in each.source.tags.items() if each.words[c] != t}
        if wrong or each.source.faults - each.reasons or (each.source.clean and each.reasons):
            print(each.source.name, wrong, sorted(each.reasons), each.values)


if __name__ == "__main__":
    main()
