"""A camera in front of flat layers at several depths, and films of shots with known cuts.

All lengths are in frame heights from the middle of the frame, so a scene is the same at every size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from PIL import Image

Size = tuple[int, int]
"""Width and height in pixels."""
Scene = Callable[[float], Image.Image]
"""The RGB picture at a time in seconds; all pictures of a scene have one size."""
XY = tuple[float, float]
"""Right and down, width and height, or minimum and maximum, in frame heights (a second)."""


@dataclass(frozen=True)
class Camera:
    """A camera path: start, pan a second, zoom (at least 1) and its growth, and a small shake."""

    start: XY = (0.0, 0.0)
    pan: XY = (0.0, 0.0)
    zoom: float = 1.0
    zoom_rate: float = 0.0
    shake: float = 0.002

    def view(self, time: float) -> tuple[float, float, float]:
        """Centre x, centre y and magnification at a time in seconds."""
        x = self.start[0] + self.pan[0] * time
        y = self.start[1] + self.pan[1] * time
        x += self.shake * (math.sin(7.1 * time) + math.sin(11.7 * time + 1.0))
        y += self.shake * (math.sin(8.3 * time + 2.0) + math.sin(13.1 * time))
        return x, y, max(self.zoom * math.exp(self.zoom_rate * time), 1.0)


@dataclass(frozen=True)
class Layer:
    """A flat picture in a scene: as wide as the world, or a small object."""

    image: Image.Image
    """The picture at magnification 1; RGB, or RGBA if it is not a rectangle."""
    position: XY = (0.0, 0.0)
    """Its centre at time 0."""
    speed: XY = (0.0, 0.0)
    """Its movement a second."""
    sway: XY = (0.0, 0.0)
    """Amplitude of its oscillation."""
    depth: float = 1.0
    """How much it follows the camera: 0 is infinitely far, 1 is the plane of the action."""

    def draw(self, frame: Image.Image, view: tuple[float, float, float], time: float) -> None:
        """Draws what a view (centre x, centre y, magnification) shows of it, in place."""
        zoom = 1.0 + (view[2] - 1.0) * self.depth
        swing = math.sin(1.3 * time)
        spans = []
        for axis in (0, 1):
            centre = self.position[axis] + self.speed[axis] * time + self.sway[axis] * swing
            middle = (centre - view[axis] * self.depth) * frame.height * zoom + frame.size[axis] / 2
            first = middle - self.image.size[axis] * zoom / 2
            # Pixels of the frame that it covers completely, and where they are in the picture.
            low = max(math.ceil(first), 0)
            high = min(math.floor(first + self.image.size[axis] * zoom), frame.size[axis])
            if low >= high:
                return
            end = min((high - first) / zoom, self.image.size[axis])
            spans.append((low, high, (low - first) / zoom, end))
        (left, right, *across), (top, bottom, *down) = spans
        box = (across[0], down[0], across[1], down[1])
        visible = self.image.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box)
        frame.paste(visible, (left, top), visible if visible.mode == "RGBA" else None)


def compose(size: Size, camera: Camera, layers: Sequence[Layer]) -> Scene:
    """The scene of these layers, the farthest first, as the camera sees it."""

    def picture(time: float) -> Image.Image:
        frame = Image.new("RGB", size)
        for layer in layers:
            layer.draw(frame, camera.view(time), time)
        return frame

    return picture


@dataclass(frozen=True)
class Shot:
    """One shot of a film."""

    scene: Scene
    """What it shows, from time 0."""
    frames: int
    """How many frames show it, dissolves included."""
    dissolve: int = 0
    """Frames at its start that blend with the end of the previous shot; 0 is a cut."""


@dataclass(frozen=True)
class Film:
    """Consecutive shots at a constant rate."""

    shots: Sequence[Shot]
    """At least one; the first has no dissolve."""
    fps: int
    """Frames a second."""

    def __post_init__(self) -> None:
        available = 0
        for index, shot in enumerate(self.shots):
            if not 0 <= shot.dissolve <= min(available, shot.frames):
                raise ValueError(f"shot {index} dissolves over {shot.dissolve} frames, which the "
                                 f"shot before ({available}) and itself must have")  # fmt: skip
            available = shot.frames - shot.dissolve

    @property
    def starts(self) -> list[int]:
        """The first frame of each shot."""
        lengths = (shot.frames - following.dissolve for shot, following in pairwise(self.shots))
        return [0, *accumulate(lengths)]

    @property
    def hard_cuts(self) -> tuple[int, ...]:
        """The first frame of each shot that begins with a cut, without frame 0."""
        pairs = list(zip(self.starts, self.shots, strict=True))[1:]
        return tuple(start for start, shot in pairs if not shot.dissolve)

    @property
    def dissolves(self) -> tuple[tuple[int, int], ...]:
        """Spans [start, end) of the frames that show two shots."""
        pairs = zip(self.starts, self.shots, strict=True)
        return tuple((start, start + shot.dissolve) for start, shot in pairs if shot.dissolve)

    def pictures(self) -> Iterator[Image.Image]:
        """Every frame in order."""
        starts = self.starts
        for index, (start, shot) in enumerate(zip(starts, self.shots, strict=True)):
            is_last = index + 1 == len(self.shots)
            end = shot.frames - (0 if is_last else self.shots[index + 1].dissolve)
            for frame in range(end):
                picture = shot.scene(frame / self.fps)
                if frame < shot.dissolve:
                    previous = self.shots[index - 1].scene
                    time = (start + frame - starts[index - 1]) / self.fps
                    share = (frame + 1) / (shot.dissolve + 1)
                    picture = Image.blend(previous(time), picture, share)
                yield picture
