"""The source videos of the sample, which `reelmill sample` and `make demo` write, and their truth.

`truth.json` beside the videos is a list of `SampleTruth` records, one object a file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from curation.sample.encode import Coding, encode
from curation.sample.film import Film, Scene, Shot, Size
from curation.sample.scenes import SCENES

TRUTH_FILE = "truth.json"
"""Name of the list of truths in the folder of the videos."""
_PLAIN = Coding()


@dataclass(frozen=True)
class SampleTruth:
    """One file of the sample and the expected outcome."""

    file: str
    """Name of the file."""
    frames: int
    """Frames that decode; of a corrupt file, frames before it was damaged; 0 if it is no video."""
    fps: float
    """Frames a second, on average; 0 if it is no video."""
    hard_cuts: tuple[int, ...] = ()
    """The first frame of each shot that starts with a cut, without frame 0."""
    dissolves: tuple[tuple[int, int], ...] = ()
    """Spans [start, end) of frames that show two shots."""
    expect: str = "kept"
    """`kept`, `filtered`, `duplicate` or `failed`."""
    reason: str | None = None
    """Why it is not kept: `dark`, `blurred`, `frozen`, `letterboxed`, `near_duplicate`, `corrupt`,
    `not_video` or `empty`."""
    duplicate_of: str | None = None
    """For `duplicate`: the file that it is a copy of."""

    @property
    def shots(self) -> list[tuple[int, int]]:
        """Spans [start, end) of the shots, without the frames of dissolves."""
        edges = [(cut, cut) for cut in self.hard_cuts] + list(self.dissolves)
        edges = [(0, 0), *sorted(edges), (self.frames, self.frames)]
        spans = [(previous[1], following[0]) for previous, following in pairwise(edges)]
        return [(start, end) for start, end in spans if end > start]


def read_truth(directory: str | Path) -> list[SampleTruth]:
    """The truths that `write_sample` wrote into the folder."""
    rows: list[dict[str, Any]] = json.loads((Path(directory) / TRUTH_FILE).read_text())
    return [
        SampleTruth(**row | {"hard_cuts": tuple(row["hard_cuts"]),
                       "dissolves": tuple((start, end) for start, end in row["dissolves"])})
        for row in rows
    ]  # fmt: skip


@dataclass(frozen=True)
class _Video:
    """A source that shows a film; calling it with a path writes it."""

    shots: tuple[tuple[str, int] | tuple[str, int, int], ...]
    """Scene, frames, and frames of dissolve if any, of each shot."""
    fps: int = 24
    size: Size = (480, 270)
    coding: Coding = _PLAIN
    change: Callable[[Scene], Scene] = lambda scene: scene
    """Applied to every scene."""
    truth: tuple[str, ...] = ()
    """Expected outcome, reason, and original of a duplicate, unless it is to be kept."""

    def __call__(self, path: Path) -> SampleTruth:
        film = Film([Shot(self.change(SCENES[name](self.size)), *frames)
                     for name, *frames in self.shots], self.fps)  # fmt: skip
        frames = encode(path, film.pictures(), fps=self.fps, coding=self.coding)
        slow = frames - (self.coding.slow_from or frames)
        fps = round(self.fps * frames / (frames + slow), 3)
        return SampleTruth(path.name, frames, fps, film.hard_cuts, film.dissolves, *self.truth)


def _no_video(path: Path, content: bytes, reason: str) -> SampleTruth:
    """A file that has only the name of a video."""
    path.write_bytes(content)
    return SampleTruth(path.name, 0, 0.0, expect="failed", reason=reason)


def _per_frame(change: Callable[[Image.Image], Image.Image]) -> Callable[[Scene], Scene]:
    return lambda scene: lambda time: change(scene(time))


def _frozen(scene: Scene) -> Scene:
    picture = ImageOps.mirror(scene(4.0))
    return lambda _: picture


def _letterboxed(picture: Image.Image) -> Image.Image:
    """The middle of the mirrored picture at 2.39:1 between black bars."""
    bar = round((picture.height - picture.width / 2.39) / 2)
    box = (0, bar, picture.width, picture.height - bar)
    framed = Image.new("RGB", picture.size)
    framed.paste(ImageOps.mirror(picture).crop(box), box)
    return framed


def _corrupt(path: Path) -> SampleTruth:
    """A valid file with noise over the middle of its picture data."""
    truth = _Video((("canyon", 72),), truth=("failed", "corrupt"))(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    middle = start + (len(data) - start) // 2
    data[middle : middle + 6000] = np.random.default_rng(7).bytes(6000)
    path.write_bytes(data)
    return truth


_LENS_CAP = _per_frame(lambda picture: picture.point(lambda value: value * 0.03))
_OUT_OF_FOCUS = _per_frame(
    lambda picture: ImageOps.mirror(picture.filter(ImageFilter.GaussianBlur(7)))
)
_FLIGHT = (("farmland", 240),)

SOURCES: dict[str, Callable[[Path], SampleTruth]] = {
    # Five shots with cuts.
    "journey.mp4": _Video((("dawn_peaks", 60), ("country_road", 72), ("marbles", 54),
                           ("forest_walk", 66), ("harbour", 60))),
    # The second shot lasts 0.4 s.
    "city.mkv": _Video((("street_by_day", 75), ("lavender", 12), ("crates", 84)), fps=30,
                       coding=Coding(b_frames=2)),
    # A dissolve and a cut.
    "seasons.mov": _Video((("dunes", 60), ("snow", 66, 16), ("canyon", 60))),
    "flight.mp4": _Video(_FLIGHT, coding=Coding(gop=96, b_frames=2)),
    # The flight again: smaller, brighter, coarser, in another container.
    "flight_copy.mkv": _Video(_FLIGHT, coding=Coding(crf=32, scale=(400, 224), brightness=0.03),
                              truth=("duplicate", "near_duplicate", "flight.mp4")),
    # Dark but visible: to be kept.
    "night.mp4": _Video((("moonlit", 96),)),
    # Portrait, stored rotated, with a display matrix.
    "phone.mp4": _Video((("workshop", 84),), size=(270, 480), coding=Coding(rotation=90)),
    # 30 frames a second for two seconds, then 15.
    "webcam.mp4": _Video((("billiards", 96),), fps=30, coding=Coding(slow_from=60)),
    "black.mp4": _Video((("street_by_day", 72),), change=_LENS_CAP, truth=("filtered", "dark")),
    "blurred.mp4": _Video((("snow", 84),), change=_OUT_OF_FOCUS, truth=("filtered", "blurred")),
    "frozen.mp4": _Video((("lavender", 96),), change=_frozen, truth=("filtered", "frozen")),
    "letterboxed.mp4": _Video((("dawn_peaks", 96),), change=_per_frame(_letterboxed),
                              truth=("filtered", "letterboxed")),
    "corrupt.mp4": _corrupt,
    "notes.mp4": partial(_no_video, content=b"This is no video.\n" * 50, reason="not_video"),
    "empty.mp4": partial(_no_video, content=b"", reason="empty"),
}  # fmt: skip
"""The function that writes each file."""


def write_sample(directory: str | Path) -> list[SampleTruth]:
    """Writes the sample and `truth.json` into the folder, which is created if missing.

    Fifteen files, about 75 s of video, about 9 s of one core; the same bytes every time. Returns
    the truth of each file in the order of `SOURCES`.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    truths = [write(folder / name) for name, write in SOURCES.items()]
    rows = [dataclasses.asdict(truth) for truth in truths]
    (folder / TRUTH_FILE).write_text(json.dumps(rows, indent=1) + "\n")
    return truths
