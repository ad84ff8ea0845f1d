"""Whether the border of two windows, encoded independently, is visible.

A seam is between the last frame of a window and the first of the next. Two quantities are
compared there and in the rest of the same clip: the squared error of the two frames next to a seam
against that of all others, and flicker, the error of the change from one frame to the next,

    mean over pixels and colours of ((r[t+1] - r[t]) - (x[t+1] - x[t]))²

with source x and reconstruction r, across a seam against inside windows. A constant error has no
flicker.

A frame's error also depends on its position among the frames of its latent: the last of them is
decoded without what follows. So frames before seams are also compared with frames that end a latent
inside windows, which isolates the effect of the end of the window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tokenizer.models.interface import Video
from tokenizer.tokenize.psnr import PerFrame, psnr_from_mse


def flicker(video: Video, other: Video) -> PerFrame:
    """Mean squared error of each change from frame to frame, float64 [T - 1]."""
    changes = []
    previous_error = other[0].astype(np.int32) - video[0]
    for frame, decoded in zip(video[1:], other[1:], strict=True):
        error = decoded.astype(np.int32) - frame
        changes.append(np.square(error - previous_error).mean())
        previous_error = error
    return np.asarray(changes, np.float64)


class Seams(NamedTuple):
    """Errors at the seams of one clip, or several, and in the rest; squared grey levels."""

    number: int
    """Of seams."""
    last: float
    """Mean squared error of the last frames before a seam."""
    first: float
    """The same of the first frames after one."""
    apart: float
    """Mean squared error of all other frames."""
    alike: float
    """Mean squared error of those of them that are the last frame of a latent; NaN for none."""
    across: float
    """Mean flicker across a seam."""
    inside: float
    """Mean flicker inside windows."""


def measure_seams(
    errors: PerFrame,
    changes: PerFrame,
    starts: Sequence[int],
    frames_per_latent: int,
    *,
    independent: bool = True,
) -> Seams | None:
    """The errors of a clip of T frames at the seams before the frames `starts`.

    The first frame has a latent of its own, and then `frames_per_latent` share one; so has the
    first frame of every `independent` window. `errors` [T] and `changes` [T - 1] are those of
    `frame_mse` and `flicker`. None if there is no seam, or nothing to compare it with.
    """
    seams = np.asarray([start for start in starts if start], np.int64)
    is_apart, is_inside = np.ones(len(errors), bool), np.ones(len(changes), bool)
    is_apart[seams] = is_apart[seams - 1] = is_inside[seams - 1] = False
    if not (len(seams) and is_apart.any() and is_inside.any()):
        return None
    offset = np.arange(len(errors))
    if independent:
        window_starts = np.asarray(sorted(starts))
        offset -= window_starts[np.searchsorted(window_starts, offset, "right") - 1]
    alike = errors[is_apart & (offset > 0) & (offset % frames_per_latent == 0)]
    parts = (errors[seams - 1], errors[seams], errors[is_apart], alike, changes[seams - 1],
             changes[is_inside])  # fmt: skip
    return Seams(len(seams), *(float(part.mean()) if part.size else math.nan for part in parts))


@dataclass(frozen=True, slots=True)
class SeamComparison:
    """Seams against the rest, over clips. Each clip weighs as much as it has seams on both sides,
    so that a difficult clip with many seams does not look like a difference."""

    seams: int
    """Number of seams."""
    psnr_db: float
    """Of the frames next to seams, those before and those after alike."""
    last_psnr_db: float
    """Of the last frames before seams."""
    first_psnr_db: float
    """Of the first frames after seams: they have a latent of their own, so are often better."""
    rest_psnr_db: float
    """Of the other frames of these clips."""
    alike_psnr_db: float | None
    """Of those of them that end a latent, as frames before seams do; None if a clip has none."""
    flicker: float
    """Root of the mean flicker across seams, in grey levels of 255."""
    rest_flicker: float
    """The same inside windows."""

    @property
    def gap_db(self) -> float:
        """PSNR next to seams less that of the rest: below 0 if seams are worse."""
        return self.psnr_db - self.rest_psnr_db

    @property
    def end_gap_db(self) -> float | None:
        """PSNR before seams less that of frames that end a latent inside windows."""
        return None if self.alike_psnr_db is None else self.last_psnr_db - self.alike_psnr_db

    @classmethod
    def of(cls, clips: Iterable[Seams | None]) -> SeamComparison | None:
        """All clips together; None if none has a seam."""
        rows = np.asarray([clip for clip in clips if clip is not None], np.float64)
        if not rows.size:
            return None
        means = np.average(rows[:, 1:], axis=0, weights=rows[:, 0])
        last, first, apart, alike, across, inside = means.tolist()
        return cls(
            int(rows[:, 0].sum()),
            psnr_from_mse((last + first) / 2),
            psnr_from_mse(last),
            psnr_from_mse(first),
            psnr_from_mse(apart),
            None if math.isnan(alike) else psnr_from_mse(alike),
            math.sqrt(across),
            math.sqrt(inside),
        )
