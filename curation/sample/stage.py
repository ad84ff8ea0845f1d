"""A stage: a camera, flat layers at several depths, and things that move between them.

All lengths are in frame heights and all layers are centred on the origin, so a scene is the same at
every size. A layer is drawn once, larger than the frame, and every frame samples a box of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

MARGIN_X = 0.6
"""How far a layer reaches beyond the frame on the left and on the right."""
MARGIN_Y = 0.15
"""How far a layer reaches beyond the frame above and below."""

Size = tuple[int, int]
"""Width and height in pixels."""
Scene = Callable[[float], Image.Image]
"""The RGB picture at a time in seconds; all pictures of a scene have one size."""


def canvas_size(size: Size) -> Size:
    """Width and height in pixels of a layer for frames of `size`."""
    width, height = size
    return round(width + 2 * MARGIN_X * height), round(height * (1 + 2 * MARGIN_Y))


@dataclass(frozen=True)
class Camera:
    """Where the camera looks: a start, a steady pan and zoom, and a hand that is not steady."""

    start: tuple[float, float] = (0.0, 0.0)
    """Centre of the view at time 0."""
    pan: tuple[float, float] = (0.0, 0.0)
    """Movement of the centre, a second."""
    sway: tuple[float, float] = (0.0, 0.0)
    """Reach of a slow movement to and fro, on top of the pan."""
    zoom: float = 1.0
    """Magnification at time 0; at least 1."""
    zoom_rate: float = 0.0
    """Growth of the magnification a second."""
    shake: float = 0.002
    """Reach of a fast small shake."""

    def at(self, time: float) -> tuple[float, float, float]:
        """Centre x, centre y and magnification at a time in seconds."""
        x = self.start[0] + self.pan[0] * time + self.sway[0] * math.sin(0.9 * time)
        y = self.start[1] + self.pan[1] * time + self.sway[1] * math.sin(0.7 * time)
        x += self.shake * (math.sin(7.1 * time) + math.sin(11.7 * time + 1.0))
        y += self.shake * (math.sin(8.3 * time + 2.0) + math.sin(13.1 * time))
        return x, y, max(self.zoom * math.exp(self.zoom_rate * time), 1.0)


@dataclass(frozen=True)
class Layer:
    """A flat picture at one depth."""

    picture: Image.Image
    """RGB, of `canvas_size`."""
    mask: Image.Image | None = None
    """Where the layer is solid, one channel of the same size; None means everywhere."""
    depth: float = 1.0
    """How much it follows the camera: 0 is infinitely far, 1 is the ground of the action."""
    drift: float = 0.0
    """Movement of its own to the right, a second (clouds)."""

    @cached_property
    def crest(self) -> int:
        """The first row in which it is solid anywhere; rows above need no work."""
        box = self.mask.getbbox() if self.mask else None
        return box[1] if box else 0


@dataclass(frozen=True)
class Mover:
    """A small picture that moves over the layers before it."""

    sprite: Callable[[float], Image.Image]
    """The RGBA picture at a time in seconds, at magnification 1."""
    path: Callable[[float], tuple[float, float]]
    """Its centre at a time in seconds, in frame heights from the origin."""
    depth: float = 1.0
    """As for a layer."""


def _draw_layer(frame: Image.Image, layer: Layer, view: tuple[float, float, float]) -> None:
    width, height = frame.size
    zoom = 1.0 + (view[2] - 1.0) * layer.depth
    wide, high = layer.picture.size
    across, down = width / zoom, height / zoom
    left = wide / 2 + view[0] * layer.depth * height - across / 2
    top = high / 2 + view[1] * layer.depth * height - down / 2
    left, top = min(max(left, 0.0), wide - across), min(max(top, 0.0), high - down)
    above = max(math.floor((layer.crest - top) * zoom) - 1, 0)
    if above >= height:
        return
    box = (left, top + above / zoom, left + across, top + down)
    size = (width, height - above)
    picture = layer.picture.resize(size, Image.Resampling.BILINEAR, box)
    mask = layer.mask and layer.mask.resize(size, Image.Resampling.BILINEAR, box)
    frame.paste(picture, (0, above), mask)


def draw_sprite(frame: Image.Image, sprite: Image.Image, centre: tuple[float, float]) -> None:
    """Puts an RGBA sprite into the frame with its centre at a fraction of a pixel, in place."""
    left, top = centre[0] - sprite.width / 2, centre[1] - sprite.height / 2
    column, row = math.floor(left), math.floor(top)
    if not (-sprite.width < column < frame.width and -sprite.height < row < frame.height):
        return
    moved = sprite.transform(
        (sprite.width + 1, sprite.height + 1),
        Image.Transform.AFFINE,
        (1.0, 0.0, column - left, 0.0, 1.0, row - top),
        Image.Resampling.BILINEAR,
    )
    frame.paste(moved, (column, row), moved)


def _draw_mover(
    frame: Image.Image, mover: Mover, view: tuple[float, float, float], time: float
) -> None:
    width, height = frame.size
    zoom = 1.0 + (view[2] - 1.0) * mover.depth
    x, y = mover.path(time)
    centre = (
        width / 2 + (x - view[0] * mover.depth) * height * zoom,
        height / 2 + (y - view[1] * mover.depth) * height * zoom,
    )
    sprite = mover.sprite(time)
    if abs(zoom - 1.0) > 0.01:
        wide, high = round(sprite.width * zoom), round(sprite.height * zoom)
        sprite = sprite.resize((wide, high), Image.Resampling.BILINEAR)
    draw_sprite(frame, sprite, centre)


def stage(size: Size, camera: Camera, parts: Sequence[Layer | Mover]) -> Scene:
    """The scene that shows `parts`, the farthest first, through `camera`."""

    def at(time: float) -> Image.Image:
        frame = Image.new("RGB", size)
        view = camera.at(time)
        for part in parts:
            if isinstance(part, Mover):
                _draw_mover(frame, part, view, time)
            else:
                x = view[0] - part.drift * time / max(part.depth, 0.01)
                _draw_layer(frame, part, (x, view[1], view[2]))
        return frame

    return at
