"""A camera over a texture, for the scores that compare frames."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from curation.sample.texture import noise
from curation.scan.score_aggregator import without_cross_shot_comparison
from curation.scores import AnalysisFrame, FrameScore

SIZE = (320, 180)


@pytest.fixture(scope="session")
def world() -> Image.Image:
    """A texture of 900×700 with features of many sizes."""
    field = noise(11, (700, 900), cell=150, roughness=0.8)
    return Image.fromarray(np.repeat((field * 200 + 25).astype(np.uint8)[..., None], 3, axis=2))


@pytest.fixture(scope="session")
def film(world) -> Callable[..., list[np.ndarray]]:
    """Frames that a camera sees: right and down in pixels, growth, and turn in degrees, a frame."""

    def film_frames(count: int, *, right=0.0, down=0.0, grow=0.0, turn=0.0) -> list[np.ndarray]:
        frames = []
        for index in range(count):
            step = index - count / 2
            angle, scale = np.radians(turn * step), np.exp(grow * step)
            cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
            x, y = (w / 2 + s * step for w, s in zip(world.size, (right, down), strict=True))
            wide, high = SIZE[0] / 2, SIZE[1] / 2
            box = (cos, -sin, x - cos * wide + sin * high, sin, cos, y - sin * wide - cos * high)
            view = world.transform(SIZE, Image.Transform.AFFINE, box, Image.Resampling.BICUBIC)
            frames.append(np.asarray(view))
        return frames

    return film_frames


@pytest.fixture(scope="session")
def row() -> Callable[..., dict]:
    """The row of a clip that has these frames."""

    def summarise(score: FrameScore, frames: Sequence[np.ndarray], fps: float = 4.0) -> dict:
        prepared = [AnalysisFrame.from_rgb(frame) for frame in frames]
        pairs = zip(prepared, [None, *prepared[:-1]], strict=True)
        numbers = np.array([score.measure(frame, previous) for frame, previous in pairs], float)
        return dict(
            score.summarise(
                without_cross_shot_comparison(score, numbers), np.arange(len(prepared)) / fps
            )
        )

    return summarise
