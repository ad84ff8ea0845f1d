"""What a tool of `race.py` made: clips, their frames, and how near these are to the source.

For each source the clip in the middle is laid over the source: the frame that its first one shows
is searched at 48×27, then the luma of all its frames is compared with those that follow there. A
clip is exact if each of its frames is nearest to the source's frame at its own place, not to that
before or after.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curation.media.ffmpeg_command import ffmpeg_path

Luma = npt.NDArray[np.uint8]
"""[frames, rows, columns]"""


@dataclass(frozen=True)
class EncodedClip:
    """A clip and its source."""

    path: Path
    source: Path


@dataclass(frozen=True)
class Found:
    """What the clips of all sources amount to."""

    clips: int
    frames: int
    size_mb: float
    psnr_db: float
    """The median over the clips that were compared."""
    exact: bool


def check(outputs: Iterable[EncodedClip]) -> Found:
    """Opens every clip."""
    clips = frames = size = 0
    compared = []
    for source, group in groupby(outputs, key=lambda output: output.source):
        paths = [output.path for output in group]
        lows = [luma(path, (48, 27)) for path in paths]
        clips, frames = clips + len(paths), frames + sum(map(len, lows))
        size += sum(path.stat().st_size for path in paths)
        middle = len(paths) // 2
        compared.append(compare(paths[middle], source, lows[middle], luma(source, (48, 27))))
    psnr = float(np.median([db for db, _ in compared])) if compared else 0.0
    return Found(clips, frames, size / 1e6, psnr, all(exact for _, exact in compared))


def luma(path: Path, size: tuple[int, int] | None = None, select: str = "") -> Luma:
    """The luma of every frame, at the source's own size if none is given."""
    width, height = size or frame_size(path)
    filters = [select, f"scale={width}:{height}:flags=area", "format=gray"]
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-i", str(path), "-map", "0:V:0",
               "-fps_mode", "passthrough", "-vf", ",".join(filter(None, filters)),
               "-f", "rawvideo", "-"]  # fmt: skip
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width)


def frame_size(path: Path) -> tuple[int, int]:
    """Width and height as displayed."""
    import av

    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    return (frame.width, frame.height) if frame.rotation % 180 == 0 else (frame.height, frame.width)


def compare(clip: Path, source: Path, low: Luma, low_source: Luma) -> tuple[float, bool]:
    """PSNR of a clip against its source, and whether it is exact."""
    last = len(low_source) - len(low)
    if last < 0:
        return 0.0, False
    sample = np.linspace(0, len(low) - 1, min(len(low), 16)).astype(int)
    errors = [distance(low[sample], low_source[start + sample]).sum() for start in range(last + 1)]
    start = int(np.argmin(errors))
    size = frame_size(clip)
    frames = luma(clip, size)
    truth = luma(source, size, f"select=between(n\\,{start}\\,{start + len(frames) - 1})")
    error = np.mean([distance(a[None], b[None])[0] for a, b in zip(frames, truth, strict=True)])
    return 10 * float(np.log10(255**2 / max(error, 1e-9))), stays(low, low_source, start)


def stays(low: Luma, source: Luma, start: int) -> bool:
    """Whether no frame is clearly nearer to the source's frame beside its own."""
    places = np.arange(start, start + len(low))
    own = distance(low, source[places])
    for step in (-1, 1):
        beside = distance(low, source[np.clip(places + step, 0, len(source) - 1)])
        if (own > beside + 1).any():
            return False
    return True


def distance(one: Luma, two: Luma) -> npt.NDArray[np.float64]:
    """Mean squared difference of each frame."""
    difference = one.astype(np.float64) - two
    result: npt.NDArray[np.float64] = np.square(difference).mean(axis=(1, 2))
    return result
