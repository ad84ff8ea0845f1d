"""Small pictures in motion whose captions are known: a shape of some colour that moves in some way
over some ground by day or at night.

They are what a model that reads words can be trained and tried on without any download. Every
picture is computed from a `Thing`, its `Chance` and a time, at any size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
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
"""What a motion is called; the first is what questions use."""
LIGHTS: Mapping[str, tuple[str, ...]] = {
    "day": ("by day", "in bright daylight"),
    "night": ("at night", "in the dark"),
}
PERIOD_S = 2.0
"""How long a motion takes to begin again."""
_EXPOSURES = 6
_SHUTTER_S = 0.25


@dataclass(frozen=True)
class Thing:
    """What there is to say of a picture; each field is a key of its table."""

    colour: str
    shape: str
    motion: str
    ground: str
    light: str

    @property
    def caption(self) -> str:
        """All of it in one sentence."""
        return spoken(self, FIELDS)


FIELDS = tuple(field.name for field in fields(Thing))


@dataclass(frozen=True)
class Chance:
    """What a caption does not say."""

    seed: int
    """Of the ground's texture."""
    size: float
    """Half the shape's height, in half frame heights."""
    turn: float
    """Angle of the shape, radians."""
    at: tuple[float, float]
    """Middle of its path, right and down."""
    reach: float
    """How far it moves to either side."""
    phase: float
    """Where on its path it starts, 0–1."""
    tint: float
    """Brightness of its colour, about 1."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Chance:
        """All of it by chance."""
        return cls(
            int(rng.integers(1 << 31)),
            float(rng.uniform(0.26, 0.36)),
            float(rng.uniform(-0.25, 0.25)),
            (float(rng.uniform(-0.12, 0.12)), float(rng.uniform(-0.12, 0.12))),
            float(rng.uniform(0.42, 0.55)),
            float(rng.uniform()),
            float(rng.uniform(0.88, 1.0)),
        )


def things() -> list[Thing]:
    """Every combination, in a fixed order."""
    return [Thing(*each) for each in product(COLOURS, SHAPES, MOTIONS, GROUNDS, LIGHTS)]


def agreement(one: Thing, other: Thing) -> int:
    """How many of the five fields are the same."""
    return sum(a == b for a, b in zip(astuple(one), astuple(other), strict=True))


def spoken(thing: Thing, named: Sequence[str], rng: np.random.Generator | None = None) -> str:
    """A sentence with only the fields `named`; `rng` draws among the words for motion and light."""
    pick = (lambda words: str(rng.choice(words))) if rng is not None else (lambda words: words[0])
    shape = thing.shape if "shape" in named else "thing"
    parts = ["a", thing.colour, shape] if "colour" in named else ["a", shape]
    if "motion" in named:
        parts.append(pick(MOTIONS[thing.motion]))
    if "ground" in named:
        parts.append(f"over {thing.ground}")
    if "light" in named:
        parts.append(pick(LIGHTS[thing.light]))
    return " ".join(parts)


def picture(thing: Thing, chance: Chance, time_s: float, side: int = 96) -> Picture:
    """One frame, uint8 [side, side, 3]: six exposures while the shutter is open."""
    down, right = _coordinates(side)
    ground = _painted(thing.ground, chance.seed, side)
    cover = np.zeros((side, side), np.float32)
    edge = np.zeros_like(cover)
    for exposure in range(_EXPOSURES):
        x, y = _place(thing.motion, chance, time_s + exposure / _EXPOSURES * _SHUTTER_S)
        away = _away(thing.shape, chance, right - x, down - y) * (side / 2)
        cover += np.clip(0.5 - away, 0, 1) / _EXPOSURES
        edge += np.clip(0.5 + side / 40 - away, 0, 1) / _EXPOSURES
    colour = np.array(COLOURS[thing.colour], np.float32) * chance.tint
    rim = np.float32(30 if colour.mean() > 60 else 200)
    seen = ground * (1 - edge[..., None]) + rim * (edge - cover)[..., None]
    seen = seen + colour * cover[..., None]
    if thing.light == "night":
        seen = seen * np.array((0.3, 0.32, 0.42), np.float32)
    return np.asarray(np.clip(seen + 0.5, 0, 255), np.uint8)


@functools.cache
def _coordinates(side: int) -> tuple[Field, Field]:
    """Down and right of each pixel's middle, −1 to 1."""
    down, right = np.mgrid[0:side, 0:side].astype(np.float32) * (2 / side) - (1 - 1 / side)
    return down, right


@functools.lru_cache(maxsize=8)
def _painted(ground: str, seed: int, side: int) -> Field:
    return GROUNDS[ground](*_coordinates(side), np.random.default_rng(seed))


def film(thing: Thing, chance: Chance, frames: int, fps: int, side: int = 96) -> Iterator[Picture]:
    """The frames of a clip."""
    return (picture(thing, chance, frame / fps, side) for frame in range(frames))


def _place(motion: str, chance: Chance, time_s: float) -> tuple[float, float]:
    angle = 2 * np.pi * (time_s / PERIOD_S + chance.phase)
    right, down = chance.reach * np.cos(angle), chance.reach * np.sin(angle)
    x, y = chance.at
    if motion == "still":
        return x, y
    return x + (right if motion != "upright" else 0), y + (down if motion != "sideways" else 0)


def _away(shape: str, chance: Chance, right: Field, down: Field) -> Field:
    """How far outside the shape each point lies, about, in half frame heights."""
    cos, sin = np.cos(chance.turn), np.sin(chance.turn)
    x, y = (right * cos + down * sin) / chance.size, (down * cos - right * sin) / chance.size
    return np.asarray(SHAPES[shape](x, y) * chance.size, np.float32)


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
"""Signed distance from each shape of height 2, about, from coordinates right and down."""


def _coloured(tone: Field, low: tuple[int, int, int], high: tuple[int, int, int]) -> Field:
    """From one colour to another where the tone goes from 0 to 1."""
    ends = np.array((low, high), np.float32)
    return np.asarray(ends[0] + np.clip(tone, 0, 1)[..., None] * (ends[1] - ends[0]), np.float32)


def _grass(down: Field, right: Field, rng: np.random.Generator) -> Field:
    blades = rng.random((24, down.shape[1]), np.float32).repeat(-(-down.shape[0] // 24), 0)
    return _coloured(blades[: down.shape[0]], (40, 110, 30), (120, 190, 80))


def _water(down: Field, right: Field, rng: np.random.Generator) -> Field:
    slant, phase = rng.uniform(-0.5, 0.5), rng.uniform(0, 6)
    waves = np.sin(14 * (down + 0.12 * np.sin(5 * right + phase) + slant * 0.2 * right) + phase)
    return _coloured(0.5 + 0.5 * waves, (40, 130, 150), (130, 205, 215))


def _bricks(down: Field, right: Field, rng: np.random.Generator) -> Field:
    row = np.floor(down * 4 + rng.uniform(0, 1))
    across = right * 2 + 0.5 * (row % 2) + rng.uniform(0, 1)
    joint = ((down * 4 - row) % 1 < 0.14) | (across % 1 < 0.07)
    return _coloured(np.where(joint, 1.0, 0.0).astype(np.float32), (165, 105, 75), (220, 205, 190))


def _sand(down: Field, right: Field, rng: np.random.Generator) -> Field:
    grain = rng.random(down.shape, np.float32)
    return _coloured(grain, (205, 180, 135), (235, 220, 180))


GROUNDS: Mapping[str, Callable[[Field, Field, np.random.Generator], Field]] = {
    "grass": _grass,
    "water": _water,
    "bricks": _bricks,
    "sand": _sand,
}
"""What each ground looks like, from coordinates down and right in half frame heights."""
