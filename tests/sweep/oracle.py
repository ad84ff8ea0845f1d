"""An independent reader: PyAV, frame by frame, without filters or limits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.sweep.pictures import WEIGHTS, Coding, Floats, read_number, read_patches, to_rgb

MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020",
            10: "bt2020"}  # fmt: skip
"""Matrices by their number in the streams."""


_PACKED = ("yuyv422", "uyvy422", "yvyu422")


@dataclass(frozen=True)
class Decoded:
    """The frames of the video stream of a file."""

    numbers: list[int]
    starts: list[float | None]
    """Seconds in the container; None without a time."""
    last_s: float | None
    """How long the last frame lasts, if the container says so."""
    patches: Floats | None
    """RGB of the patches of the middle frame."""
    tags: tuple[int, int, int, int]
    """Matrix, transfer, primaries and range of the middle frame."""
    size: tuple[int, int]


def matrix_of(frame: av.VideoFrame) -> str:
    """The stated rule: the tag if it is one that we know, else by the size."""
    hd = frame.height >= 720 or frame.width >= 1280
    return MATRICES.get(int(frame.colorspace), "bt709" if hd else "bt601")


def rgb_of(frame: av.VideoFrame) -> Floats:
    """RGB from 0 to 255 of shape [height, width, 3], by the stated rule, as displayed."""
    name = frame.format.name
    if name.startswith(("rgb", "bgr", "gbr", "pal", "0rgb", "argb", "gray")):
        picture = frame.to_ndarray(format="rgb24").astype(np.float64)
    else:
        picture = to_rgb(_yuv(frame), _coding(frame))
    return displayed(frame, picture)


def displayed(frame: av.VideoFrame, picture: Floats) -> Floats:
    """The picture turned and flipped as the frame's display matrix says."""
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return picture
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5].tolist()
    if b or c:
        picture = np.swapaxes(picture, 0, 1)
        a, d = c, b
    return picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _grey(frame: av.VideoFrame) -> Floats:
    """Something that is bright where the picture is, [height, width], as displayed."""
    bits = frame.format.components[0].bits
    if not frame.format.name.startswith(("yuv", "gray", "nv")) or frame.format.name in _PACKED:
        return displayed(frame, frame.to_ndarray(format="rgb24").mean(axis=2))
    plane = frame.planes[0]
    form = np.uint8 if bits == 8 else np.uint16
    rows = np.frombuffer(plane, form).reshape(plane.height, -1)[:, : plane.width]
    return displayed(frame, rows.astype(np.float64) / (1 << (bits - 8)))


def _coding(frame: av.VideoFrame) -> Coding:
    full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    return Coding(matrix_of(frame), full, frame.format.components[0].bits)


def _yuv(frame: av.VideoFrame) -> Floats:
    """Luma and chroma at full size of a planar frame."""
    parts = []
    for plane in range(3):
        form = np.uint8 if frame.format.components[plane].bits == 8 else np.uint16
        data = frame.planes[plane]
        rows = np.frombuffer(data, form).reshape(data.height, -1)[:, : data.width]
        tall, wide = -(-frame.height // data.height), -(-frame.width // data.width)
        full = rows.repeat(tall, 0).repeat(wide, 1)[: frame.height, : frame.width]
        parts.append(full)
    return np.stack(parts, axis=-1).astype(np.float64)


def decode(path: Path, index: int | None = None, turned: str = "") -> Decoded:
    """Reads all frames that decode; damage ends or thins the list without an error.

    `turned="vflip"` reads pictures that are shown upside down.
    """
    step = -1 if turned == "vflip" else 1
    numbers: list[int] = []
    starts: list[float | None] = []
    decoded_frames: list[av.VideoFrame] = []
    last_s = None
    with av.open(str(path)) as container:
        stream = container.streams[index] if index is not None else container.streams.video[0]
        base = stream.time_base
        for frames in _frames(container, stream):
            for frame in frames:
                numbers.append(read_number(_grey(frame)[::step]))
                unit = frame.time_base or base
                starts.append(None if frame.pts is None else float(frame.pts * unit))
                last_s = float(frame.duration * unit) if frame.duration else None
                decoded_frames.append(frame)
    if not numbers:
        return Decoded([], [], None, None, (2, 2, 2, 0), (0, 0))
    frame = decoded_frames[len(decoded_frames) // 2]
    picture = rgb_of(frame)[::step]
    tags = (int(frame.colorspace), int(frame.color_trc), int(frame.color_primaries),
            int(frame.color_range))  # fmt: skip
    size = (picture.shape[1], picture.shape[0])
    return Decoded(numbers, starts, last_s, read_patches(picture), tags, size)


def _frames(container: Any, stream: Any) -> Iterator[list[Any]]:
    """The frames of each packet; what does not decode is skipped."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        with contextlib.suppress(av.error.FFmpegError):
            yield packet.decode()


def sound_of(path: Path) -> tuple[Floats, int, float] | None:
    """Mono samples of the first sound track, their rate, and when the first one is heard."""
    parts = []
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        start_s = None
        resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
        for frames in _frames(container, stream):
            for frame in frames:
                if start_s is None:
                    start_s = frame.time or 0.0
                parts += [chunk.to_ndarray().reshape(-1) for chunk in resampler.resample(frame)]
        parts += [chunk.to_ndarray().reshape(-1) for chunk in resampler.resample(None)]
    if not parts:
        return None
    return np.concatenate(parts).astype(np.float64), 16_000, start_s or 0.0


assert set(MATRICES.values()) <= set(WEIGHTS)
