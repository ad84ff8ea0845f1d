"""Writes pictures to a video file, the same bytes every time.

Pictures go through a pipe to ffmpeg, with one thread, no dates and no version strings. The file
gets its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import ffmpeg
from PIL import Image

from curation.media.ffmpeg_command import ffmpeg_path

_EXACT = {"fflags": "+bitexact", "map_metadata": "-1", "threads": 1}


@dataclass(frozen=True)
class Coding:
    """How pictures are coded. The container follows from the file's suffix."""

    codec: str = "libx264"
    """An encoder of ffmpeg: libx264, libx265, mpeg4, mpeg2video, libvpx, libvpx-vp9, ffv1, ..."""
    pixel_format: str = "yuv420p"
    """As ffmpeg names it: yuv444p for odd sizes, yuv420p10le for 10 bits."""
    crf: int = 20
    """Quality of x264, x265 and VPX, lower is better."""
    quantiser: int = 4
    """The same of mpeg4 and mpeg2video, 1 to 31."""
    gop: int = 48
    """Frames from one key frame to the next; there are no others."""
    b_frames: int = 0
    """Most consecutive B-frames (x264, x265, mpeg4, mpeg2video)."""
    rotation: int = 0
    """Degrees, clockwise, that a player has to rotate the stored picture by: 0, 90, 180 or 270
    (mp4, mov). Upright pictures are stored rotated."""
    slow_from: int | None = None
    """From this frame on every frame lasts twice as long: a variable rate."""
    interlaced: bool = False
    """Code as two fields a frame, top field first (mpeg2video)."""
    pixel_aspect: str | None = None
    """Shape of a stored pixel, as "4/3"."""
    pq: bool = False
    """Tag the picture as HDR: BT.2020 primaries and the PQ transfer."""
    sound: bool = False
    """Add a tone of 440 Hz as AAC, as long as the picture (mp4, mov, mkv, ts)."""
    sound_from: str | None = None
    """Add the sound of this file instead."""
    scale: tuple[int, int] | None = None
    """Width and height to scale to before coding."""
    brightness: float = 0.0
    """Added to the luma before coding, as a share of its range."""


def _filters(stream: Any, coding: Coding, fps: int) -> Any:
    if coding.brightness:
        stream = stream.filter("eq", brightness=coding.brightness)
    stream = stream.filter("scale", *coding.scale or (), flags="accurate_rnd+bitexact+bicubic")
    stream = stream.filter("format", coding.pixel_format)
    if coding.slow_from is not None:
        frame_time = f"N+max(0,N-{coding.slow_from})"
        stream = stream.filter("setpts", f"({frame_time})/({fps}*TB)")
    if coding.interlaced:
        stream = stream.filter("setfield", "tff")
    if coding.pixel_aspect is not None:
        stream = stream.filter("setsar", coding.pixel_aspect)
    if coding.pq:
        hdr = {"color_primaries": "bt2020", "color_trc": "smpte2084", "colorspace": "bt2020nc"}
        stream = stream.filter("setparams", **hdr)
    return stream


def _options(coding: Coding) -> dict[str, Any]:
    flags = "+bitexact" + ("+ildct+ilme" if coding.interlaced else "")
    options: dict[str, Any] = {"c:v": coding.codec, "g": coding.gop, "flags:v": flags, **_EXACT}
    options |= {"fps_mode": "passthrough", "filter_threads": 1}
    if coding.codec == "libx264":
        options |= {"crf": coding.crf, "preset": "veryfast", "bf": coding.b_frames}
        options |= {"keyint_min": coding.gop, "sc_threshold": 0}
    elif coding.codec == "libx265":
        keys = f"keyint={coding.gop}:min-keyint={coding.gop}:scenecut=0:bframes={coding.b_frames}"
        options |= {"crf": coding.crf, "preset": "ultrafast"}
        options |= {"x265-params": f"{keys}:pools=none:frame-threads=1:info=0:log-level=error"}
    elif coding.codec.startswith("libvpx"):
        options |= {"crf": coding.crf, "b:v": "2M" if coding.codec == "libvpx" else 0}
        options |= {"deadline": "realtime", "cpu-used": 8}
    elif coding.codec in ("mpeg4", "mpeg2video"):
        options |= {"q:v": coding.quantiser, "bf": coding.b_frames, "sc_threshold": 1_000_000_000}
    return options


@contextlib.contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """A temporary file that is renamed to `path` if the block succeeds, else deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def encode(
    path: Path, pictures: Iterable[Image.Image], *, fps: int, coding: Coding | None = None
) -> int:
    """Writes RGB pictures of one size to `path`; returns how many there were.

    Raises `ValueError` if there are none, and `RuntimeError` with ffmpeg's message if it fails.
    """
    coding = coding or Coding()
    with _atomic(path) as partial:
        frames = _encode(partial, iter(pictures), fps, coding)
        if coding.rotation:
            _rotate(partial, coding.rotation)
    return frames


def _encode(path: Path, pictures: Iterator[Image.Image], fps: int, coding: Coding) -> int:
    first = next(pictures, None)
    if first is None:
        raise ValueError(f"no pictures for {path}; a video needs at least one")
    width, height = first.size
    if coding.rotation in (90, 270):
        width, height = height, width
    raw = ffmpeg.input(
        "pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", framerate=fps
    )
    streams, options = [_filters(raw.video, coding, fps)], _options(coding)
    if coding.sound_from is not None:
        streams.append(ffmpeg.input(coding.sound_from).audio)
    elif coding.sound:
        streams.append(ffmpeg.input("sine=frequency=440:sample_rate=48000", f="lavfi").audio)
    if len(streams) > 1:
        options |= {"c:a": "aac", "b:a": "64k", "flags:a": "+bitexact", "shortest": None}
    writer = (
        ffmpeg.output(*streams, str(path), **options)
        .global_args("-loglevel", "error", "-nostats")
        .overwrite_output()
        .run_async(cmd=ffmpeg_path(), pipe_stdin=True, pipe_stderr=True)
    )
    frames = 0
    try:
        with contextlib.suppress(BrokenPipeError):
            for picture in chain([first], pictures):
                writer.stdin.write(picture.rotate(coding.rotation, expand=True).tobytes())
                frames += 1
        _, log = writer.communicate()
    except BaseException:
        writer.kill()
        writer.communicate()
        raise
    if writer.returncode != 0:
        raise RuntimeError(f"ffmpeg cannot write {path}: {log.decode('utf-8', 'replace')}")
    return frames


def _rotate(path: Path, rotation: int) -> None:
    """Adds the display matrix to a finished file; ffmpeg sets one only for an input."""
    source = ffmpeg.input(str(path), display_rotation=-rotation)
    with _atomic(path) as rotated:
        writer = ffmpeg.output(source, str(rotated), c="copy", **_EXACT).overwrite_output()
        try:
            writer.run(cmd=ffmpeg_path(), quiet=True)
        except ffmpeg.Error as error:
            raise RuntimeError(f"ffmpeg cannot rotate {path}: {error.stderr.decode()}") from error
