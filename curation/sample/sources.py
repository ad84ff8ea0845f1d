"""The source videos of the sample: what `reelmill sample` and `make demo` start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from curation.sample.encode import Coding, encode
from curation.sample.film import Film, Shot
from curation.sample.scenes import SCENES
from curation.sample.stage import Scene, Size
from curation.sample.truth import Truth, write_truth

SIZE: Size = (480, 270)
"""Width and height of most sources."""
FPS = 24
"""Frames a second of most sources."""


def _film(*shots: tuple[str, int, int], fps: int = FPS, size: Size = SIZE) -> Film:
    return Film([Shot(SCENES[name](size), frames, fade) for name, frames, fade in shots], fps)


def _write(path: Path, film: Film, coding: Coding | None = None, **truth: str) -> Truth:
    frames = encode(path, film.pictures(), fps=film.fps, coding=coding)
    return Truth(path.name, frames, film.fps, film.hard_cuts, film.dissolves, **truth)


def _changed(name: str, change: Callable[[Image.Image], Image.Image], size: Size = SIZE) -> Scene:
    scene = SCENES[name](size)
    return lambda time: change(scene(time))


def _journey(path: Path) -> Truth:
    """Five shots with cuts."""
    return _write(path, _film(("dawn_peaks", 60, 0), ("country_road", 72, 0), ("marbles", 54, 0),
                              ("forest_walk", 66, 0), ("harbour", 60, 0)))  # fmt: skip


def _city(path: Path) -> Truth:
    """Four shots at 30 frames a second, the second of which lasts 0.4 s."""
    return _write(path, _film(("street_by_day", 75, 0), ("lavender", 12, 0), ("red_road", 78, 0),
                              ("crates", 84, 0), fps=30), Coding(b_frames=2))  # fmt: skip


def _seasons(path: Path) -> Truth:
    """Four shots with two cuts and one dissolve."""
    return _write(path, _film(("dunes", 60, 0), ("snow", 66, 16), ("evening_sea", 60, 0),
                              ("birches", 60, 0)))  # fmt: skip


def _flight(path: Path) -> Truth:
    """One long shot from a drone that drifts and descends over moving cars."""
    return _write(path, _film(("farmland", 240, 0)), Coding(gop=96, b_frames=2))


def _flight_copy(path: Path) -> Truth:
    """The flight again: smaller, brighter, coarser, in another container."""
    coding = Coding(crf=32, scale=(400, 224), brightness=0.03)
    truth = {"expect": "duplicate", "reason": "near_duplicate", "duplicate_of": "flight.mp4"}
    return _write(path, _film(("farmland", 240, 0)), coding, **truth)


def _night(path: Path) -> Truth:
    """Dark but visible: to be kept."""
    return _write(path, _film(("moonlit", 96, 0)))


def _black(path: Path) -> Truth:
    """A street with the lens cap on."""
    scene = _changed("street_by_day", lambda picture: picture.point(lambda value: value * 0.03))
    return _write(path, Film([Shot(scene, 72)], FPS), expect="filtered", reason="dark")


def _blurred(path: Path) -> Truth:
    """A forest out of focus."""
    soft = ImageFilter.GaussianBlur(7)
    scene = _changed("autumn", lambda picture: picture.filter(soft))
    return _write(path, Film([Shot(scene, 84)], FPS), expect="filtered", reason="blurred")


def _frozen(path: Path) -> Truth:
    """One picture for four seconds."""
    picture = SCENES["lavender"](SIZE)(4.0).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    film = Film([Shot(lambda _: picture, 96)], FPS)
    return _write(path, film, expect="filtered", reason="frozen")


def _letterboxed(path: Path) -> Truth:
    """Content of 2.39:1 between black bars."""
    width, height = SIZE
    inner = round(width / 2.39 / 2) * 2

    def barred(picture: Image.Image) -> Image.Image:
        frame = Image.new("RGB", SIZE)
        frame.paste(picture, (0, (height - inner) // 2))
        return frame

    scene = _changed("canyon", barred, (width, inner))
    return _write(path, Film([Shot(scene, 96)], FPS), expect="filtered", reason="letterboxed")


def _phone(path: Path) -> Truth:
    """An upright film that is stored lying, with a flag to turn it."""
    return _write(path, _film(("workshop", 84, 0), size=(270, 480)), Coding(rotation=90))


def _webcam(path: Path) -> Truth:
    """30 frames a second for two seconds, then 15."""
    film = _film(("billiards", 96, 0), fps=30)
    truth = _write(path, film, Coding(slow_from=60))
    return Truth(truth.file, 96, round(96 / (60 / 30 + 36 / 15), 3))


def _corrupt(path: Path) -> Truth:
    """A valid file with noise over the middle of its picture data."""
    truth = _write(path, _film(("red_road", 72, 0)), expect="failed", reason="corrupt")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    middle = start + (len(data) - start) // 2
    data[middle : middle + 6000] = np.random.default_rng(7).bytes(6000)
    path.write_bytes(data)
    return truth


def _text(path: Path) -> Truth:
    path.write_text("This is a note that somebody named like a video.\n" * 20)
    return Truth(path.name, 0, 0.0, expect="failed", reason="not_video")


def _empty(path: Path) -> Truth:
    path.write_bytes(b"")
    return Truth(path.name, 0, 0.0, expect="failed", reason="empty")


SOURCES: dict[str, Callable[[Path], Truth]] = {
    "journey.mp4": _journey,
    "city.mkv": _city,
    "seasons.mov": _seasons,
    "flight.mp4": _flight,
    "flight_copy.mkv": _flight_copy,
    "night.mp4": _night,
    "phone.mp4": _phone,
    "webcam.mp4": _webcam,
    "black.mp4": _black,
    "blurred.mp4": _blurred,
    "frozen.mp4": _frozen,
    "letterboxed.mp4": _letterboxed,
    "corrupt.mp4": _corrupt,
    "notes.mp4": _text,
    "empty.mp4": _empty,
}
"""What writes each file."""


def render(directory: str | Path) -> list[Truth]:
    """Writes the sample into the folder, made if missing, and `truth.json` beside it.

    Fifteen files, about 80 s of video, about 10 s of one core; the same bytes every time. Returns
    what is known of each file, in the order of their names in `SOURCES`.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    truths = [write(folder / name) for name, write in SOURCES.items()]
    write_truth(folder, truths)
    return truths
