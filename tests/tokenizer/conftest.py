import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from tokenizer.models.interface import Video


def moving_pattern(frames: int, height: int = 64, width: int = 96, speed: float = 1.5) -> Video:
    """Smooth coloured waves that drift, and a bright disc that crosses them."""
    t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
    waves = [np.sin((x * a + y * b + speed * t) / 17 + a) for a, b in ((1, 0.3), (0.5, 1), (1, 1))]
    video = 120 + 60 * np.stack(waves, axis=-1)
    disc = (x - 10 - speed * t) ** 2 + (y - height / 2) ** 2 < (height / 5) ** 2
    video[disc] = (230, 200, 40)
    return video.astype(np.uint8)


@pytest.fixture(scope="session")
def pattern() -> Callable[..., Video]:
    return moving_pattern


def encode(path: Path, video: Video) -> None:
    """Writes a clip as H.264 at 24 frames a second."""
    height, width = video.shape[1:3]
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{width}x{height}", "-r", "24", "-i", "-", "-c:v", "libx264", "-crf", "12",
        "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1", str(path),
    ]  # fmt: skip
    subprocess.run(command, input=video.tobytes(), check=True)


@pytest.fixture(scope="session")
def write_clip() -> Callable[[Path, Video], None]:
    return encode
