"""The scenes of the sample: a few functions that paint layers, and a table of what they paint.

Positions and sizes are in frame heights from the middle, as for the camera.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from curation.sample.film import XY, Camera, Layer, Scene, Size, compose
from curation.sample.texture import Field, colour_ramp, mask, noise, relief, shade


@dataclass(frozen=True)
class Canvas:
    """The world behind a frame, larger so that the camera can move; sizes in pixels."""

    rng: np.random.Generator
    """The source of all randomness, used in order."""
    width: int
    height: int
    unit: int
    """A frame height."""

    def noise(self, height: float, width: float, roughness: float = 0.8) -> Field:
        """Noise as large as the world, with coarsest features of this size."""
        return self.patch(
            (self.height, self.width), (height * self.unit, width * self.unit), roughness
        )

    def patch(self, shape: Size, cell: XY, roughness: float = 0.8) -> Field:
        """Noise of this height and width, all in pixels."""
        return noise(int(self.rng.integers(1 << 31)), shape, cell=cell, roughness=roughness)

    def layer(self, picture: Image.Image, solid: Image.Image, depth: float) -> Layer:
        """The picture where the mask is solid, without the empty rows above."""
        picture.putalpha(solid)
        top = (solid.getbbox() or (0, 0, 0, 0))[1]
        visible = picture.crop((0, top, self.width, self.height))
        return Layer(visible, position=(0.0, top / 2 / self.unit), depth=depth)


def sky(canvas: Canvas, colours: str, cloud: str = "#fff", cover: float = 0.5,
        sun: tuple[float, float, float] | None = None) -> Layer:  # fmt: skip
    """From the zenith's colour to the horizon's, with drifting clouds and a sun (place, radius)."""
    rows, columns = np.mgrid[0 : canvas.height, 0 : canvas.width].astype(np.float32)
    picture = colour_ramp(1.5 * rows / canvas.height, colours)
    if sun is not None:
        x, y = canvas.width / 2 + sun[0] * canvas.unit, canvas.height / 2 + sun[1] * canvas.unit
        distance = np.hypot(columns - x, rows - y) / (sun[2] * canvas.unit)
        glow = np.where(distance < 1, 1, 0.75 / (1 + 0.35 * distance**2))
        picture.paste("#fed", None, mask(glow))
    clouds = canvas.noise(0.22, 0.7, 0.55)
    picture.paste(cloud, None, mask(np.clip((clouds - 1 + cover) * 2.4, 0, 0.92)))
    return Layer(picture, speed=(-0.006, 0.0), depth=0.12)


def ridge(canvas: Canvas, top: float, swing: float, colours: str, depth: float, *,
          hill: float = 0.5, rough: float = 0.5, grain: XY = (0.25, 0.4), bands: float = 0.0,
          pines: int = 0) -> Layer:  # fmt: skip
    """Hills as long as `hill` whose crest varies around `top` by `swing`; at 0 a plain or the sea.

    A roughness of 0.2 makes dunes and of 0.6 rock; `bands` is the share of strata in its colour.
    """
    line = canvas.patch((1, canvas.width), (1, hill * canvas.unit), rough)
    crest = canvas.height / 2 + (top + swing * (0.5 - line)) * canvas.unit
    below = np.arange(canvas.height)[:, None] - crest
    ground = canvas.noise(*grain, max(rough + 0.15, 0.75))
    strata = 0.5 + 0.5 * np.sin((below + crest * 0.75) * (40 / canvas.unit) + ground * 5)
    picture = colour_ramp(relief(ground, 5.0) * (1 - bands) + strata * bands, colours)
    solid = mask(np.clip(below + 0.5, 0, 1))
    for x in canvas.rng.uniform(0, canvas.width, pines):
        foot, tall = float(crest[0, int(x)]) + 4, canvas.unit * canvas.rng.uniform(0.09, 0.2)
        for step in range(4):
            tip, half = foot - tall * (1 - 0.2 * step), tall * (0.07 + 0.055 * step)
            outline = [x, tip, x - half, tip + tall * 0.36, x + half, tip + tall * 0.36]
            ImageDraw.Draw(picture).polygon(outline, "#132620")
            ImageDraw.Draw(solid).polygon(outline, 255)
    return canvas.layer(picture, solid, depth)


def skyline(canvas: Canvas, walls: str, depth: float, tall: XY, broad: XY, *,
        gap: float = 0.0, windows: str = "") -> Layer:  # fmt: skip
    """A row of houses, or without windows the trunks of a forest.

    Each gets one of the colours, a height above a ground 0.25 below the middle, and a width.
    """
    rng, unit, x = canvas.rng, canvas.unit, 0.0
    picture = Image.new("RGB", (canvas.width, canvas.height))
    solid = Image.new("L", picture.size)
    pen = ImageDraw.Draw(picture)
    while x < canvas.width:
        top = canvas.height / 2 + unit * (0.25 - rng.uniform(*tall))
        end, step = x + unit * rng.uniform(*broad), unit * rng.uniform(0.05, 0.075)
        pen.rectangle((x, top, end, canvas.height), str(rng.choice(walls.split())))
        ImageDraw.Draw(solid).rectangle((x, top, end, canvas.height), 255)
        for y in np.arange(top + 0.04 * unit, canvas.height, step * 1.3) if windows else ():
            for left in np.arange(x + 0.02 * unit, end - step * 0.7, step):
                glass = str(rng.choice(windows.split()))
                pen.rectangle((left, y, left + step * 0.6, y + step * 0.8), glass)
        x = end + unit * gap * rng.uniform(0.3, 1)
    grain = canvas.noise(0.3, 0.3 if windows else 0.05)
    return canvas.layer(shade(picture, 0.2 + 0.6 * grain), solid, depth)


def ground(canvas: Canvas, colours: str, cell: XY, grain: XY, *,
           contrast: float = 0.5, bend: float = 0.0) -> Layer:  # fmt: skip
    """A table or farmland from above, in cells of different tones.

    `contrast` is the share of the tone in a cell's colour, the rest grain; `bend` distorts edges.
    """
    rng, field = canvas.rng, canvas.noise(*grain)
    y, x = np.mgrid[0 : canvas.height, 0 : canvas.width] / canvas.unit
    down = ((y + bend * canvas.noise(0.9, 0.9, 0.5)) / cell[0]).astype(int)
    # Rows of cells are shifted against each other, like planks.
    shift = rng.random(down.max() + 1)[down]
    across = ((x + bend * canvas.noise(0.9, 0.9, 0.5)) / cell[1] + shift).astype(int)
    tones = rng.random((down.max() + 1, across.max() + 1))[down, across]
    picture = colour_ramp(tones * contrast + relief(field, 3.0) * (1 - contrast), colours)
    edges = (np.diff(down, axis=0, prepend=-1) != 0) | (np.diff(across, prepend=-1) != 0)
    return Layer(shade(picture, 0.5 - 0.3 * edges))


def board(canvas: Canvas, colours: str, sides: XY, at: XY, angle: float = 0.0, *,
          shape: str = "rectangle", speed: XY = (0.0, 0.0), sway: XY = (0.0, 0.0)
          ) -> Layer:  # fmt: skip
    """A board, disc, truck or road from above, rotated by degrees, with its shadow."""
    wide, high = (round(side * canvas.unit * 2) for side in sides)
    picture = colour_ramp(relief(canvas.patch((high, wide), (high / 4, wide / 2)), 4.0), colours)
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
    return Layer(Image.alpha_composite(shadow, small), at, speed, sway)


def disc(canvas: Canvas, colours: str, side: float, at: XY, speed: XY) -> Layer:
    """A sliding round plate."""
    return board(canvas, colours, (side, side), at, shape="ellipse", speed=speed)


Outline = tuple[str, tuple[float, ...], str]
"""A drawing method, points in hundredths of the length, and a colour or "" for the vehicle's."""
_CAR: Sequence[Outline] = (
    ("polygon", (20, 24, 32, 8, 68, 8, 84, 24), "#344"), ("rectangle", (0, 22, 100, 42), ""),
    ("polygon", (25, 23, 34, 11, 66, 11, 78, 23), "#9bc"), ("rectangle", (95, 27, 100, 32), "#ffc"),
    ("ellipse", (12, 32, 34, 54), "#222"), ("ellipse", (68, 32, 90, 54), "#222"),
)  # fmt: skip
_BOAT: Sequence[Outline] = (
    ("polygon", (0, 92, 100, 92, 84, 114, 15, 114), ""), ("rectangle", (45, 0, 48, 92), "#543"),
    ("polygon", (51, 2, 94, 86, 51, 88), "#eed"), ("polygon", (42, 8, 42, 86, 8, 86), "#ccb"),
)  # fmt: skip


def vehicle(canvas: Canvas, outlines: Sequence[Outline], colour: str, length: float, at: XY, *,
          speed: XY, sway: XY = (0.0, 0.0)) -> Layer:  # fmt: skip
    """A car or a boat from the side, facing the way it moves."""
    unit = 4 * length * canvas.unit / 100
    picture = Image.new("RGBA", (round(104 * unit), round(116 * unit)))
    for method, points, ink in outlines:
        scaled = [(point + 2) * unit for point in points]
        getattr(ImageDraw.Draw(picture), method)(scaled, ink or colour)
    small = picture.reduce(4)
    return Layer(ImageOps.mirror(small) if speed[0] < 0 else small, at, speed, sway)


def _cars(canvas: Canvas, *cars: tuple[str, float, float]) -> list[Layer]:
    """Cars on a street, the farther lane first: colour, position at time 0, speed to the right."""
    return [
        vehicle(canvas, _CAR, colour, 0.36, (x, 0.42 if speed < 0 else 0.52), speed=(speed, 0.0))
        for colour, x, speed in cars
    ]


def _road(canvas: Canvas, y: float, *trucks: tuple[str, float, float]) -> list[Layer]:
    """A road from above with its trucks: colour, position at time 0, speed to the right."""
    return [board(canvas, _TAR, (4.0, 0.09), (0.0, y)),
            *(board(canvas, f"#222 {colour} {colour}", (0.09, 0.035),
                    (x, y + math.copysign(0.02, speed)), speed=(speed, 0.0))
              for colour, x, speed in trucks)]  # fmt: skip


_TAR, _WOOD, _SEA = "#333 #666 #999", "#642 #c96 #fda", "#257 #368 #59b #8bc"

_PICTURES: dict[str, tuple[Camera, Callable[[Canvas], list[Layer]]]] = {
    "dawn_peaks": (Camera((-0.3, 0.0), pan=(0.16, 0.0)), lambda canvas: [
        sky(canvas, "#459 #d98 #fc9", sun=(-0.5, -0.25, 0.06)),
        ridge(canvas, -0.02, 0.5, "#768 #c9a #fdc", 0.3, hill=0.8, rough=0.6),
        ridge(canvas, 0.22, 0.3, "#335 #667 #ba8", 0.6),
        ridge(canvas, 0.42, 0.16, "#121 #343 #674", 1.0, pines=46)]),
    "dunes": (Camera((0.35, -0.06), pan=(-0.12, 0.025)), lambda canvas: [
        sky(canvas, "#137 #37b #9bc", cover=0.3),
        ridge(canvas, -0.1, 0.5, "#863 #b85 #dc9", 0.3, hill=1.2, rough=0.2),
        ridge(canvas, 0.15, 0.6, "#642 #d94 #fe9", 0.7, hill=1.3, rough=0.2),
        ridge(canvas, 0.4, 0.3, "#532 #c84 #fd8", 1.0, hill=0.9, rough=0.2)]),
    "snow": (Camera(zoom=1.02, zoom_rate=0.07), lambda canvas: [
        sky(canvas, "#789 #9ab #ccd", cover=0.7),
        ridge(canvas, 0.1, 0.2, "#78a #bcd #eff", 0.4, hill=0.9, pines=90),
        ridge(canvas, 0.34, 0.2, "#9ab #def #fff", 1.0, hill=0.7, rough=0.35, pines=16)]),
    "canyon": (Camera((0.3, 0.0), pan=(-0.13, 0.0)), lambda canvas: [
        sky(canvas, "#fc8 #fda #fed", cover=0.3, sun=(0.3, -0.2, 0.08)),
        ridge(canvas, -0.3, 0.5, "#411 #942 #c74 #eb7", 0.35, rough=0.62, bands=0.4),
        ridge(canvas, 0.05, 0.5, "#311 #732 #b53", 0.75, rough=0.6, bands=0.4),
        ridge(canvas, 0.4, 0.2, "#221 #653 #a85", 1.0)]),
    "country_road": (Camera((-0.6, 0.0), pan=(0.4, 0.0)), lambda canvas: [
        sky(canvas, "#37c #8be #cde", cover=0.6),
        ridge(canvas, -0.05, 0.15, "#465 #686 #9b8", 0.2, pines=120),
        ridge(canvas, 0.1, 0.1, "#341 #683 #bb6", 0.5, pines=30),
        ridge(canvas, 0.36, 0.0, _TAR, 1.0, grain=(0.05, 0.5)),
        *_cars(canvas, ("#eb3", 0.8, -0.3))]),
    "harbour": (Camera(pan=(0.03, 0.0), shake=0.004), lambda canvas: [
        sky(canvas, "#6ad #acd #eff"),
        skyline(canvas, "#eed #b32 #b96", 0.3, (0.2, 0.4), (0.1, 0.2), windows="#249"),
        ridge(canvas, 0.0, 0.0, "#469 #58b #7bd #bde", 0.4, grain=(0.02, 0.15)),
        vehicle(canvas, _BOAT, "#b32", 0.3, (0.3, -0.02), speed=(0.03, 0.0), sway=(0.0, 0.006)),
        ridge(canvas, 0.16, 0.02, _SEA, 0.7, grain=(0.04, 0.3)),
        vehicle(canvas, _BOAT, "#249", 0.6, (-0.5, 0.05), speed=(0.09, 0.0), sway=(0.0, 0.012)),
        ridge(canvas, 0.36, 0.04, _SEA, 1.2, grain=(0.08, 0.5))]),
    "forest_walk": (Camera((-0.4, 0.0), pan=(0.2, 0.0), shake=0.004), lambda canvas: [
        sky(canvas, "#7a4 #ef9 #8b5", "#583", 0.5),
        skyline(canvas, "#786 #675", 0.35, (1.0, 1.0), (0.02, 0.04), gap=0.3),
        skyline(canvas, "#543 #654", 0.65, (1.0, 1.0), (0.06, 0.09), gap=0.6),
        ridge(canvas, 0.3, 0.05, "#321 #853 #ca5", 0.8),
        skyline(canvas, "#432 #321", 1.0, (1.0, 1.0), (0.1, 0.16), gap=1.0)]),
    "street_by_day": (Camera((0.1, 0.0), pan=(-0.05, 0.0)), lambda canvas: [
        sky(canvas, "#48d #9ce #dee"),
        skyline(canvas, "#b98 #cba", 0.45, (0.5, 0.72), (0.22, 0.48), windows="#789 #9bb"),
        skyline(canvas, "#a54 #c96 #b75 #dca", 0.9, (0.25, 0.5), (0.22, 0.48), gap=0.1,
            windows="#345 #578 #bcd"),
        ridge(canvas, 0.24, 0.0, _TAR, 1.0, grain=(0.05, 0.4)),
        *_cars(canvas, ("#25a", 0.8, -0.4), ("#b32", -0.7, 0.45), ("#eb3", -1.6, 0.5))]),
    "moonlit": (Camera((-0.2, 0.0), pan=(0.09, 0.0)), lambda canvas: [
        sky(canvas, "#002 #113 #224", "#223", 0.4, (0.5, -0.36, 0.04)),
        skyline(canvas, "#112 #223", 0.45, (0.3, 0.72), (0.15, 0.3), windows="#223 #223 #223 #875"),
        skyline(canvas, "#112 #323 #322", 0.9, (0.25, 0.5), (0.22, 0.48), gap=0.2,
            windows="#112 #112 #112 #fc6 #bcd"),
        ridge(canvas, 0.3, 0.0, "#112 #223 #445", 1.0, grain=(0.05, 0.4)),
        *_cars(canvas, ("#346", 0.9, -0.26), ("#511", -1.3, 0.32))]),
    "marbles": (Camera(pan=(0.02, 0.01)), lambda canvas: [
        ground(canvas, "#321 #853 #c95", (0.16, 1.1), (0.04, 1.2)),
        disc(canvas, "#149 #6ae #fff", 0.36, (-0.85, -0.2), (0.42, 0.06)),
        disc(canvas, "#911 #e53 #fd7", 0.28, (0.75, 0.3), (-0.3, -0.12)),
        disc(canvas, "#053 #7c5 #ffc", 0.2, (-0.2, 0.7), (0.1, -0.3))]),
    "crates": (Camera(zoom=1.22, zoom_rate=-0.05), lambda canvas: [
        ground(canvas, "#134 #599 #eed", (0.13, 0.13), (0.5, 0.5), contrast=0.75),
        board(canvas, _WOOD, (0.36, 0.34), (-0.4, -0.1), 14, sway=(0.14, 0.0)),
        board(canvas, "#413 #847 #d9b", (0.26, 0.26), (0.42, 0.16), -22, sway=(0.0, 0.15)),
        board(canvas, _WOOD, (0.22, 0.2), (0.1, -0.28), 38, speed=(-0.06, 0.05))]),
    "billiards": (Camera((0.1, 0.0), pan=(-0.04, 0.0), shake=0.003), lambda canvas: [
        ground(canvas, "#021 #174 #5c9", (0.62, 0.9), (0.1, 0.1), contrast=0.2, bend=0.1),
        disc(canvas, "#a22 #fff #a22", 0.16, (-0.7, 0.25), (0.36, -0.13)),
        disc(canvas, "#222 #fff #222", 0.16, (0.5, -0.3), (-0.2, 0.13)),
        disc(canvas, "#eb3 #fff #eb3", 0.16, (0.1, 0.36), (0.12, -0.22)),
        disc(canvas, "#25a #fff #25a", 0.16, (-0.3, -0.34), (0.16, 0.14))]),
    "workshop": (Camera(pan=(0.01, 0.03)), lambda canvas: [
        ground(canvas, "#864 #db8 #fdb", (1.2, 0.08), (1.0, 0.03)),
        board(canvas, "#124 #257 #7ab", (0.24, 0.2), (-0.06, -0.26), 20, sway=(0.1, 0.02)),
        board(canvas, "#511 #932 #c75", (0.18, 0.15), (0.08, 0.04), -30, sway=(0.0, 0.08)),
        board(canvas, _TAR, (0.26, 0.2), (-0.08, 0.32), 8, speed=(0.02, -0.03))]),
    "farmland": (Camera((-0.4, 0.05), (0.075, -0.01), 1.05, 0.035), lambda canvas: [
        ground(canvas, "#463 #894 #cb6 #a75", (0.3, 0.42), (0.2, 0.3), contrast=0.6, bend=0.35),
        *_road(canvas, -0.14, ("#b32", -0.9, 0.2), ("#eed", 0.7, -0.16), ("#eb3", -0.2, 0.17)),
        *_road(canvas, 0.3, ("#25a", -0.6, 0.14), ("#eed", -1.3, 0.12), ("#b32", 1.4, -0.2))]),
    "lavender": (Camera((0.5, 0.0), pan=(-0.16, 0.0)), lambda canvas: [
        ground(canvas, "#436 #85a #b8d #896", (0.9, 0.11), (0.1, 0.05), bend=0.12),
        *_road(canvas, 0.12, ("#eed", -0.6, 0.25))]),
}  # fmt: skip


def _scene(name: str, size: Size) -> Scene:
    camera, paint = _PICTURES[name]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    canvas = Canvas(rng, round(size[0] + 1.2 * size[1]), round(1.3 * size[1]), size[1])
    return compose(size, camera, paint(canvas))


SCENES: dict[str, Callable[[Size], Scene]] = {name: partial(_scene, name) for name in _PICTURES}
"""Every scene by its name."""
