"""A camera over a texture, for the scores that compare frames."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from curation.sample.texture import noise
from curation.scan.score_aggregator import within_clip
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

    def frames(count: int, *, right=0.0, down=0.0, grow=0.0, turn=0.0) -> list[np.ndarray]:
        made = []
        for index in range(count):
            step = index - count / 2
            angle, scale = np.radians(turn * step), np.exp(grow * step)
            cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
            x, y = (w / 2 + s * step for w, s in zip(world.size, (right, down), strict=True))
            wide, high = SIZE[0] / 2, SIZE[1] / 2
            box = (cos, -sin, x - cos * wide + sin * high, sin, cos, y - sin * wide - cos * high)
            seen = world.transform(SIZE, Image.Transform.AFFINE, box, Image.Resampling.BICUBIC)
            made.append(np.asarray(seen))
        return made

    return frames


@pytest.fixture(scope="session")
def row() -> Callable[..., dict]:
    """The row of a clip that has these frames."""

    def summarise(score: FrameScore, frames: Sequence[np.ndarray], fps: float = 4.0) -> dict:
        looks = [AnalysisFrame.at(frame) for frame in frames]
        pairs = zip(looks, [None, *looks[:-1]], strict=True)
        numbers = np.array([score.measure(look, before) for look, before in pairs], float)
        return dict(score.summarise(within_clip(score, numbers), np.arange(len(looks)) / fps))

    return summarise
