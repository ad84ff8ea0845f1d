"""Videos whose every frame carries its number.

Across the top sixth of the picture are 20 blocks: white, black, the frame number in 16 bits with
the highest first, and the parity of the even and of the odd bits. The blocks survive strong
compression and scaling, so a test can check which frame a decoder, clip or render really gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.sample.encode import Coding, encode
from curation.sample.texture import colour_ramp, noise

BLOCKS = 20
"""Blocks across the top: two levels, 16 bits, two parities."""
MAX_NUMBER = 1 << 16
"""Numbers are below this."""
_BAND = 6
_PALETTES = ("#14281e #5a823c #c8d282", "#3c1414 #be5a32 #fad296", "#10183c #466eb4 #d2e6fa",
             "#281032 #965096 #f0c8dc")  # fmt: skip


def _bits(number: int) -> list[int]:
    bits = [number >> bit & 1 for bit in range(15, -1, -1)]
    return [1, 0, *bits, sum(bits[::2]) % 2, sum(bits[1::2]) % 2]


def draw_number(picture: Image.Image, number: int) -> None:
    """Draws the blocks of `number` into the top of an RGB picture, in place.

    Raises `ValueError` if the number does not fit in 16 bits.
    """
    if not 0 <= number < MAX_NUMBER:
        raise ValueError(f"frame number {number} is outside 0..{MAX_NUMBER - 1}")
    row = Image.fromarray(np.array([_bits(number)], np.uint8) * 255)
    band = row.resize((picture.width, picture.height // _BAND), Image.Resampling.NEAREST)
    picture.paste(band.convert("RGB"))


def read_number(frame: npt.NDArray[np.uint8]) -> int:
    """The number of a frame, uint8 of shape [height, width, 3] or [height, width].

    Raises `ValueError` if the blocks are missing or their parity is wrong.
    """
    grey = frame if frame.ndim == 2 else frame.mean(axis=2)
    height, width = grey.shape
    band = height / _BAND
    rows = grey[int(band * 0.25) : max(int(band * 0.75), int(band * 0.25) + 1)].mean(axis=0)
    edges = np.arange(BLOCKS) * width / BLOCKS
    quarter = width / BLOCKS / 4
    spans = [slice(int(edge + quarter), int(edge + 3 * quarter) + 1) for edge in edges]
    levels = [float(rows[span].mean()) for span in spans]
    if levels[0] - levels[1] < 40:
        raise ValueError(f"no frame number: levels are {levels[0]:.0f} and {levels[1]:.0f}")
    threshold = (levels[0] + levels[1]) / 2
    bits = [int(level > threshold) for level in levels]
    number = int("".join(map(str, bits[2:18])), 2)
    if bits != _bits(number):
        raise ValueError(f"frame number {number} has the wrong parity")
    return number


def _backgrounds(size: tuple[int, int], frames: int, cuts: Sequence[int]) -> Iterator[Image.Image]:
    """A texture that moves by three pixels a frame, and changes at each cut."""
    width, height = size
    tall, wide = height + 48, width + 192
    for index, (start, end) in enumerate(pairwise([0, *cuts, frames])):
        field = noise(500 + index, (tall, wide), cell=height / 2, roughness=0.7)
        picture = colour_ramp(field, _PALETTES[index % len(_PALETTES)])
        for step in range(end - start):
            # There and back again, so that the texture never jumps.
            x, y = 192 - abs(192 - 3 * step % 384), 48 - abs(48 - step % 96)
            yield picture.crop((x, y, x + width, y + height))


def write_numbered_video(
    path: str | Path,
    frames: int,
    fps: int = 24,
    size: tuple[int, int] = (320, 180),
    coding: Coding | None = None,
    *,
    first: int = 0,
    cuts: Sequence[int] = (),
) -> Path:
    """Writes a video whose frame `i` carries the number `first + i`; returns its path.

    `size` is width and height as displayed with square pixels; the container follows from the
    suffix, everything else from `coding`; the background changes at each frame of `cuts`.
    """
    if list(cuts) != sorted(set(cuts)) or any(not 0 < cut < frames for cut in cuts):
        raise ValueError(f"cuts {list(cuts)} must rise and lie between 0 and {frames}")

    def pictures() -> Iterator[Image.Image]:
        for number, picture in enumerate(_backgrounds(size, frames, cuts), first):
            draw_number(picture, number)
            yield picture

    path = Path(path)
    encode(path, pictures(), fps=fps, coding=coding)
    return path
