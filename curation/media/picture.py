"""A still picture from outside as pixels, decoded by a confined child."""

from __future__ import annotations

import json
import os

import numpy as np
import numpy.typing as npt

from curation.errors import MediaError
from curation.media import sandbox
from curation.media.confinement import FileAccess

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 40_000_000
LONGEST_SIDE = 1024
"""A larger picture is reduced to it, so that what a caller holds is bounded."""
_LIMITS = sandbox.Limits(memory_mb=1024, cpu_s=10, wall_s=20)


def read_picture(path: str) -> npt.NDArray[np.uint8] | None:
    """The picture of a file as RGB [height, width, 3]; None if it is none of `PICTURE_FORMATS`.

    Raises `MediaError` for one that is damaged, or has more than `MAX_PIXELS`.
    """
    request = {
        "path": os.path.abspath(path), "formats": PICTURE_FORMATS, "max_pixels": MAX_PIXELS,
        "longest_side": LONGEST_SIDE,
    }  # fmt: skip
    command = sandbox.child_command("picture_child.py", request)
    try:
        out, _ = sandbox.run(command, _LIMITS, files=FileAccess(reads=(path,)))
    except sandbox.ChildFailedError as error:
        raise MediaError("corrupt", sandbox.printable(error.text.strip()[-200:])) from error
    except sandbox.ChildKilledError as error:
        raise MediaError("decoder_died", str(error)) from error
    head, _, pixels = out.partition(b"\n")
    shape = json.loads(head)
    if not shape:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(*shape, 3)
