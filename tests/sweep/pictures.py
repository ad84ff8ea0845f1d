"""The picture and the audio of every generated video, and reading them back.

The top sixth of a picture holds its number as 12 bars, lowest bit on the left, white for 1. From
2/6 to 5/6 of the height lie ten patches of known colours on grey 90, and a white block moves below.
Second k of the sound is a tone of 300 + 150·k Hz. Conversions are written out here, so that no
library's idea of a colour matrix is tested against itself.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

BARS = 12
PATCHES = ((235, 30, 30), (30, 200, 40), (40, 60, 220), (230, 220, 40), (40, 210, 210),
           (210, 50, 200), (128, 128, 128), (245, 245, 245), (10, 10, 10),
           (180, 120, 80))  # fmt: skip
PALETTE = np.array([(90, 90, 90), (0, 0, 0), (255, 255, 255), *PATCHES], np.float64)
"""RGB of the background, of bars, and of the patches."""
SOUND_RATE = 48_000
WEIGHTS = {
    "bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593),
    "fcc": (0.30, 0.11), "smpte240m": (0.212, 0.087),
}  # fmt: skip
"""Shares of red and blue in luma, by matrix."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Coding:
    """How RGB becomes numbers."""

    matrix: str | None = "bt601"
    """A key of `WEIGHTS`; None for RGB as it is."""
    full: bool = False
    """Whether black is 0 and white the largest number."""
    bits: int = 8


def _scales(coding: Coding) -> tuple[float, float, float, float]:
    """Luma's zero and span, chroma's zero and span."""
    unit = 1 << (coding.bits - 8)
    if coding.full:
        most = (1 << coding.bits) - 1
        return 0.0, most, 128.0 * unit, most
    return 16.0 * unit, 219.0 * unit, 128.0 * unit, 224.0 * unit


def to_yuv(rgb: Floats, coding: Coding) -> Floats:
    """Luma and chroma of RGB from 0 to 255, along the last axis, not rounded."""
    assert coding.matrix is not None
    kr, kb = WEIGHTS[coding.matrix]
    red, green, blue = np.moveaxis(rgb / 255, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    zero, span, middle, swing = _scales(coding)
    u, v = (blue - luma) / (1 - kb) / 2, (red - luma) / (1 - kr) / 2
    return np.stack((zero + span * luma, middle + swing * u, middle + swing * v), axis=-1)


def to_rgb(yuv: Floats, coding: Coding) -> Floats:
    """RGB from 0 to 255 of luma and chroma, along the last axis, clipped."""
    assert coding.matrix is not None
    kr, kb = WEIGHTS[coding.matrix]
    zero, span, middle, swing = _scales(coding)
    luma = (yuv[..., 0] - zero) / span
    u, v = (yuv[..., 1] - middle) / swing, (yuv[..., 2] - middle) / swing
    red, blue = luma + 2 * (1 - kr) * v, luma + 2 * (1 - kb) * u
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.asarray(np.clip(np.stack((red, green, blue), axis=-1) * 255, 0, 255), np.float64)


def indices(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """The picture of a number as places in `PALETTE`, shape [height, width]."""
    picture = np.zeros((height, width), np.uint8)
    columns = np.arange(width)
    bits = np.array([1 + (number >> place & 1) for place in range(BARS)], np.uint8)
    picture[: height // 6] = bits[columns * BARS // width]
    patches = 3 + columns * len(PATCHES) // width
    picture[height // 3 : height * 5 // 6] = patches.astype(np.uint8)
    side = max(4, height // 9)
    left = 4 * number % (width - side)
    picture[height - side - 2 : height - 2, left : left + side] = 2
    return picture


def raw(number: int, width: int, height: int, coding: Coding) -> npt.NDArray[np.uint8]:
    """One picture as planes of luma and chroma (4:4:4) or as packed RGB, as bytes."""
    picture = indices(number, width, height)
    if coding.matrix is None:
        return np.asarray(PALETTE.astype(np.uint8)[picture].reshape(-1))
    kind = np.uint8 if coding.bits == 8 else np.dtype("<u2")
    colours = np.round(to_yuv(PALETTE, coding)).astype(kind)
    return np.moveaxis(colours[picture], -1, 0).reshape(-1).view(np.uint8)


def read_number(rgb: npt.NDArray[np.generic]) -> int:
    """The number of a picture [height, width, 3] or [height, width]; −1 if bars are unclear.

    What is white and black is learned from the white and the black patch.
    """
    grey = rgb.mean(axis=2) if rgb.ndim == 3 else rgb
    height, width = grey.shape
    patches = read_patches(grey[..., None])[:, 0]
    black, white = patches[8], patches[7]
    if white - black < 60:
        return -1
    rows = grey[height // 18 : height // 9].mean(axis=0)
    step = width / BARS
    spans = [slice(int((i + 0.3) * step), int((i + 0.7) * step) + 1) for i in range(BARS)]
    levels = [(rows[span].mean() - black) / (white - black) for span in spans]
    if any(0.4 < level < 0.6 for level in levels):
        return -1
    return sum(1 << place for place, level in enumerate(levels) if level > 0.5)


def read_patches(rgb: npt.NDArray[np.generic]) -> Floats:
    """Mean colours [10, c] of the middles of the patches of a picture [height, width, c]."""
    height, width, _ = rgb.shape
    rows = rgb[int(height * 0.45) : int(height * 0.7)].astype(np.float64)
    step = width / len(PATCHES)
    spans = [slice(int((i + 0.35) * step), int((i + 0.65) * step) + 1) for i in range(len(PATCHES))]
    return np.array([rows[:, span].mean(axis=(0, 1)) for span in spans])


def write_sound(path: Path, begin_s: float, end_s: float) -> Path:
    """Writes the sound of these seconds as 16-bit mono WAV."""
    times = np.arange(round(begin_s * SOUND_RATE), round(end_s * SOUND_RATE)) / SOUND_RATE
    tones = 300 + 150 * np.floor(times + 1e-9)
    samples = np.round(9000 * np.sin(2 * np.pi * tones * (times % 1.0))).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SOUND_RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def heard_seconds(
    samples: Floats, rate: int, most: int = 40
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Which second's tone is loudest around each hundredth of a second; −1 in silence.

    `samples` is mono; windows are 50 ms. Returns the windows' middles in seconds and the seconds.
    """
    size, hop = int(0.05 * rate), int(0.01 * rate)
    if len(samples) < size:
        return np.zeros(0), np.zeros(0, np.int64)
    starts = np.arange(0, len(samples) - size + 1, hop)
    pieces = samples[starts[:, None] + np.arange(size)] * np.hanning(size)
    tones = 300 + 150 * np.arange(most)
    tones = tones[tones < rate / 2]
    waves = np.exp(-2j * np.pi * np.outer(np.arange(size) / rate, tones))
    power = np.abs(pieces @ waves)
    loud = np.sqrt((samples[starts[:, None] + np.arange(size)] ** 2).mean(axis=1)) > 0.01
    return (starts + size / 2) / rate, np.where(loud, power.argmax(axis=1), -1)
