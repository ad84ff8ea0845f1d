"""A camera before flat pictures at several depths, and shots in a row with known cuts.

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
Pair = tuple[float, float]
"""Right and down, or width and height, or least and greatest, in frame heights (a second)."""


@dataclass(frozen=True)
class Camera:
    """Where the camera looks: a start, a pan and a growth of the zoom a second, and a small shake.

    The zoom is a magnification of at least 1.
    """

    start: Pair = (0.0, 0.0)
    pan: Pair = (0.0, 0.0)
    zoom: float = 1.0
    zoom_rate: float = 0.0
    shake: float = 0.002

    def at(self, time: float) -> tuple[float, float, float]:
        """Centre x, centre y and magnification at a time in seconds."""
        x = self.start[0] + self.pan[0] * time
        y = self.start[1] + self.pan[1] * time
        x += self.shake * (math.sin(7.1 * time) + math.sin(11.7 * time + 1.0))
        y += self.shake * (math.sin(8.3 * time + 2.0) + math.sin(13.1 * time))
        return x, y, max(self.zoom * math.exp(self.zoom_rate * time), 1.0)


@dataclass(frozen=True)
class Part:
    """A flat picture somewhere in a scene: a layer as wide as the world, or a small thing."""

    look: Image.Image
    """The picture at magnification 1; RGB, or RGBA where it has holes."""
    at: Pair = (0.0, 0.0)
    """Its centre at time 0."""
    speed: Pair = (0.0, 0.0)
    """Its movement a second."""
    sway: Pair = (0.0, 0.0)
    """How far it goes to and fro besides."""
    depth: float = 1.0
    """How much it follows the camera: 0 is infinitely far, 1 is the ground of the action."""

    def draw(self, frame: Image.Image, view: tuple[float, float, float], time: float) -> None:
        """Draws what a view (centre x, centre y, magnification) shows of it, in place."""
        zoom = 1.0 + (view[2] - 1.0) * self.depth
        swing = math.sin(1.3 * time)
        spans = []
        for axis in (0, 1):
            place = self.at[axis] + self.speed[axis] * time + self.sway[axis] * swing
            middle = (place - view[axis] * self.depth) * frame.height * zoom + frame.size[axis] / 2
            first = middle - self.look.size[axis] * zoom / 2
            # Whole pixels of the frame that it covers, and where they lie in the picture.
            low = max(math.ceil(first), 0)
            high = min(math.floor(first + self.look.size[axis] * zoom), frame.size[axis])
            if low >= high:
                return
            end = min((high - first) / zoom, self.look.size[axis])
            spans.append((low, high, (low - first) / zoom, end))
        (left, right, *across), (top, bottom, *down) = spans
        box = (across[0], down[0], across[1], down[1])
        seen = self.look.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box)
        frame.paste(seen, (left, top), seen if seen.mode == "RGBA" else None)


def stage(size: Size, camera: Camera, parts: Sequence[Part]) -> Scene:
    """The scene that shows `parts`, the farthest first, through `camera`."""

    def at(time: float) -> Image.Image:
        frame = Image.new("RGB", size)
        for part in parts:
            part.draw(frame, camera.at(time), time)
        return frame

    return at


@dataclass(frozen=True)
class Shot:
    """One shot of a film."""

    scene: Scene
    """What it shows, from time 0."""
    frames: int
    """How many frames it is seen in, dissolves included."""
    dissolve: int = 0
    """Frames at its start in which it fades in over the end of the shot before; 0 is a cut."""


@dataclass(frozen=True)
class Film:
    """Shots in a row at a constant rate."""

    shots: Sequence[Shot]
    """At least one; the first has no dissolve."""
    fps: int
    """Frames a second."""

    def __post_init__(self) -> None:
        before = 0
        for number, shot in enumerate(self.shots):
            if not 0 <= shot.dissolve <= min(before, shot.frames):
                raise ValueError(f"shot {number} dissolves over {shot.dissolve} frames, which the "
                                 f"shot before ({before}) and itself must have")  # fmt: skip
            before = shot.frames - shot.dissolve

    @property
    def starts(self) -> list[int]:
        """The first frame of each shot."""
        pairs = pairwise(self.shots)
        return [0, *accumulate(shot.frames - after.dissolve for shot, after in pairs)]

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
        for number, (start, shot) in enumerate(zip(self.starts, self.shots, strict=True)):
            last = number + 1 == len(self.shots)
            end = shot.frames - (0 if last else self.shots[number + 1].dissolve)
            for frame in range(end):
                picture = shot.scene(frame / self.fps)
                if frame < shot.dissolve:
                    before = self.shots[number - 1].scene
                    time = (start + frame - self.starts[number - 1]) / self.fps
                    share = (frame + 1) / (shot.dissolve + 1)
                    picture = Image.blend(before(time), picture, share)
                yield picture
