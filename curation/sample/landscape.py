"""Scenes seen from the side: ranges of hills under a sky, a forest, and a street of houses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from curation.sample.sprite import car, darker
from curation.sample.stage import Camera, Layer, Mover, Scene, Size, canvas_size, stage
from curation.sample.texture import (
    Colour,
    Field,
    grey,
    noise,
    ramp,
    relief,
    shade,
    stretch,
    vertical,
)


@dataclass(frozen=True)
class Ridge:
    """One range of hills."""

    top: float
    """Mean height of its crest, in frame heights below the middle (negative is above)."""
    swing: float
    """How far the crest goes up and down."""
    colours: Sequence[Colour]
    """From shadow to light."""
    depth: float
    """How much it follows the camera."""
    cell: float = 0.5
    """Length of a hill."""
    rough: float = 0.5
    """0.3 is a dune, 0.6 is rock."""
    strata: bool = False
    """Whether the colours lie in bands, as in a canyon."""
    pines: int = 0
    """How many pines stand on the crest."""


def sky(
    seed: int,
    size: Size,
    colours: Sequence[Colour],
    *,
    cloud: Colour = (255, 255, 255),
    cover: float = 0.5,
    sun: tuple[float, float, float] | None = None,
) -> Layer:
    """A sky from the zenith's colour to the horizon's, with clouds and a sun (x, y, radius)."""
    wide, high = canvas_size(size)
    picture = ramp(np.clip(vertical((high, wide)) * 1.5, 0, 1), colours)
    if sun is not None:
        rows, columns = np.mgrid[0:high, 0:wide]
        x, y = wide / 2 + sun[0] * size[1], high / 2 + sun[1] * size[1]
        away = np.hypot(columns - x, rows - y) / (sun[2] * size[1])
        glow = np.clip(1.0 / (1.0 + away**2 * 0.35), 0, 1).astype(np.float32)
        glow = np.where(away < 1.0, 1.0, glow * 0.75).astype(np.float32)
        picture.paste((255, 244, 214), (0, 0), grey(glow))
    clouds = noise(seed, (high, wide), cell=(0.22 * size[1], 0.7 * size[1]), roughness=0.55)
    picture.paste(cloud, (0, 0), grey(np.clip((clouds - 1.0 + cover) * 2.4, 0, 0.92)))
    return Layer(picture, depth=0.12, drift=0.006)


def _pines(
    seed: int, crest: Field, size: Size, count: int, *pictures: tuple[Image.Image, Colour | int]
) -> None:
    rng = np.random.default_rng(seed)
    pens = [(ImageDraw.Draw(picture), colour) for picture, colour in pictures]
    for x in np.sort(rng.uniform(0, len(crest), count)):
        foot, high = float(crest[int(x)]) + 4, size[1] * rng.uniform(0.09, 0.2)
        for step in range(4):
            top = foot - high + step * high * 0.2
            half = high * (0.07 + 0.055 * step)
            shape = [(x, top), (x - half, top + high * 0.36), (x + half, top + high * 0.36)]
            for pen, colour in pens:
                pen.polygon(shape, colour)


def _ridge(seed: int, size: Size, ridge: Ridge) -> Layer:
    wide, high = canvas_size(size)
    unit = size[1]
    line = noise(seed, (1, wide), cell=(1, ridge.cell * unit), octaves=6, roughness=ridge.rough)[0]
    crest = high / 2 + (ridge.top + ridge.swing * (0.5 - line)) * unit
    rows = np.arange(high, dtype=np.float32)[:, None]
    mask = grey(np.clip(rows - crest[None] + 0.5, 0, 1).astype(np.float32))
    grain = max(ridge.rough + 0.15, 0.75)
    ground = noise(seed + 1, (high, wide), cell=(0.25 * unit, 0.4 * unit), roughness=grain)
    tone = relief(ground, strength=5.0) * 0.6 + ground * 0.4
    if ridge.strata:
        bands = np.sin((rows - crest[None] * 0.25) * (40 / unit) + ground * 5.0)
        tone = (tone * 0.6 + 0.2 * (bands + 1)).astype(np.float32)
    picture = ramp(tone, ridge.colours)
    if ridge.pines:
        dark = darker(ridge.colours[0], 0.5)
        _pines(seed + 2, crest, size, ridge.pines, (mask, 255), (picture, dark))
    return Layer(picture, mask, ridge.depth)


def hills(seed: int, size: Size, behind: Layer, ridges: Sequence[Ridge], camera: Camera) -> Scene:
    """Ranges of hills, the farthest first, in front of a sky."""
    layers = [_ridge(seed + 10 * place, size, ridge) for place, ridge in enumerate(ridges, 1)]
    return stage(size, camera, [behind, *layers])


def forest(seed: int, size: Size, camera: Camera, *, bark: Sequence[Colour], air: Colour) -> Scene:
    """Trunks in three depths, paler with distance, over a floor of leaves."""
    wide, high = canvas_size(size)
    rng = np.random.default_rng(seed)
    leaves = noise(seed, (high, wide), cell=0.08 * size[1], octaves=5, roughness=0.8)
    glow = stretch(
        (leaves + 2.2 * (1 - np.abs(vertical((high, wide), -1.2, 1.0)))).astype(np.float32)
    )
    parts: list[Layer | Mover] = [Layer(ramp(glow, [(26, 52, 22), (88, 132, 52), air]), depth=0.15)]
    for depth, count, girth, haze in (
        (0.35, 15, 0.035, 0.6),
        (0.65, 9, 0.06, 0.3),
        (1.0, 5, 0.11, 0),
    ):
        mask = Image.new("L", (wide, high))
        pen = ImageDraw.Draw(mask)
        foot = high / 2 + size[1] * (0.15 + 0.25 * depth)
        for place in range(count):
            x = (place + rng.uniform(0.15, 0.85)) * wide / count
            half = girth * size[1] * rng.uniform(0.7, 1.2) / 2
            lean = rng.normal(0, 0.05) * size[1]
            base = [(x - half * 2, foot + half), (x + half * 2, foot + half)]
            pen.polygon([(x - half + lean, 0), (x + half + lean, 0), (x + half, foot - 3 * half),
                         *base[::-1], (x - half, foot - 3 * half)], 255)  # fmt: skip
        pen.rectangle((0, foot, wide, high), 255)
        grain = noise(seed + 7, (high, wide), cell=(0.4 * size[1], 0.04 * size[1]), octaves=5)
        picture = ramp(relief(grain, strength=2.5) * 0.5 + grain * 0.5, bark)
        floor = noise(seed + 8, (high, wide), cell=0.12 * size[1], roughness=0.8)
        ground = ramp(relief(floor, strength=1.5), [(60, 44, 24), (128, 92, 44), (196, 160, 84)])
        picture.paste(
            ground, (0, 0), grey(np.clip(vertical((high, wide), -foot, high - foot), 0, 1))
        )
        mist = Image.new("RGB", picture.size, air)
        parts.append(Layer(Image.blend(picture, mist, haze), mask, depth))
    return stage(size, camera, parts)


@dataclass(frozen=True)
class Town:
    """How a street looks."""

    walls: Sequence[Colour]
    """Colours of the houses; each house takes one."""
    windows: Sequence[Colour]
    """Colours of the windows; each window takes one."""
    road: Sequence[Colour]
    """From shadow to light."""
    cars: Sequence[tuple[Colour, float, float]]
    """Colour, place at time 0 and speed (frame heights a second; negative drives left)."""
    lights: bool = False
    """Whether the cars have their lights on."""


def _houses(
    seed: int, size: Size, town: Town, *, depth: float, tall: float, fade: Colour | None
) -> Layer:
    wide, high = canvas_size(size)
    unit = size[1]
    rng = np.random.default_rng(seed)
    picture, mask = Image.new("RGB", (wide, high), town.walls[0]), Image.new("L", (wide, high))
    pen, cut = ImageDraw.Draw(picture), ImageDraw.Draw(mask)
    x = 0.0
    while x < wide:
        broad = unit * rng.uniform(0.22, 0.48)
        top = high / 2 + unit * (0.25 - tall * rng.uniform(0.5, 1.0))
        pen.rectangle((x, top, x + broad, high), town.walls[int(rng.integers(len(town.walls)))])
        pen.rectangle((x, top, x + broad, top + unit * 0.012), town.walls[0])
        cut.rectangle((x, top, x + broad, high), 255)
        step, gap = unit * rng.uniform(0.05, 0.075), unit * 0.02
        for row in np.arange(top + 2 * gap, high / 2 + 0.24 * unit, step * 1.3):
            for column in np.arange(x + gap, x + broad - step * 0.7, step):
                glass = town.windows[int(rng.integers(len(town.windows)))]
                pen.rectangle((column, row, column + step * 0.6, row + step * 0.8), glass)
        x += broad + unit * (0.05 if rng.random() < 0.3 else 0.0)
    grain = noise(seed + 1, (high, wide), cell=0.3 * unit, roughness=0.85)
    picture = shade(picture, 0.32 + 0.36 * grain)
    if fade is not None:
        picture = Image.blend(picture, Image.new("RGB", picture.size, fade), 0.5)
    return Layer(picture, mask.filter(ImageFilter.GaussianBlur(0.5)), depth)


def street(
    seed: int, size: Size, behind: Layer, town: Town, camera: Camera, *, fade: Colour
) -> Scene:
    """Two rows of houses, a road before them and cars that drive past."""
    wide, high = canvas_size(size)
    unit = size[1]
    asphalt = noise(seed + 5, (high, wide), cell=(0.1 * unit, 0.4 * unit), roughness=0.85)
    road = ramp(asphalt, town.road)
    pen = ImageDraw.Draw(road)
    edge, middle = high / 2 + 0.27 * unit, high / 2 + 0.4 * unit
    pen.rectangle((0, edge - 0.05 * unit, wide, edge), town.road[-1])
    for x in np.arange(0, wide, 0.22 * unit):
        pen.rectangle((x, middle, x + 0.11 * unit, middle + 0.014 * unit), (226, 214, 170))
    solid = np.zeros((high, wide), np.float32)
    solid[round(edge - 0.05 * unit) :] = 1.0
    parts: list[Layer | Mover] = [
        behind,
        _houses(seed, size, town, depth=0.45, tall=0.72, fade=fade),
        _houses(seed + 30, size, town, depth=0.9, tall=0.5, fade=None),
        Layer(road, grey(solid)),
    ]
    for colour, start, speed in town.cars:
        body = car(round(0.36 * unit), colour, lights=town.lights, mirrored=speed < 0)
        lane = 0.31 if speed < 0 else 0.43
        parts.append(
            Mover(lambda _, body=body: body,  # type: ignore[misc]
                  lambda time, a=start, v=speed, y=lane: (a + v * time, y - 0.04))  # type: ignore[misc]
        )  # fmt: skip
    return stage(size, camera, parts)
