"""The scenes of the sample: a few painters, and a table of what they paint.

A painter is made of how a thing looks and where it is, in frame heights from the middle as for the
camera, and paints it on a on.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from curation.sample.film import Camera, Pair, Part, Scene, Size, stage
from curation.sample.texture import Field, lit, mask, noise, ramp, shade


@dataclass(frozen=True)
class Canvas:
    """The world behind a frame, larger than it so that the camera can move; sizes in pixels."""

    rng: np.random.Generator
    """All chance in what is painted, in order."""
    wide: int
    high: int
    unit: int
    """A frame height."""

    def noise(self, down: float, across: float, roughness: float = 0.8) -> Field:
        """Noise as large as the world, with coarsest features of this height and width."""
        return self.patch((self.high, self.wide), (down * self.unit, across * self.unit), roughness)

    def patch(self, shape: Size, cell: Pair, roughness: float = 0.8) -> Field:
        """Noise of a height and a width, all in pixels."""
        return noise(int(self.rng.integers(1 << 31)), shape, cell=cell, roughness=roughness)

    def layer(self, picture: Image.Image, solid: Image.Image, depth: float) -> Part:
        """The picture where it is solid, without the empty rows above."""
        picture.putalpha(solid)
        top = (solid.getbbox() or (0, 0, 0, 0))[1]
        seen = picture.crop((0, top, self.wide, self.high))
        return Part(seen, at=(0.0, top / 2 / self.unit), depth=depth)


def sky(on: Canvas, colours: str, cloud: str = "#fff", cover: float = 0.5,
        sun: tuple[float, float, float] | None = None) -> Part:  # fmt: skip
    """From the zenith's colour to the horizon's, with drifting clouds and a sun (place, radius)."""
    rows, columns = np.mgrid[0 : on.high, 0 : on.wide].astype(np.float32)
    picture = ramp(1.5 * rows / on.high, colours)
    if sun is not None:
        x, y = on.wide / 2 + sun[0] * on.unit, on.high / 2 + sun[1] * on.unit
        away = np.hypot(columns - x, rows - y) / (sun[2] * on.unit)
        glow = np.where(away < 1, 1, 0.75 / (1 + 0.35 * away**2))
        picture.paste("#fed", None, mask(glow))
    clouds = on.noise(0.22, 0.7, 0.55)
    picture.paste(cloud, None, mask(np.clip((clouds - 1 + cover) * 2.4, 0, 0.92)))
    return Part(picture, speed=(-0.006, 0.0), depth=0.12)


def ridge(on: Canvas, top: float, swing: float, colours: str, depth: float, *,
          hill: float = 0.5, rough: float = 0.5, grain: Pair = (0.25, 0.4), bands: float = 0.0,
          pines: int = 0) -> Part:  # fmt: skip
    """Hills as long as `hill` whose crest swings around `top`; without a swing a plain or the sea.

    A roughness of 0.2 makes dunes and of 0.6 rock; `bands` is the share of strata in its colour.
    """
    line = on.patch((1, on.wide), (1, hill * on.unit), rough)
    crest = on.high / 2 + (top + swing * (0.5 - line)) * on.unit
    below = np.arange(on.high)[:, None] - crest
    ground = on.noise(*grain, max(rough + 0.15, 0.75))
    strata = 0.5 + 0.5 * np.sin((below + crest * 0.75) * (40 / on.unit) + ground * 5)
    picture = ramp(lit(ground, 5.0) * (1 - bands) + strata * bands, colours)
    solid = mask(np.clip(below + 0.5, 0, 1))
    for x in on.rng.uniform(0, on.wide, pines):
        foot, tall = float(crest[0, int(x)]) + 4, on.unit * on.rng.uniform(0.09, 0.2)
        for step in range(4):
            tip, half = foot - tall * (1 - 0.2 * step), tall * (0.07 + 0.055 * step)
            outline = [x, tip, x - half, tip + tall * 0.36, x + half, tip + tall * 0.36]
            ImageDraw.Draw(picture).polygon(outline, "#132620")
            ImageDraw.Draw(solid).polygon(outline, 255)
    return on.layer(picture, solid, depth)


def row(on: Canvas, walls: str, depth: float, tall: Pair, broad: Pair, *,
        gap: float = 0.0, windows: str = "") -> Part:  # fmt: skip
    """Upright things side by side: houses, or without windows the trunks of a forest.

    Each takes one of the colours, a height above a ground 0.25 below the middle, and a width.
    """
    rng, unit, x = on.rng, on.unit, 0.0
    picture = Image.new("RGB", (on.wide, on.high))
    solid = Image.new("L", picture.size)
    pen = ImageDraw.Draw(picture)
    while x < on.wide:
        top = on.high / 2 + unit * (0.25 - rng.uniform(*tall))
        end, step = x + unit * rng.uniform(*broad), unit * rng.uniform(0.05, 0.075)
        pen.rectangle((x, top, end, on.high), str(rng.choice(walls.split())))
        ImageDraw.Draw(solid).rectangle((x, top, end, on.high), 255)
        for y in np.arange(top + 0.04 * unit, on.high, step * 1.3) if windows else ():
            for left in np.arange(x + 0.02 * unit, end - step * 0.7, step):
                glass = str(rng.choice(windows.split()))
                pen.rectangle((left, y, left + step * 0.6, y + step * 0.8), glass)
        x = end + unit * gap * rng.uniform(0.3, 1)
    grain = on.noise(0.3, 0.3 if windows else 0.05)
    return on.layer(shade(picture, 0.2 + 0.6 * grain), solid, depth)


def ground(on: Canvas, colours: str, cell: Pair, grain: Pair, *,
           contrast: float = 0.5, bend: float = 0.0) -> Part:  # fmt: skip
    """A table or farmland from above, in cells of some height and width and of different tone.

    `contrast` is the share of a cell's tone in its colour, the rest is grain; `bend` moves edges.
    """
    rng, field = on.rng, on.noise(*grain)
    y, x = np.mgrid[0 : on.high, 0 : on.wide] / on.unit
    down = ((y + bend * on.noise(0.9, 0.9, 0.5)) / cell[0]).astype(int)
    # Cells of one row are shifted against those of the next, as planks are.
    shift = rng.random(down.max() + 1)[down]
    across = ((x + bend * on.noise(0.9, 0.9, 0.5)) / cell[1] + shift).astype(int)
    tones = rng.random((down.max() + 1, across.max() + 1))[down, across]
    picture = ramp(tones * contrast + lit(field, 3.0) * (1 - contrast), colours)
    edges = (np.diff(down, axis=0, prepend=-1) != 0) | (np.diff(across, prepend=-1) != 0)
    return Part(shade(picture, 0.5 - 0.3 * edges))


def piece(on: Canvas, colours: str, sides: Pair, at: Pair, angle: float = 0.0, *,
          shape: str = "rectangle", speed: Pair = (0.0, 0.0), sway: Pair = (0.0, 0.0)
          ) -> Part:  # fmt: skip
    """A board, a disc, a truck or a road from above, turned by degrees, with its shadow."""
    wide, high = (round(side * on.unit * 2) for side in sides)
    picture = ramp(lit(on.patch((high, wide), (high / 4, wide / 2)), 4.0), colours)
    solid, edge, soft = Image.new("L", picture.size), colours.split(maxsplit=1)[0], high / 24
    for layer, fill, outline in ((solid, 255, 255), (picture, None, edge)):
        draw = getattr(ImageDraw.Draw(layer), shape)
        draw((0, 0, wide - 1, high - 1), fill, outline, max(2, high // 12))
    picture.putalpha(solid)
    body = ImageOps.expand(picture, round(high / 4), (0, 0, 0, 0))
    small = body.rotate(angle, Image.Resampling.BICUBIC, expand=True).reduce(2)
    shadow = Image.new("RGBA", small.size)
    alpha = small.getchannel("A").filter(ImageFilter.GaussianBlur(soft))
    shadow.paste((0, 0, 0, 150), (round(soft), round(soft)), alpha)
    return Part(Image.alpha_composite(shadow, small), at, speed, sway)


def disc(on: Canvas, colours: str, side: float, at: Pair, speed: Pair) -> Part:
    """A round plate that slides."""
    return piece(on, colours, (side, side), at, shape="ellipse", speed=speed)


Outline = tuple[str, tuple[float, ...], str]
"""A drawing method, points in hundredths of the length, and a colour or none for the thing's."""
_CAR: Sequence[Outline] = (
    ("polygon", (20, 24, 32, 8, 68, 8, 84, 24), "#344"), ("rectangle", (0, 22, 100, 42), ""),
    ("polygon", (25, 23, 34, 11, 66, 11, 78, 23), "#9bc"), ("rectangle", (95, 27, 100, 32), "#ffc"),
    ("ellipse", (12, 32, 34, 54), "#222"), ("ellipse", (68, 32, 90, 54), "#222"),
)  # fmt: skip
_BOAT: Sequence[Outline] = (
    ("polygon", (0, 92, 100, 92, 84, 114, 15, 114), ""), ("rectangle", (45, 0, 48, 92), "#543"),
    ("polygon", (51, 2, 94, 86, 51, 88), "#eed"), ("polygon", (42, 8, 42, 86, 8, 86), "#ccb"),
)  # fmt: skip


def thing(on: Canvas, outlines: Sequence[Outline], colour: str, length: float, at: Pair, *,
          speed: Pair, sway: Pair = (0.0, 0.0)) -> Part:  # fmt: skip
    """A car or a boat from the side, that faces to where it moves."""
    unit = 4 * length * on.unit / 100
    picture = Image.new("RGBA", (round(104 * unit), round(116 * unit)))
    for method, points, ink in outlines:
        scaled = [(point + 2) * unit for point in points]
        getattr(ImageDraw.Draw(picture), method)(scaled, ink or colour)
    small = picture.reduce(4)
    return Part(ImageOps.mirror(small) if speed[0] < 0 else small, at, speed, sway)


def _cars(on: Canvas, *cars: tuple[str, float, float]) -> list[Part]:
    """Cars on a street, the farther lane first: colour, place at time 0, speed to the right."""
    return [thing(on, _CAR, colour, 0.36, (x, 0.42 if speed < 0 else 0.52), speed=(speed, 0.0))
            for colour, x, speed in cars]  # fmt: skip


def _road(on: Canvas, y: float, *trucks: tuple[str, float, float]) -> list[Part]:
    """A road from above and what drives on it: colour, place at time 0, speed to the right."""
    return [piece(on, _TAR, (4.0, 0.09), (0.0, y)),
            *(piece(on, f"#222 {colour} {colour}", (0.09, 0.035),
                    (x, y + math.copysign(0.02, speed)), speed=(speed, 0.0))
              for colour, x, speed in trucks)]  # fmt: skip


_TAR, _WOOD, _SEA = "#333 #666 #999", "#642 #c96 #fda", "#257 #368 #59b #8bc"

_PICTURES: dict[str, tuple[Camera, Callable[[Canvas], list[Part]]]] = {
    "dawn_peaks": (Camera((-0.3, 0.0), pan=(0.16, 0.0)), lambda on: [
        sky(on, "#459 #d98 #fc9", sun=(-0.5, -0.25, 0.06)),
        ridge(on, -0.02, 0.5, "#768 #c9a #fdc", 0.3, hill=0.8, rough=0.6),
        ridge(on, 0.22, 0.3, "#335 #667 #ba8", 0.6),
        ridge(on, 0.42, 0.16, "#121 #343 #674", 1.0, pines=46)]),
    "dunes": (Camera((0.35, -0.06), pan=(-0.12, 0.025)), lambda on: [
        sky(on, "#137 #37b #9bc", cover=0.3),
        ridge(on, -0.1, 0.5, "#863 #b85 #dc9", 0.3, hill=1.2, rough=0.2),
        ridge(on, 0.15, 0.6, "#642 #d94 #fe9", 0.7, hill=1.3, rough=0.2),
        ridge(on, 0.4, 0.3, "#532 #c84 #fd8", 1.0, hill=0.9, rough=0.2)]),
    "snow": (Camera(zoom=1.02, zoom_rate=0.07), lambda on: [
        sky(on, "#789 #9ab #ccd", cover=0.7),
        ridge(on, 0.1, 0.2, "#78a #bcd #eff", 0.4, hill=0.9, pines=90),
        ridge(on, 0.34, 0.2, "#9ab #def #fff", 1.0, hill=0.7, rough=0.35, pines=16)]),
    "canyon": (Camera((0.3, 0.0), pan=(-0.13, 0.0)), lambda on: [
        sky(on, "#fc8 #fda #fed", cover=0.3, sun=(0.3, -0.2, 0.08)),
        ridge(on, -0.3, 0.5, "#411 #942 #c74 #eb7", 0.35, rough=0.62, bands=0.4),
        ridge(on, 0.05, 0.5, "#311 #732 #b53", 0.75, rough=0.6, bands=0.4),
        ridge(on, 0.4, 0.2, "#221 #653 #a85", 1.0)]),
    "country_road": (Camera((-0.6, 0.0), pan=(0.4, 0.0)), lambda on: [
        sky(on, "#37c #8be #cde", cover=0.6),
        ridge(on, -0.05, 0.15, "#465 #686 #9b8", 0.2, pines=120),
        ridge(on, 0.1, 0.1, "#341 #683 #bb6", 0.5, pines=30),
        ridge(on, 0.36, 0.0, _TAR, 1.0, grain=(0.05, 0.5)), *_cars(on, ("#eb3", 0.8, -0.3))]),
    "harbour": (Camera(pan=(0.03, 0.0), shake=0.004), lambda on: [
        sky(on, "#6ad #acd #eff"),
        row(on, "#eed #b32 #b96", 0.3, (0.2, 0.4), (0.1, 0.2), windows="#249"),
        ridge(on, 0.0, 0.0, "#469 #58b #7bd #bde", 0.4, grain=(0.02, 0.15)),
        thing(on, _BOAT, "#b32", 0.3, (0.3, -0.02), speed=(0.03, 0.0), sway=(0.0, 0.006)),
        ridge(on, 0.16, 0.02, _SEA, 0.7, grain=(0.04, 0.3)),
        thing(on, _BOAT, "#249", 0.6, (-0.5, 0.05), speed=(0.09, 0.0), sway=(0.0, 0.012)),
        ridge(on, 0.36, 0.04, _SEA, 1.2, grain=(0.08, 0.5))]),
    "forest_walk": (Camera((-0.4, 0.0), pan=(0.2, 0.0), shake=0.004), lambda on: [
        sky(on, "#7a4 #ef9 #8b5", "#583", 0.5),
        row(on, "#786 #675", 0.35, (1.0, 1.0), (0.02, 0.04), gap=0.3),
        row(on, "#543 #654", 0.65, (1.0, 1.0), (0.06, 0.09), gap=0.6),
        ridge(on, 0.3, 0.05, "#321 #853 #ca5", 0.8),
        row(on, "#432 #321", 1.0, (1.0, 1.0), (0.1, 0.16), gap=1.0)]),
    "street_by_day": (Camera((0.1, 0.0), pan=(-0.05, 0.0)), lambda on: [
        sky(on, "#48d #9ce #dee"),
        row(on, "#b98 #cba", 0.45, (0.5, 0.72), (0.22, 0.48), windows="#789 #9bb"),
        row(on, "#a54 #c96 #b75 #dca", 0.9, (0.25, 0.5), (0.22, 0.48), gap=0.1,
            windows="#345 #578 #bcd"),
        ridge(on, 0.24, 0.0, _TAR, 1.0, grain=(0.05, 0.4)),
        *_cars(on, ("#25a", 0.8, -0.4), ("#b32", -0.7, 0.45), ("#eb3", -1.6, 0.5))]),
    "moonlit": (Camera((-0.2, 0.0), pan=(0.09, 0.0)), lambda on: [
        sky(on, "#002 #113 #224", "#223", 0.4, (0.5, -0.36, 0.04)),
        row(on, "#112 #223", 0.45, (0.3, 0.72), (0.15, 0.3), windows="#223 #223 #223 #875"),
        row(on, "#112 #323 #322", 0.9, (0.25, 0.5), (0.22, 0.48), gap=0.2,
            windows="#112 #112 #112 #fc6 #bcd"),
        ridge(on, 0.3, 0.0, "#112 #223 #445", 1.0, grain=(0.05, 0.4)),
        *_cars(on, ("#346", 0.9, -0.26), ("#511", -1.3, 0.32))]),
    "marbles": (Camera(pan=(0.02, 0.01)), lambda on: [
        ground(on, "#321 #853 #c95", (0.16, 1.1), (0.04, 1.2)),
        disc(on, "#149 #6ae #fff", 0.36, (-0.85, -0.2), (0.42, 0.06)),
        disc(on, "#911 #e53 #fd7", 0.28, (0.75, 0.3), (-0.3, -0.12)),
        disc(on, "#053 #7c5 #ffc", 0.2, (-0.2, 0.7), (0.1, -0.3))]),
    "crates": (Camera(zoom=1.22, zoom_rate=-0.05), lambda on: [
        ground(on, "#134 #599 #eed", (0.13, 0.13), (0.5, 0.5), contrast=0.75),
        piece(on, _WOOD, (0.36, 0.34), (-0.4, -0.1), 14, sway=(0.14, 0.0)),
        piece(on, "#413 #847 #d9b", (0.26, 0.26), (0.42, 0.16), -22, sway=(0.0, 0.15)),
        piece(on, _WOOD, (0.22, 0.2), (0.1, -0.28), 38, speed=(-0.06, 0.05))]),
    "billiards": (Camera((0.1, 0.0), pan=(-0.04, 0.0), shake=0.003), lambda on: [
        ground(on, "#021 #174 #5c9", (0.62, 0.9), (0.1, 0.1), contrast=0.2, bend=0.1),
        disc(on, "#a22 #fff #a22", 0.16, (-0.7, 0.25), (0.36, -0.13)),
        disc(on, "#222 #fff #222", 0.16, (0.5, -0.3), (-0.2, 0.13)),
        disc(on, "#eb3 #fff #eb3", 0.16, (0.1, 0.36), (0.12, -0.22)),
        disc(on, "#25a #fff #25a", 0.16, (-0.3, -0.34), (0.16, 0.14))]),
    "workshop": (Camera(pan=(0.01, 0.03)), lambda on: [
        ground(on, "#864 #db8 #fdb", (1.2, 0.08), (1.0, 0.03)),
        piece(on, "#124 #257 #7ab", (0.24, 0.2), (-0.06, -0.26), 20, sway=(0.1, 0.02)),
        piece(on, "#511 #932 #c75", (0.18, 0.15), (0.08, 0.04), -30, sway=(0.0, 0.08)),
        piece(on, _TAR, (0.26, 0.2), (-0.08, 0.32), 8, speed=(0.02, -0.03))]),
    "farmland": (Camera((-0.4, 0.05), pan=(0.075, -0.01), zoom=1.05, zoom_rate=0.035), lambda on: [
        ground(on, "#463 #894 #cb6 #a75", (0.3, 0.42), (0.2, 0.3), contrast=0.6, bend=0.35),
        *_road(on, -0.14, ("#b32", -0.9, 0.2), ("#eed", 0.7, -0.16), ("#eb3", -0.2, 0.17)),
        *_road(on, 0.3, ("#25a", -0.6, 0.14), ("#eed", -1.3, 0.12), ("#b32", 1.4, -0.2))]),
    "lavender": (Camera((0.5, 0.0), pan=(-0.16, 0.0)), lambda on: [
        ground(on, "#436 #85a #b8d #896", (0.9, 0.11), (0.1, 0.05), bend=0.12),
        *_road(on, 0.12, ("#eed", -0.6, 0.25))]),
}  # fmt: skip


def _scene(name: str, size: Size) -> Scene:
    camera, paint = _PICTURES[name]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    on = Canvas(rng, round(size[0] + 1.2 * size[1]), round(1.3 * size[1]), size[1])
    return stage(size, camera, paint(on))


SCENES: dict[str, Callable[[Size], Scene]] = {name: partial(_scene, name) for name in _PICTURES}
"""Every scene by its name."""
