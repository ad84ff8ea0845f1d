"""A video to look at: source, what each head keeps, and the difference, side by side.

One row a tokenizer and head: source, reconstruction, and four times the absolute difference; clip
after clip, each made smaller where it does not fit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from curation.media.video_writer import video_writer
from tokenizer.evaluate.clip_metrics import ClipMeasures, Key
from tokenizer.models.interface import Video
from tokenizer.tokenize.psnr import psnr_db

_FEWEST, _MOST, _TOGETHER = 25, 98, 1500
"""Frames of one clip: about a second, or two windows of the usual length with their seam; and of
all clips, about a minute."""
_TALLEST = 2160
_SMALLEST = 48
_LABEL = 18
_GAIN = 4
_DARK, _LIGHT = 16, 235


def frames_each(clips: int) -> int:
    """How many frames of each of so many clips are shown."""
    return max(_FEWEST, min(_MOST, _TOGETHER // max(clips, 1)))


@contextlib.contextmanager
def comparison(
    path: str | os.PathLike[str], rows: int, short_side: int, fps: float
) -> Iterator[Callable[[ClipMeasures], None]]:
    """Writes what is shown of each clip that it is given; raises `OSError` if it cannot.

    `rows` is the number of tokenizers' heads. Cells are 16:9 and `short_side` high, or as high as
    makes all of them fit.
    """
    high = max(_SMALLEST, min(short_side, _TALLEST // rows - _LABEL)) // 2 * 2
    wide = high * 16 // 9 // 2 * 2
    with video_writer(path, 3 * wide, rows * (high + _LABEL), fps) as write:

        def add(measures: ClipMeasures) -> None:
            source = measures.source_shown
            lines = [_line(key, source, made, high, wide) for key, made in measures.shown.items()]
            write(np.concatenate(lines, axis=1))

        yield add


def _line(key: Key, source: Video, made: Video, high: int, wide: int) -> Video:
    apart = np.abs(source.astype(np.int16) - made) * _GAIN
    cells = {
        "source": source,
        f"{key[0]} {key[1]}, {psnr_db(source, made):.1f} dB": made,
        f"difference x {_GAIN}": np.minimum(apart, 255).astype(np.uint8),
    }
    return np.concatenate([_cell(*cell, high, wide) for cell in cells.items()], axis=2)


def _cell(label: str, video: Video, high: int, wide: int) -> Video:
    """The video in the middle of a dark cell [n, label + high, wide, 3]."""
    scale = min(1.0, high / video.shape[1], wide / video.shape[2])
    height, width = (max(1, round(side * scale)) for side in video.shape[1:3])
    top, left = _LABEL + (high - height) // 2, (wide - width) // 2
    cell = np.full((len(video), _LABEL + high, wide, 3), _DARK, np.uint8)
    cell[:, :_LABEL] = _lettering(label, wide)
    for place, frame in enumerate(video):
        small = frame
        if scale < 1:
            small = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BOX))
        cell[place, top : top + height, left : left + width] = small
    return cell


def _lettering(label: str, wide: int) -> Video:
    picture = Image.new("RGB", (wide, _LABEL), (_DARK,) * 3)
    font = ImageFont.load_default(size=_LABEL - 5)
    ImageDraw.Draw(picture).text((4, 0), label, fill=(_LIGHT,) * 3, font=font)
    return np.asarray(picture)
