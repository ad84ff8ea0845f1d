"""Small synthetic clips with known captions: a shape of some colour that moves in some way over
some ground by day or at night.

A text-and-video model can be trained and tested on them without any download. Every frame is
computed from a `Subject`, its `Variation` and a time, at any size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (225, 30, 35), "blue": (40, 80, 240), "yellow": (250, 215, 20),
    "purple": (165, 40, 200), "white": (250, 250, 250), "black": (12, 12, 12),
}  # fmt: skip
MOTIONS: Mapping[str, tuple[str, ...]] = {
    "still": ("standing still", "that does not move"),
    "sideways": ("moving sideways", "sliding from side to side"),
    "upright": ("moving up and down", "bouncing up and down"),
    "around": ("moving in a circle", "going round and round"),
}
"""Phrases for each motion; the first is the default."""
LIGHTS: Mapping[str, tuple[str, ...]] = {
    "day": ("by day", "in bright daylight"),
    "night": ("at night", "in the dark"),
}
PERIOD_S = 2.0
"""Period of a motion."""
_EXPOSURES = 6
_SHUTTER_S = 0.25


@dataclass(frozen=True)
class Subject:
    """What a caption says; each field is a key of the table of that name."""

    colour: str
    shape: str
    motion: str
    ground: str
    light: str

    @property
    def caption(self) -> str:
        """All fields in one sentence."""
        return describe(self, FIELDS)


FIELDS = tuple(field.name for field in fields(Subject))


@dataclass(frozen=True)
class Variation:
    """What a caption does not say, drawn at random."""

    seed: int
    """Seed of the ground's texture."""
    size: float
    """Half the shape's height, in half frame heights."""
    angle: float
    """Angle of the shape, radians."""
    centre: tuple[float, float]
    """Middle of its path, right and down."""
    amplitude: float
    """How far it moves to either side of that."""
    phase: float
    """Where on its path it starts, 0 to 1."""
    tint: float
    """Brightness of its colour, around 1."""

    @classmethod
    def random(cls, rng: np.random.Generator) -> Variation:
        """A random variation."""
        return cls(
            int(rng.integers(1 << 31)),
            float(rng.uniform(0.26, 0.36)),
            float(rng.uniform(-0.25, 0.25)),
            (float(rng.uniform(-0.12, 0.12)), float(rng.uniform(-0.12, 0.12))),
            float(rng.uniform(0.42, 0.55)),
            float(rng.uniform()),
            float(rng.uniform(0.88, 1.0)),
        )


def all_subjects() -> list[Subject]:
    """Every combination, in a fixed order."""
    return [Subject(*values) for values in product(COLOURS, SHAPES, MOTIONS, GROUNDS, LIGHTS)]


def describe(
    subject: Subject, field_names: Sequence[str], rng: np.random.Generator | None = None
) -> str:
    """A sentence with only these fields; `rng` draws among the phrases for motion and light."""

    def pick(phrases: Sequence[str]) -> str:
        return phrases[0] if rng is None else str(rng.choice(phrases))

    shape = subject.shape if "shape" in field_names else "thing"
    parts = ["a", subject.colour, shape] if "colour" in field_names else ["a", shape]
    if "motion" in field_names:
        parts.append(pick(MOTIONS[subject.motion]))
    if "ground" in field_names:
        parts.append(f"over {subject.ground}")
    if "light" in field_names:
        parts.append(pick(LIGHTS[subject.light]))
    return " ".join(parts)


def draw_frame(subject: Subject, variation: Variation, time_s: float, side: int = 96) -> Picture:
    """One frame, uint8 [side, side, 3]: six exposures while the shutter is open."""
    down, right = _coordinates(side)
    ground = _ground_picture(subject.ground, variation.seed, side)
    cover = np.zeros((side, side), np.float32)
    edge = np.zeros_like(cover)
    for exposure in range(_EXPOSURES):
        exposure_s = time_s + exposure / _EXPOSURES * _SHUTTER_S
        x, y = _position(subject.motion, variation, exposure_s)
        distance = _signed_distance(subject.shape, variation, right - x, down - y) * (side / 2)
        cover += np.clip(0.5 - distance, 0, 1) / _EXPOSURES
        edge += np.clip(0.5 + side / 40 - distance, 0, 1) / _EXPOSURES
    colour = np.array(COLOURS[subject.colour], np.float32) * variation.tint
    rim = np.float32(30 if colour.mean() > 60 else 200)
    rgb = ground * (1 - edge[..., None]) + rim * (edge - cover)[..., None]
    rgb = rgb + colour * cover[..., None]
    if subject.light == "night":
        rgb = rgb * np.array((0.3, 0.32, 0.42), np.float32)
    return np.asarray(np.clip(rgb + 0.5, 0, 255), np.uint8)


@functools.cache
def _coordinates(side: int) -> tuple[Field, Field]:
    """Down and right of each pixel's middle, −1 to 1."""
    down, right = np.mgrid[0:side, 0:side].astype(np.float32) * (2 / side) - (1 - 1 / side)
    return down, right


@functools.lru_cache(maxsize=8)
def _ground_picture(ground: str, seed: int, side: int) -> Field:
    return GROUNDS[ground](*_coordinates(side), np.random.default_rng(seed))


def clip_frames(
    subject: Subject, variation: Variation, frames: int, fps: int, side: int = 96
) -> Iterator[Picture]:
    """The frames of a clip."""
    return (draw_frame(subject, variation, frame / fps, side) for frame in range(frames))


def _position(motion: str, variation: Variation, time_s: float) -> tuple[float, float]:
    angle = 2 * np.pi * (time_s / PERIOD_S + variation.phase)
    right, down = variation.amplitude * np.cos(angle), variation.amplitude * np.sin(angle)
    x, y = variation.centre
    if motion == "still":
        return x, y
    return x + (right if motion != "upright" else 0), y + (down if motion != "sideways" else 0)


def _signed_distance(shape: str, variation: Variation, right: Field, down: Field) -> Field:
    """Distance of each point from the shape, approximate, in half frame heights."""
    cos, sin = np.cos(variation.angle), np.sin(variation.angle)
    x, y = (right * cos + down * sin) / variation.size, (down * cos - right * sin) / variation.size
    return np.asarray(SHAPES[shape](x, y) * variation.size, np.float32)


def _star(x: Field, y: Field) -> Field:
    angle = np.arctan2(x, -y)
    fold = np.abs((angle / (2 * np.pi / 5) + 0.5) % 1 - 0.5) * 2
    return np.asarray(np.hypot(x, y) - (1.15 - 0.65 * fold), np.float32)


def _disc(x: Field, y: Field) -> Field:
    return np.hypot(x, y) - np.float32(0.95)


def _square(x: Field, y: Field) -> Field:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.8)


def _triangle(x: Field, y: Field) -> Field:
    sides = np.abs(x) * np.float32(0.87) - (y + 1) / 2
    return np.asarray(np.maximum(sides, y - np.float32(0.75)), np.float32)


def _ring(x: Field, y: Field) -> Field:
    return np.abs(np.hypot(x, y) - np.float32(0.72)) - np.float32(0.26)


def _cross(x: Field, y: Field) -> Field:
    across, down, arm = np.abs(x), np.abs(y), np.float32(0.3)
    bars = np.maximum(across - 1, down - arm), np.maximum(across - arm, down - 1)
    return np.asarray(np.minimum(*bars), np.float32)


SHAPES: Mapping[str, Callable[[Field, Field], Field]] = {
    "disc": _disc, "square": _square, "triangle": _triangle, "star": _star, "ring": _ring,
    "cross": _cross,
}  # fmt: skip
"""Approximate signed distance from each shape of height 2, by coordinates right and down."""


def _gradient(tone: Field, low: tuple[int, int, int], high: tuple[int, int, int]) -> Field:
    """One colour where the tone is 0, the other where it is 1."""
    ends = np.array((low, high), np.float32)
    return np.asarray(ends[0] + np.clip(tone, 0, 1)[..., None] * (ends[1] - ends[0]), np.float32)


def _grass(down: Field, right: Field, rng: np.random.Generator) -> Field:
    blades = rng.random((24, down.shape[1]), np.float32).repeat(-(-down.shape[0] // 24), 0)
    return _gradient(blades[: down.shape[0]], (40, 110, 30), (120, 190, 80))


def _water(down: Field, right: Field, rng: np.random.Generator) -> Field:
    slant, phase = rng.uniform(-0.5, 0.5), rng.uniform(0, 6)
    waves = np.sin(14 * (down + 0.12 * np.sin(5 * right + phase) + slant * 0.2 * right) + phase)
    return _gradient(0.5 + 0.5 * waves, (40, 130, 150), (130, 205, 215))


def _bricks(down: Field, right: Field, rng: np.random.Generator) -> Field:
    row = np.floor(down * 4 + rng.uniform(0, 1))
    across = right * 2 + 0.5 * (row % 2) + rng.uniform(0, 1)
    joint = ((down * 4 - row) % 1 < 0.14) | (across % 1 < 0.07)
    return _gradient(np.where(joint, 1.0, 0.0).astype(np.float32), (165, 105, 75), (220, 205, 190))


def _sand(down: Field, right: Field, rng: np.random.Generator) -> Field:
    grain = rng.random(down.shape, np.float32)
    return _gradient(grain, (205, 180, 135), (235, 220, 180))


GROUNDS: Mapping[str, Callable[[Field, Field, np.random.Generator], Field]] = {
    "grass": _grass,
    "water": _water,
    "bricks": _bricks,
    "sand": _sand,
}
"""Picture of each ground, by coordinates down and right in half frame heights."""
