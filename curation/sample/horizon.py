"""Scenes on a plane that reaches to the horizon: a drive along a road, and a sea.

Each row below the horizon lies at one distance, so a frame is a lookup into a texture of the ground
by distance and by sideways offset; far rows fade into the colour of the air, which also hides the
shimmer of a texture sampled too coarsely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.sample.sprite import boat, tree
from curation.sample.stage import Camera, Layer, Scene, Size, draw_sprite, stage
from curation.sample.texture import Colour, grey, noise, ramp, relief

_TEXELS = 96
"""Texture pixels in one unit of ground (the eye's height above it)."""


@dataclass(frozen=True)
class _Plane:
    """Where each pixel below the horizon lies on the ground."""

    rows: int
    """Pixel rows below the horizon."""
    ahead: npt.NDArray[np.float32]
    """Distance of each row."""
    aside: npt.NDArray[np.float32]
    """Sideways offset of each pixel, [rows, width]."""
    fog: Image.Image
    """How much of the air covers each pixel."""


def _plane(size: Size, horizon: float, reach: float) -> _Plane:
    width, height = size
    rows = round(height * (1 - horizon))
    ahead = (0.62 * height / (np.arange(rows) + 1.0)).astype(np.float32)
    aside = (np.arange(width) - width / 2)[None] * ahead[:, None] / (0.62 * height)
    fog = 1.0 - np.exp(-np.square(ahead / reach))
    cover = np.broadcast_to(fog[:, None], (rows, width)).astype(np.float32)
    return _Plane(rows, ahead, aside.astype(np.float32), grey(cover))


def _look(texture: npt.NDArray[np.uint8], plane: _Plane, x: float, z: float) -> Image.Image:
    row = ((plane.ahead + z) * _TEXELS).astype(np.intp) % texture.shape[0]
    column = ((plane.aside + x) * _TEXELS).astype(np.intp) % texture.shape[1]
    return Image.fromarray(texture[row[:, None], column])


def _mirrored(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """The picture followed by its mirror images, so that it repeats without a seam."""
    half = np.asarray(picture)
    full = np.concatenate([half, half[::-1]], axis=0)
    return np.concatenate([full, full[:, ::-1]], axis=1)


def drive(
    seed: int,
    size: Size,
    behind: Layer,
    *,
    land: Sequence[Colour],
    road: Sequence[Colour],
    leaves: tuple[Colour, ...],
    air: Colour,
    speed: float = 3.0,
    horizon: float = 0.45,
) -> Scene:
    """A drive along a straight road between trees, `speed` eye heights a second."""
    plane = _plane(size, horizon, 16.0)
    texels = (512, 768)
    soil = noise(seed, texels, cell=90, roughness=0.8)
    ground = np.asarray(ramp(relief(soil, strength=1.2) * 0.5 + soil * 0.5, land)).copy()
    tar = np.asarray(ramp(noise(seed + 1, texels, cell=30, roughness=0.9), road))
    half = round(1.5 * _TEXELS)
    ground[:, :half] = tar[:, :half]
    ground[:, half - 14 : half - 6] = (228, 224, 210)
    ground[: texels[0] // 2, :5] = (232, 210, 120)
    texture = _mirrored(Image.fromarray(ground))
    back = stage(size, Camera(sway=(0.1, 0.0)), [behind])
    rng = np.random.default_rng(seed + 2)
    trees = [tree(seed + kind, 200, leaves) for kind in range(3)]
    plants = [
        (float(z), float(rng.choice((-1, 1)) * rng.uniform(2.0, 5.0)), int(rng.integers(3)))
        for z in np.arange(0, 60, 1.1)
    ]
    mist = Image.new("RGB", (size[0], plane.rows), air)

    def at(time: float) -> Image.Image:
        frame = back(time)
        gone, offset = speed * time, 0.35 + 0.25 * math.sin(0.8 * time)
        land_now = _look(texture, plane, offset, gone)
        land_now.paste(mist, mask=plane.fog)
        frame.paste(land_now, (0, size[1] - plane.rows))
        for z, x, kind in sorted(((z - gone, x, kind) for z, x, kind in plants), reverse=True):
            if 0.9 < z < 16.0:
                scale = 0.62 * size[1] / z
                high = max(4, round(1.9 * scale))
                wide = max(3, round(trees[kind].width * high / trees[kind].height))
                if abs((x - offset) * scale) < size[0] / 2 + wide:
                    plant = trees[kind].resize(
                        (wide, high), Image.Resampling.BILINEAR, reducing_gap=1.0
                    )
                    foot = size[1] - plane.rows + scale
                    draw_sprite(
                        frame, plant, (size[0] / 2 + (x - offset) * scale, foot - high / 2 + 2)
                    )
        return frame

    return at


def sea(
    seed: int,
    size: Size,
    behind: Layer,
    *,
    water: Sequence[Colour],
    air: Colour,
    boats: Sequence[tuple[Colour, Colour, float, float, float]],
    horizon: float = 0.4,
) -> Scene:
    """Waves under a sky. A boat is (hull, sail, x, speed, length), lengths in frame heights."""
    plane = _plane(size, horizon, 22.0)
    swell = noise(seed, (512, 512), cell=(34, 80), octaves=6, roughness=0.62)
    waves = _mirrored(ramp(relief(swell, strength=4.5) * 0.8 + swell * 0.2, water))
    back = stage(size, Camera(sway=(0.03, 0.0)), [behind])
    mist = Image.new("RGB", (size[0], plane.rows), air)
    sprites = [boat(round(length * size[1]), hull, sail) for hull, sail, _, _, length in boats]

    def at(time: float) -> Image.Image:
        frame = back(time)
        near = _look(waves, plane, 0.5 * time, 0.7 * time)
        near = Image.blend(near, _look(waves, plane, 3.0 - 0.3 * time, 1.1 * time + 2.0), 0.5)
        near.paste(mist, mask=plane.fog)
        frame.paste(near, (0, size[1] - plane.rows))
        for sprite, (_, _, x, speed, length) in zip(sprites, boats, strict=True):
            rock = sprite.rotate(3 * math.sin(1.6 * time + x), Image.Resampling.BICUBIC)
            centre_y = horizon + 0.55 * length * length - 0.45 * length + 0.03
            bob = 0.008 * math.sin(2.1 * time + 3 * x)
            place = ((0.5 + x + speed * time) * size[0], (centre_y + bob) * size[1])
            draw_sprite(frame, rock, place)
        return frame

    return at
