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
        try:
            self._reader = decord.VideoReader(
                str(path), ctx=decord.cpu(0), width=width, height=height, num_threads=1
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
        return np.asarray(self._reader.get_batch(list(indices)).asnumpy(), np.uint8)
