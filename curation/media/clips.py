"""Reading back the clips that we encoded ourselves, with decord.

decord is fast at random access and at reduced size, but gives up no error for a truncated file, so
it is used for our own files alone, and the caller says how many frames there have to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curation.reasons import MediaError


class ClipReader:
    """One of our own clips. `read` gives RGB uint8 of shape [n, height, width, 3]."""

    def __init__(self, path: str | Path, *, width: int, height: int, frames: int) -> None:
        """Opens the clip to be read at `width` × `height` (at least 32 each).

        Raises `MediaError` if the file does not hold exactly `frames` frames.
        """
        import decord

        decord.logging.set_level(decord.logging.FATAL)
        self._twice = _misread(width)
        scale = 2 if self._twice else 1
        try:
            self._reader = decord.VideoReader(
                str(path),
                ctx=decord.cpu(0),
                width=width * scale,
                height=height * scale,
                num_threads=1,
            )
        except (decord.DECORDError, RuntimeError) as error:
            raise MediaError("corrupt", f"decord cannot open the clip: {error}") from error
        if len(self._reader) != frames:
            raise MediaError("truncated", f"{len(self._reader)} frames where {frames} should be")

    def __len__(self) -> int:
        """Frames in the clip."""
        return len(self._reader)

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """The frames with these numbers, in this order."""
        frames = np.asarray(self._reader.get_batch(list(indices)).asnumpy(), np.uint8)
        return _halved(frames) if self._twice else frames


def _misread(width: int) -> bool:
    """Whether decord takes the padding of a row for more channels: at 48 and 72, from 32 on.

    Rows are padded to a multiple of 32 pixels, and three times that is divided by the width.
    """
    padded = -(-width // 32) * 32
    return padded != width and 3 * padded % width == 0


def _halved(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Means of 2×2 pixels."""
    count, height, width, channels = frames.shape
    blocks = frames.reshape(count, height // 2, 2, width // 2, 2, channels)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32) + 0.5, np.uint8)
