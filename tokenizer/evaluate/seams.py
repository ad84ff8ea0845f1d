"""Whether one sees where a window ends and the next, encoded apart from it, begins.

A seam lies between the last frame of a window and the first of the next. Two things are compared
there and in the rest of the same clip: the squared error of the two frames beside a seam against
that of all others, and flicker, the error of the change from one frame to the next,

    mean over pixels and colours of ((r[t+1] - r[t]) - (x[t+1] - x[t]))²

with source x and reconstruction r, across a seam against inside windows. An error that stays as it
is from frame to frame gives no flicker.

A frame's error also depends on its place among the frames of its latent, wherever that lies: the
last of them is decoded without what follows. So frames before seams are compared once more, with
frames that end a latent inside windows, which shows what the end of the window alone does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tokenizer.models.interface import Video
from tokenizer.tokenize.psnr import PerFrame, psnr_of


def flicker(video: Video, other: Video) -> PerFrame:
    """Mean squared error of each change from frame to frame, float64 [T - 1]."""
    changes = []
    before = other[0].astype(np.int32) - video[0]
    for frame, made in zip(video[1:], other[1:], strict=True):
        error = made.astype(np.int32) - frame
        changes.append(np.square(error - before).mean())
        before = error
    return np.asarray(changes, np.float64)


class Seams(NamedTuple):
    """What one clip, or several, show at seams and in the rest; squared grey levels."""

    number: int
    """How many seams."""
    last: float
    """Mean squared error of the last frames before a seam."""
    first: float
    """The same of the first frames after one."""
    apart: float
    """Mean squared error of all other frames."""
    alike: float
    """Mean squared error of those of them that are the last frame of a latent; NaN if none is."""
    across: float
    """Mean flicker across a seam."""
    inside: float
    """Mean flicker inside windows."""


def at_seams(
    errors: PerFrame,
    changes: PerFrame,
    starts: Sequence[int],
    frames_a_latent: int,
    *,
    begins_anew: bool = True,
) -> Seams | None:
    """What a clip of T frames shows at the seams before the frames `starts`.

    The first frame has a latent of its own, and then `frames_a_latent` share one; where a window
    `begins_anew`, so does its first frame. `errors` [T] and `changes` [T - 1] are those of
    `squared_errors` and `flicker`. None if there is no seam, or nothing to compare it with.
    """
    cuts = np.asarray([start for start in starts if start], np.int64)
    is_apart, is_inside = np.ones(len(errors), bool), np.ones(len(changes), bool)
    is_apart[cuts] = is_apart[cuts - 1] = is_inside[cuts - 1] = False
    if not (len(cuts) and is_apart.any() and is_inside.any()):
        return None
    place = np.arange(len(errors))
    if begins_anew:
        begun = np.asarray(sorted(starts))
        place -= begun[np.searchsorted(begun, place, "right") - 1]
    alike = errors[is_apart & (place > 0) & (place % frames_a_latent == 0)]
    parts = (errors[cuts - 1], errors[cuts], errors[is_apart], alike, changes[cuts - 1],
             changes[is_inside])  # fmt: skip
    return Seams(len(cuts), *(float(part.mean()) if part.size else math.nan for part in parts))


@dataclass(frozen=True, slots=True)
class SeamComparison:
    """Seams against the rest, over clips. Each clip counts as often on both sides as it has seams,
    so that a difficult clip with many seams does not pass for a difference."""

    seams: int
    """Seams seen."""
    psnr_db: float
    """Of the frames beside seams, those before and those after alike."""
    last_psnr_db: float
    """Of the last frames before seams."""
    first_psnr_db: float
    """Of the first frames after seams: tokens of one frame alone, so often better than others."""
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
        """PSNR beside seams less that of the rest: below 0 where seams are worse."""
        return self.psnr_db - self.rest_psnr_db

    @property
    def end_gap_db(self) -> float | None:
        """PSNR before seams less that of frames that end a latent inside windows."""
        return None if self.alike_psnr_db is None else self.last_psnr_db - self.alike_psnr_db

    @classmethod
    def of(cls, clips: Iterable[Seams | None]) -> SeamComparison | None:
        """What clips show together; None if none has a seam."""
        found = np.asarray([clip for clip in clips if clip is not None], np.float64)
        if not found.size:
            return None
        means = np.average(found[:, 1:], axis=0, weights=found[:, 0])
        last, first, apart, alike, across, inside = means.tolist()
        return cls(
            int(found[:, 0].sum()),
            psnr_of((last + first) / 2),
            psnr_of(last),
            psnr_of(first),
            psnr_of(apart),
            None if math.isnan(alike) else psnr_of(alike),
            math.sqrt(across),
            math.sqrt(inside),
        )
