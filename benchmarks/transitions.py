"""Sequences at 48×27 with one known transition, or none, composed of the frames of real shots.

For `shots.py`, which judges shot detectors by them and fits the prefilter to them. Everything is
drawn from the generator that is passed: the moment, speed and direction of a shot, its exposure,
grain, and the length and shape of the transition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.media.decode import Frames

Picture = npt.NDArray[np.float32]
"""Frames in levels of 255, [n, 27, 48, 3]."""
Share = npt.NDArray[np.float32]
"""How much of the second shot a frame shows, 0–1, [n, 27 or 1, 48 or 1, 1]."""


@dataclass(frozen=True)
class Composed:
    """A sequence and what is true of it."""

    kind: str
    """One of `KINDS`."""
    frames: Frames
    span: tuple[int, int] | None
    """The first frame that is not all of the first shot, and the first that is all of the second;
    None without a transition."""


@dataclass(frozen=True)
class _Shots:
    """Two shots of one length and a moment in them."""

    rng: np.random.Generator
    first: Picture
    second: Picture
    centre: int

    def ramp(self, length: int) -> tuple[npt.NDArray[np.float32], tuple[int, int]]:
        """A share that rises over `length` frames around the centre, and the span of the rise."""
        start = self.centre - length // 2
        share = (np.arange(len(self.first)) - start + 1) / (length + 1)
        end = min(start + length, len(self.first))
        return np.clip(share, 0, 1).astype(np.float32), (max(start, 0), end)


def _mix(first: Picture, second: Picture | float, share: Share) -> Picture:
    return first * (1 - share) + second * share


def _columns(share: npt.NDArray[np.float32]) -> Share:
    return share[:, None, None, None]


_Result = tuple[Picture, tuple[int, int] | None]


def _cut(shots: _Shots) -> _Result:
    share = _columns(np.arange(len(shots.first)) >= shots.centre)
    return np.where(share, shots.second, shots.first), (shots.centre, shots.centre)


def _dissolve(shots: _Shots) -> _Result:
    share, span = shots.ramp(int(shots.rng.integers(4, 33)))
    return _mix(shots.first, shots.second, _columns(share)), span


def _slow_dissolve(shots: _Shots) -> _Result:
    share, span = shots.ramp(int(shots.rng.integers(48, 80)))
    return _mix(shots.first, shots.second, _columns(share)), span


def _fade(shots: _Shots) -> _Result:
    """Through black or white, which may stay for some frames."""
    share, span = shots.ramp(2 * int(shots.rng.integers(3, 25)) + int(shots.rng.integers(0, 9)))
    level = 255.0 if shots.rng.random() < 0.25 else 0.0
    out, back = np.clip(2 * share, 0, 1), np.clip(2 - 2 * share, 0, 1)
    fading = _mix(shots.first, level, _columns(out))
    rising = _mix(shots.second, level, _columns(back))
    return np.where(_columns(share < 0.5), fading, rising), span


def _wipe(shots: _Shots) -> _Result:
    """A soft or sharp edge that moves across, or a circle that opens."""
    share, span = shots.ramp(int(shots.rng.integers(4, 33)))
    y, x = np.mgrid[0:27, 0:48] / np.array([26, 47])[:, None, None]
    places = (x, 1 - x, y, 1 - y, np.hypot(x - 0.5, y - 0.5) * 1.41)
    place = places[int(shots.rng.integers(len(places)))]
    soft = float(shots.rng.choice([0.03, 0.15]))
    edge = (share[:, None, None] * (1 + soft) - place) / soft
    return _mix(shots.first, shots.second, np.clip(edge, 0, 1)[..., None]), span


def _flash(shots: _Shots) -> _Result:
    light = np.zeros(len(shots.first), np.float32)
    length = int(shots.rng.integers(1, 6))
    light[shots.centre : shots.centre + length] = shots.rng.uniform(0.3, 1.0)
    return _mix(shots.first, 255.0, _columns(light)), None


def _whip_pan(shots: _Shots) -> _Result:
    """The camera swings over a panorama of the shot and its mirror image, with motion blur."""
    length, count = int(shots.rng.integers(6, 30)), len(shots.first)
    speed = np.zeros(count)
    time = np.arange(count) - shots.centre + length // 2
    inside = (time >= 0) & (time < length)
    speed[inside] = np.sin(np.pi * (time[inside] + 0.5) / length) * shots.rng.uniform(2, 14)
    wide = np.concatenate([shots.first, shots.first[:, :, ::-1]], axis=2)
    for index, (end, step) in enumerate(zip(np.cumsum(speed), speed, strict=True)):
        places = np.rint(end - np.linspace(0, step, max(1, round(step)), endpoint=False))
        blurred = [np.roll(wide[index], int(place), axis=1)[:, :48] for place in places]
        shots.first[index] = np.mean(blurred, axis=0)
    return shots.first, None


def _moving(shots: _Shots) -> _Result:
    return shots.first, None


def _frozen(shots: _Shots) -> _Result:
    return np.repeat(shots.first[:1], len(shots.first), axis=0), None


KINDS: dict[str, Callable[[_Shots], _Result]] = {
    "cut": _cut,
    "jump cut": _cut,
    "dissolve": _dissolve,
    "slow dissolve": _slow_dissolve,
    "fade": _fade,
    "wipe": _wipe,
    "flash": _flash,
    "whip pan": _whip_pan,
    "moving": _moving,
    "frozen": _frozen,
}
"""Each kind; `jump cut` has both shots from one source, the last four have no transition."""


def compose(
    kind: str, rng: np.random.Generator, sources: Sequence[Frames], length: int, *,
    dark: bool = False, margin: int = 25,
) -> Composed:  # fmt: skip
    """A sequence of `length` frames; a transition's centre is at least `margin` from its ends.

    `dark` scenes are exposed at 3 to 12 % of their levels.
    """
    one, two = rng.choice(len(sources), 2, replace=False)
    two = one if kind == "jump cut" else two
    exposure = rng.uniform(0.03, 0.12) if dark else rng.choice([1.0, 1.0, 1.0, 0.5, 0.25])
    first, second = (_shot(rng, sources[n], length) * np.float32(exposure) for n in (one, two))
    if rng.random() < 0.15:
        second *= np.float32(rng.uniform(0.3, 1.0))
    centre = int(rng.integers(margin, length - margin))
    picture, span = KINDS[kind](_Shots(rng, first, second, centre))
    if rng.random() < 0.3:
        picture = picture + rng.normal(0, rng.uniform(0.5, 3.0), picture.shape)
    return Composed(kind, np.clip(np.rint(picture), 0, 255).astype(np.uint8), span)


def _shot(rng: np.random.Generator, source: Frames, length: int) -> Picture:
    """So many frames from a random place, forwards or backwards, up to three times as fast.

    A short source plays back and forth.
    """
    speed = int(rng.choice([1, 1, 1, 1, 2, 3]))
    count, needed = len(source), (length - 1) * speed + 1
    start = int(rng.integers(max(count - needed, 0) + 1))
    index = np.abs(
        (start + np.arange(needed)[::speed] + count - 1) % max(2 * count - 2, 1) - count + 1
    )
    picture = source[index].astype(np.float32)
    if rng.random() < 0.3:
        picture = picture[::-1]
    return np.ascontiguousarray(picture[:, :, ::-1] if rng.random() < 0.5 else picture)
