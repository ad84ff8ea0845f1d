"""The ffmpeg program and the command lines that it is started with."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import ffmpeg


@cache
def ffmpeg_path() -> str:
    """Path of the ffmpeg program in the imageio-ffmpeg package; `IMAGEIO_FFMPEG_EXE` overrides it.

    The package's own function would first run the program to see whether it works.
    """
    if override := os.environ.get("IMAGEIO_FFMPEG_EXE"):
        return override
    import imageio_ffmpeg

    binaries = sorted(Path(imageio_ffmpeg.__file__).parent.glob("binaries/ffmpeg-*"))
    return str(binaries[0] if binaries else imageio_ffmpeg.get_ffmpeg_exe())


def input_file(path: str, **options: str | None) -> ffmpeg.Stream:
    """One local file as an input, even if its name looks like an option or a URL."""
    return ffmpeg.input("file:" + os.path.abspath(path), **options)


def ffmpeg_command(
    *outputs: ffmpeg.Stream, log_level: str = "error", strict: bool = False
) -> list[str]:
    """The command line that writes the outputs, with container timestamps kept.

    `strict` stops at the first error.
    """
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    return [
        ffmpeg_path(), "-hide_banner", "-nostdin", "-nostats", "-v", log_level,
        *(["-xerror"] if strict else []),
        "-y", "-copyts", "-filter_complex_threads", "1", *merged.get_args(),
    ]  # fmt: skip
