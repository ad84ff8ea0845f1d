"""Writes frames as a video to look at."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, cast

import ffmpeg
import numpy as np
import numpy.typing as npt

from curation.media.ffmpeg_command import ffmpeg_path

Frames = npt.NDArray[np.uint8]


@contextlib.contextmanager
def video_writer(
    path: str | os.PathLike[str], width: int, height: int, fps: float
) -> Iterator[Callable[[Frames], None]]:
    """Gives a function that appends RGB frames [n, height, width, 3] to an H.264 video.

    Sizes have to be even; the container follows from the suffix. Raises `OSError` with ffmpeg's
    message if it fails.
    """
    pictures = ffmpeg.input(
        "pipe:0", format="rawvideo", pix_fmt="rgb24", video_size=(width, height), framerate=fps
    )
    output = ffmpeg.output(
        pictures, os.fspath(path), vcodec="libx264", crf=12, pix_fmt="yuv420p", v="error"
    )
    command = [ffmpeg_path(), *output.overwrite_output().get_args()]
    with tempfile.TemporaryFile() as log:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
        ) as process:
            sink = cast(IO[bytes], process.stdin)

            def write(frames: Frames) -> None:
                if frames.shape[1:] != (height, width, 3):
                    raise ValueError(f"need frames {height} × {width} × 3, got {frames.shape[1:]}")
                try:
                    sink.write(np.ascontiguousarray(frames).data)
                except BrokenPipeError:
                    process.wait()
                    raise _error(path, log) from None

            try:
                yield write
            except BaseException:
                process.kill()
                raise
            finally:
                with contextlib.suppress(BrokenPipeError):
                    sink.close()
        if process.returncode:
            raise _error(path, log)


def _error(path: str | os.PathLike[str], log: IO[bytes]) -> OSError:
    log.seek(0)
    return OSError(f"{os.fspath(path)}: {log.read().decode('utf-8', 'replace').strip()}")


def write_video(path: str | os.PathLike[str], frames: Frames, fps: float) -> None:
    """Writes RGB frames [n, height, width, 3] as `video_writer` does."""
    _, height, width, _ = frames.shape
    with video_writer(path, width, height, fps) as write:
        write(frames)
