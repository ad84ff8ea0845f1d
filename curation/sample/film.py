"""Shots in a row, with hard cuts and dissolves whose frame numbers are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from curation.sample.stage import Scene


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
        starts, end = [], 0
        for shot in self.shots:
            starts.append(end - shot.dissolve)
            end = starts[-1] + shot.frames
        return starts

    @property
    def frames(self) -> int:
        """How many frames the film has."""
        return self.starts[-1] + self.shots[-1].frames

    @property
    def hard_cuts(self) -> tuple[int, ...]:
        """The first frame of each shot that begins with a cut, without frame 0."""
        pairs = zip(self.starts, self.shots, strict=True)
        return tuple(start for start, shot in pairs if start and not shot.dissolve)

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
