"""A video of sources, reconstructions and differences side by side.

One row a tokenizer and head: source, reconstruction, and four times the absolute difference; clip
after clip, each scaled down where it does not fit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from curation.media.video_writer import video_writer
from tokenizer.evaluate.clip_metrics import ClipMetrics, HeadKey
from tokenizer.models.interface import Video
from tokenizer.tokenize.psnr import psnr_db

_MIN_FRAMES, _MAX_FRAMES, _ALL_FRAMES = 25, 98, 1500
"""Frames of one clip: about a second, or two windows of the usual length with their seam; and of
all clips, about a minute."""
_MAX_HEIGHT = 2160
_MIN_CELL = 48
_LABEL = 18
_GAIN = 4
_DARK, _LIGHT = 16, 235


def frames_per_clip(clips: int) -> int:
    """Frames to show of each clip."""
    return max(_MIN_FRAMES, min(_MAX_FRAMES, _ALL_FRAMES // max(clips, 1)))


@contextlib.contextmanager
def comparison_video(
    path: str | os.PathLike[str], rows: int, short_side: int, fps: float
) -> Iterator[Callable[[ClipMetrics], None]]:
    """Yields a function that writes the previews of a clip; raises `OSError` if it cannot.

    `rows` is the number of tokenizers' heads. Cells are 16:9 and `short_side` high, or as high as
    fits.
    """
    height = max(_MIN_CELL, min(short_side, _MAX_HEIGHT // rows - _LABEL)) // 2 * 2
    width = height * 16 // 9 // 2 * 2
    with video_writer(path, 3 * width, rows * (height + _LABEL), fps) as write:

        def add(metrics: ClipMetrics) -> None:
            source = metrics.source_preview
            lines = [
                _line(key, source, decoded, height, width)
                for key, decoded in metrics.previews.items()
            ]
            write(np.concatenate(lines, axis=1))

        yield add


def _line(key: HeadKey, source: Video, decoded: Video, height: int, width: int) -> Video:
    difference = np.abs(source.astype(np.int16) - decoded) * _GAIN
    cells = {
        "source": source,
        f"{key[0]} {key[1]}, {psnr_db(source, decoded):.1f} dB": decoded,
        f"difference x {_GAIN}": np.minimum(difference, 255).astype(np.uint8),
    }
    return np.concatenate([_cell(*cell, height, width) for cell in cells.items()], axis=2)


def _cell(label: str, video: Video, cell_height: int, cell_width: int) -> Video:
    """The video in the middle of a dark cell [n, label + cell_height, cell_width, 3]."""
    scale = min(1.0, cell_height / video.shape[1], cell_width / video.shape[2])
    height, width = (max(1, round(side * scale)) for side in video.shape[1:3])
    top, left = _LABEL + (cell_height - height) // 2, (cell_width - width) // 2
    cell = np.full((len(video), _LABEL + cell_height, cell_width, 3), _DARK, np.uint8)
    heading = Image.new("RGB", (cell_width, _LABEL), (_DARK,) * 3)
    font = ImageFont.load_default(size=_LABEL - 5)
    ImageDraw.Draw(heading).text((4, 0), label, fill=(_LIGHT,) * 3, font=font)
    cell[:, :_LABEL] = np.asarray(heading)
    for target, frame in zip(cell, video, strict=True):
        picture = frame
        if scale < 1:
            image = Image.fromarray(frame).resize((width, height), Image.Resampling.BOX)
            picture = np.asarray(image)
        target[top : top + height, left : left + width] = picture
    return cell
