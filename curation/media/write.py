"""Writing pictures that we made ourselves as a video to look at."""

from __future__ import annotations

import os
import subprocess

import ffmpeg
import numpy as np
import numpy.typing as npt

from curation.media import allow


def write_video(path: str | os.PathLike[str], frames: npt.NDArray[np.uint8], fps: float) -> None:
    """Writes RGB frames [n, height, width, 3] (even sizes) as H.264; the suffix says in what.

    Raises `OSError` with ffmpeg's words if it cannot.
    """
    _, height, width, _ = frames.shape
    pictures = ffmpeg.input(
        "pipe:0", format="rawvideo", pix_fmt="rgb24", video_size=(width, height), framerate=fps
    )
    output = ffmpeg.output(
        pictures, os.fspath(path), vcodec="libx264", crf=12, pix_fmt="yuv420p", v="error"
    )
    command = [allow.ffmpeg(), *output.overwrite_output().get_args()]
    done = subprocess.run(command, input=frames.tobytes(), capture_output=True, check=False)
    if done.returncode:
        raise OSError(f"{os.fspath(path)}: {done.stderr.decode('utf-8', 'replace').strip()}")
