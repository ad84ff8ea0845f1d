"""Scenes seen from above: things that roll on a table, and cars between fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from curation.sample.sprite import ball, box, car_from_above
from curation.sample.stage import Camera, Layer, Mover, Scene, Size, canvas_size, stage
from curation.sample.texture import Colour, noise, ramp, relief, shade


@dataclass(frozen=True)
class Rolling:
    """A ball that rolls in a straight line."""

    colours: tuple[Colour, ...]
    """Colours of its surface."""
    diameter: float
    """In frame heights."""
    start: tuple[float, float]
    """Its place at time 0."""
    speed: tuple[float, float]
    """Its movement a second."""


@dataclass(frozen=True)
class Crate:
    """A box that slides to and fro, or rests if `reach` is 0."""

    colours: tuple[Colour, ...]
    """From shadow to light."""
    side: float
    """In frame heights."""
    place: tuple[float, float]
    """Where it is in the middle of its movement."""
    angle: float = 0.0
    """Degrees that it is turned by."""
    reach: tuple[float, float] = (0.0, 0.0)
    """How far it slides to either side."""


def wood(seed: int, size: Size, colours: Sequence[Colour], *, planks: int) -> Image.Image:
    """Planks with grain, of `canvas_size`."""
    wide, high = canvas_size(size)
    grain = noise(
        seed, (high, wide), cell=(0.06 * size[1], 1.4 * size[1]), octaves=6, roughness=0.7
    )
    rows = np.arange(high) * planks // high
    shift = np.random.default_rng(seed + 1).integers(0, wide, planks)
    columns = (np.arange(wide)[None] + shift[rows][:, None]) % wide
    moved = grain[np.arange(high)[:, None], columns]
    tone = moved * 0.75 + 0.25 * (shift[rows] / wide)[:, None].astype(np.float32)
    tone[np.diff(rows, prepend=-1) > 0] = 0.0
    return ramp(tone, colours)


def cloth(seed: int, size: Size, colours: Sequence[Colour], *, check: float) -> Image.Image:
    """A checked weave with folds, of `canvas_size`; `check` is the side of a square."""
    wide, high = canvas_size(size)
    rows, columns = np.mgrid[0:high, 0:wide] / (check * size[1])
    pattern = ((rows.astype(int) % 2) + (columns.astype(int) % 2)) / 2
    thread = noise(seed, (high, wide), cell=3, octaves=2)
    folds = noise(seed + 1, (high, wide), cell=0.7 * size[1], octaves=3, roughness=0.4)
    picture = ramp((pattern * 0.8 + thread * 0.2).astype(np.float32), colours)
    return shade(picture, 0.3 + 0.4 * folds)


def table(
    seed: int,
    size: Size,
    top: Image.Image,
    balls: Sequence[Rolling],
    crates: Sequence[Crate],
    *,
    camera: Camera,
) -> Scene:
    """Balls that roll and boxes that slide on a table `top`."""
    parts: list[Layer | Mover] = [Layer(top)]
    for number, item in enumerate(crates):
        sprite = box(seed + number, round(item.side * size[1]), item.colours, angle=item.angle)
        parts.append(Mover(_still(sprite), _sliding(item)))
    for number, rolling in enumerate(balls, 50):
        pace = math.hypot(*rolling.speed)
        heading = math.atan2(rolling.speed[1], rolling.speed[0])
        skin = ball(seed + number, round(rolling.diameter * size[1]), rolling.colours,
                    turn=pace / (rolling.diameter / 2), heading=heading)  # fmt: skip
        parts.append(Mover(skin, _straight(rolling.start, rolling.speed)))
    return stage(size, camera, parts)


def _still(sprite: Image.Image) -> Callable[[float], Image.Image]:
    return lambda _: sprite


def _straight(
    start: tuple[float, float], speed: tuple[float, float]
) -> Callable[[float], tuple[float, float]]:
    return lambda time: (start[0] + speed[0] * time, start[1] + speed[1] * time)


def _sliding(crate: Crate) -> Callable[[float], tuple[float, float]]:
    (x, y), (across, down) = crate.place, crate.reach
    return lambda time: (x + across * math.sin(1.3 * time), y + down * math.sin(1.3 * time))


def _fields(seed: int, size: Size, colours: Sequence[Colour], count: int) -> Image.Image:
    """Fields as the cells of a Voronoi diagram, each with furrows of its own direction."""
    wide, high = canvas_size(size)
    rng = np.random.default_rng(seed)
    centres = rng.random((count, 2)) * (wide, high)
    rows, columns = np.mgrid[0:high, 0:wide].astype(np.float32)
    nearest = np.full((high, wide), np.inf, np.float32)
    owner = np.zeros((high, wide), np.intp)
    for number, (x, y) in enumerate(centres):
        away = (columns - x) ** 2 + (rows - y) ** 2
        owner[away < nearest] = number
        nearest = np.minimum(nearest, away)
    angle = rng.uniform(0, math.pi, count).astype(np.float32)[owner]
    furrow = np.sin((columns * np.cos(angle) + rows * np.sin(angle)) * (270 / size[1]) * 1.3)
    soil = noise(seed + 1, (high, wide), cell=0.3 * size[1], roughness=0.8)
    base = np.array(colours, np.uint8)[rng.integers(0, len(colours), count)][owner]
    light = 0.28 + 0.36 * soil + 0.05 * furrow + 0.5 * (relief(soil, strength=1.0) - 0.5)
    return shade(Image.fromarray(base), light.astype(np.float32))


def fields(
    seed: int,
    size: Size,
    colours: Sequence[Colour],
    camera: Camera,
    *,
    roads: Sequence[tuple[float, float]],
    cars: Sequence[tuple[int, Colour, float, float]],
    tree: Colour = (38, 70, 34),
    trees: int = 160,
) -> Scene:
    """Farmland from a drone. A road is (height where it crosses x = 0, angle in degrees); a car is
    (number of its road, colour, place along it at time 0, speed)."""
    picture = _fields(seed, size, colours, 46)
    wide, high = picture.size
    unit = size[1]
    pen = ImageDraw.Draw(picture)
    for y, angle in roads:
        rise = math.tan(math.radians(angle)) * wide / 2
        middle = high / 2 + y * unit
        line = (-2.0, middle + rise, wide + 2.0, middle - rise)
        pen.line(line, (150, 142, 128), round(0.105 * unit))
        pen.line(line, (86, 86, 90), round(0.085 * unit))
        pen.line(line, (220, 216, 200), max(1, round(0.005 * unit)))
    rng = np.random.default_rng(seed + 9)
    for x, y, r in zip(rng.uniform(0, wide, trees), rng.uniform(0, high, trees),
                       rng.uniform(0.012, 0.03, trees) * unit, strict=True):  # fmt: skip
        near = any(
            abs(y - high / 2 - at * unit + math.tan(math.radians(a)) * (x - wide / 2)) < 0.12 * unit
            for at, a in roads
        )
        if not near:
            pen.ellipse((x - r * 0.5, y - r * 0.5, x + r * 1.5, y + r * 1.5), (30, 36, 24))
            pen.ellipse((x - r, y - r, x + r, y + r), tree)
            light = tuple(min(255, channel + 45) for channel in tree)
            pen.ellipse((x - r * 0.7, y - r * 0.7, x + r * 0.1, y + r * 0.1), light)
    parts: list[Layer | Mover] = [Layer(picture)]
    for road, colour, start, speed in cars:
        y, angle = roads[road]
        turn = math.radians(angle)
        side = 0.022 if speed > 0 else -0.022
        sprite = car_from_above(
            round(0.085 * unit), colour, angle=angle + (180 if speed < 0 else 0)
        )
        place = (start * math.cos(turn) + side * math.sin(turn),
                 y - start * math.sin(turn) + side * math.cos(turn))  # fmt: skip
        parts.append(
            Mover(
                _still(sprite), _straight(place, (speed * math.cos(turn), -speed * math.sin(turn)))
            )
        )
    return stage(size, camera, parts)
