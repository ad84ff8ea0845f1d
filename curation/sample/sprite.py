"""Small things that move: rolling balls, boxes, cars, boats, trees, each with a soft shadow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from curation.sample.texture import Colour, noise, ramp

_OVER = 4
"""How many times larger outlines are drawn before they are reduced, so that edges are smooth."""


def darker(colour: Colour, factor: float) -> Colour:
    """The colour times `factor`; above 1 it gets lighter."""
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue


def _with_shadow(body: Image.Image, offset: tuple[int, int], softness: float) -> Image.Image:
    """The RGBA body on top of its own blurred shadow; the margin must be in the body."""
    alpha = Image.new("L", body.size)
    alpha.paste(body.getchannel("A").point(lambda value: value * 0.55), offset)
    black = Image.new("RGBA", body.size)
    black.putalpha(alpha.filter(ImageFilter.GaussianBlur(softness)))
    return Image.alpha_composite(black, body)


def ball(
    seed: int, diameter: int, colours: tuple[Colour, ...], *, turn: float, heading: float
) -> Callable[[float], Image.Image]:
    """A textured ball that rolls `turn` radians a second towards `heading` (radians).

    The surface is a noise texture by longitude and latitude around the rolling axis.
    """
    margin = diameter // 4
    side = diameter + 2 * margin
    axis = (np.arange(side) - (side - 1) / 2) / (diameter / 2)
    x, y = np.meshgrid(axis, axis)
    ahead = x * math.cos(heading) + y * math.sin(heading)
    aside = -x * math.sin(heading) + y * math.cos(heading)
    radius = np.sqrt(x**2 + y**2)
    up = np.sqrt(np.clip(1.0 - radius**2, 0.0, 1.0))
    longitude = np.arctan2(ahead, up)
    latitude = np.arcsin(np.clip(aside, -1.0, 1.0))
    surface = noise(seed, (256, 512), cell=70, octaves=5)
    surface = np.concatenate([surface, surface[:, ::-1]], axis=1)
    light = np.clip(0.35 + 0.75 * (up * 0.75 - x * 0.45 - y * 0.5), 0.15, 1.25)[..., None]
    alpha = np.clip((1.0 - radius) * diameter / 2 + 0.5, 0.0, 1.0) * 255
    row = ((latitude / math.pi + 0.5) * 255).astype(np.intp)
    skin = np.asarray(ramp(surface, colours), np.float32)

    def at(time: float) -> Image.Image:
        column = ((longitude - turn * time) / (2 * math.pi) * 1024).astype(np.intp) % 1024
        lit = np.clip(skin[row, column] * light, 0, 255)
        body = Image.fromarray(np.dstack([lit, alpha]).astype(np.uint8))
        return _with_shadow(body, (margin // 2, margin // 2), margin / 3)

    return at


def box(seed: int, side: int, colours: tuple[Colour, ...], *, angle: float) -> Image.Image:
    """A crate seen from above, with planks, turned by `angle` degrees, and its shadow."""
    large = side * 2
    planks = noise(seed, (large, large), cell=(8, large), octaves=4)
    picture = ramp(planks, colours).convert("RGBA")
    pen = ImageDraw.Draw(picture)
    edge = darker(colours[0], 0.5)
    for part in range(1, 4):
        pen.line((0, large * part // 4, large, large * part // 4), edge, max(2, large // 40))
    pen.line((0, 0, large, large), darker(colours[-1], 0.8), large // 12)
    pen.rectangle((0, 0, large - 1, large - 1), outline=edge, width=large // 14)
    whole = Image.new("RGBA", (large * 2, large * 2))
    whole.paste(picture, (large // 2, large // 2))
    turned = whole.rotate(angle, Image.Resampling.BICUBIC)
    reduced = turned.resize((side * 2, side * 2), Image.Resampling.LANCZOS)
    return _with_shadow(reduced, (side // 8, side // 8), side / 14)


def car(
    length: int, colour: Colour, *, lights: bool = False, mirrored: bool = False
) -> Image.Image:
    """A car from the side, facing right unless `mirrored`; `lights` gives it a beam."""
    unit = length * _OVER / 100
    high = round(60 * unit)
    picture = Image.new("RGBA", (round(180 * unit), high))
    pen = ImageDraw.Draw(picture)

    def scaled(*points: float) -> list[float]:
        return [point * unit for point in points]

    pen.ellipse(scaled(8, 46, 112, 56), (0, 0, 0, 130))
    if lights:
        pen.polygon(scaled(106, 33, 180, 30, 180, 54, 106, 36), (255, 240, 190, 90))
    picture = picture.filter(ImageFilter.GaussianBlur(2.5 * unit))
    pen = ImageDraw.Draw(picture)
    pen.polygon(scaled(28, 26, 40, 10, 76, 10, 92, 26), darker(colour, 0.8))
    pen.polygon(scaled(33, 25, 42, 13, 57, 13, 57, 25), (150, 180, 200))
    pen.polygon(scaled(60, 25, 60, 13, 74, 13, 86, 25), (120, 150, 175))
    pen.rounded_rectangle(scaled(10, 24, 110, 44), 8 * unit, colour)
    pen.rectangle(scaled(12, 37, 108, 40), darker(colour, 0.6))
    pen.line(scaled(58, 25, 58, 43), darker(colour, 0.6), round(unit))
    pen.rectangle(scaled(104, 29, 110, 34), (255, 245, 200))
    pen.rectangle(scaled(10, 29, 14, 34), (220, 40, 30))
    for wheel in (32, 88):
        pen.ellipse(scaled(wheel - 10, 34, wheel + 10, 54), (25, 25, 28))
        pen.ellipse(scaled(wheel - 5, 39, wheel + 5, 49), (150, 150, 155))
    small = picture.resize(
        (round(picture.width / _OVER), round(high / _OVER)), Image.Resampling.BOX
    )
    return small.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else small


def car_from_above(length: int, colour: Colour, *, angle: float) -> Image.Image:
    """A car from above, facing right and turned by `angle` degrees, with its shadow."""
    unit = length * _OVER / 40
    picture = Image.new("RGBA", (round(60 * unit), round(60 * unit)))
    pen = ImageDraw.Draw(picture)
    pen.rounded_rectangle([v * unit for v in (10, 21, 50, 39)], 5 * unit, colour)
    pen.rounded_rectangle([v * unit for v in (22, 23, 42, 37)], 3 * unit, (30, 40, 50))
    pen.rounded_rectangle([v * unit for v in (25, 24, 37, 36)], 2 * unit, darker(colour, 1.2))
    turned = picture.rotate(angle, Image.Resampling.BICUBIC)
    side = round(turned.width / _OVER)
    small = turned.resize((side, side), Image.Resampling.BOX)
    return _with_shadow(small, (max(1, length // 14), max(1, length // 14)), max(1.0, length / 25))


def boat(length: int, colour: Colour, sail: Colour) -> Image.Image:
    """A sailing boat from the side."""
    unit = length * _OVER / 100
    picture = Image.new("RGBA", (round(110 * unit), round(130 * unit)))
    pen = ImageDraw.Draw(picture)
    pen.polygon([v * unit for v in (5, 102, 105, 102, 88, 124, 20, 124)], colour)
    pen.line([v * unit for v in (6, 107, 102, 107)], (245, 245, 240), round(3 * unit))
    pen.line([v * unit for v in (52, 4, 52, 102)], (90, 70, 50), round(3 * unit))
    pen.polygon([v * unit for v in (56, 8, 98, 94, 56, 96)], sail)
    pen.polygon([v * unit for v in (48, 14, 48, 94, 14, 94)], darker(sail, 0.85))
    size = round(picture.width / _OVER), round(picture.height / _OVER)
    return picture.resize(size, Image.Resampling.BOX)


def tree(seed: int, height: int, colours: tuple[Colour, ...]) -> Image.Image:
    """A round tree from the side: a trunk and a crown of many leaves lit from the left."""
    rng = np.random.default_rng(seed)
    unit = height / 100
    picture = Image.new("RGBA", (round(80 * unit), height))
    pen = ImageDraw.Draw(picture)
    pen.rectangle([v * unit for v in (36, 50, 43, 100)], (70, 52, 38))
    for _ in range(260):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0, 1))
        x, y = 40 + 30 * reach * math.cos(angle), 36 + 32 * reach * math.sin(angle)
        bright = np.clip(0.5 - (x - 40) / 90 - (y - 36) / 80 + rng.normal(0, 0.18), 0, 0.999)
        leaf = rng.uniform(2.5, 6.0)
        colour = colours[int(bright * len(colours))]
        pen.ellipse([v * unit for v in (x - leaf, y - leaf, x + leaf, y + leaf)], colour)
    return picture
