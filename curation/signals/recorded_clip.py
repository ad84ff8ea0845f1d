"""What was recorded with one clip, as scan sees it: for its score and for its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from curation.signals.blocks import ClipSignals
from curation.signals.recording import Episode
from curation.signals.resample import unit_quaternions

Deviations = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Standard deviations of a signal's numbers over its episode, and of their steps: [channels]."""


@dataclass(frozen=True, eq=False)
class RecordedClip:
    """The recording of one clip."""

    episode: Episode | None = None
    """None where there is none at this clip."""
    content: ClipSignals | None = None
    """Its signals; None without a clock."""
    deviations: Mapping[str, Deviations] = field(default_factory=dict)
    """By signal."""
    drift_ppm: float | None = None
    """By how much the episode's clock gains on the container's; None if unknown."""
    problem: str | None = None
    """Why the signals could not be used."""


def deviations(episode: Episode) -> dict[str, Deviations]:
    """Those of all signals of an episode; of rotations as they are resampled."""
    found = {}
    for signal in episode.signals:
        is_rotation = signal.kind == "rotation"
        values = unit_quaternions(signal) if is_rotation else signal.values.astype(np.float64)
        with np.errstate(invalid="ignore"):
            steps = np.diff(values, axis=0)
            spread = np.nanstd(values, axis=0) if np.isfinite(values).any() else np.zeros(1)
            jumps = np.nanstd(steps, axis=0) if np.isfinite(steps).any() else np.zeros(1)
        width = values.shape[1]
        pair = (np.broadcast_to(part, (width,)).astype(np.float64) for part in (spread, jumps))
        first, second = (np.nan_to_num(part) for part in pair)
        found[signal.name] = (first, second)
    return found
