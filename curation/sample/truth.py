"""What is known about a sample source because we made it.

`truth.json` beside the videos is a list of these records, one object a file, fields as below.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

TRUTH_FILE = "truth.json"
"""Name of the list of truths in the folder of the videos."""


@dataclass(frozen=True)
class Truth:
    """One file of the sample and what a pipeline should find out about it."""

    file: str
    """Its name in the folder."""
    frames: int
    """Frames that decode from it; for a corrupt file, frames before the damage was done; 0 if it
    is no video."""
    fps: float
    """Frames a second, on average; 0 if it is no video."""
    hard_cuts: tuple[int, ...] = ()
    """The first frame of each shot that begins with a cut, without frame 0."""
    dissolves: tuple[tuple[int, int], ...] = ()
    """Spans [start, end) of frames that show two shots."""
    expect: str = "kept"
    """`kept`, `filtered`, `duplicate` or `failed`."""
    reason: str | None = None
    """Why it is not kept: `dark`, `blurred`, `frozen`, `letterboxed`, `near_duplicate`, `corrupt`,
    `not_video` or `empty`."""
    duplicate_of: str | None = None
    """For `duplicate`: the file that it is a copy of."""

    @property
    def shots(self) -> list[tuple[int, int]]:
        """Spans [start, end) of the shots, without the frames of dissolves."""
        edges = [(cut, cut) for cut in self.hard_cuts] + list(self.dissolves)
        edges = [(0, 0), *sorted(edges), (self.frames, self.frames)]
        spans = [(before[1], after[0]) for before, after in pairwise(edges)]
        return [(start, end) for start, end in spans if end > start]


def write_truth(directory: Path, truths: list[Truth]) -> None:
    """Writes `truth.json` into the folder."""
    rows = [dataclasses.asdict(truth) for truth in truths]
    (directory / TRUTH_FILE).write_text(json.dumps(rows, indent=1) + "\n")


def read_truth(directory: str | Path) -> list[Truth]:
    """The truths that `render` wrote into the folder."""
    rows: list[dict[str, Any]] = json.loads((Path(directory) / TRUTH_FILE).read_text())
    return [
        Truth(**row | {"hard_cuts": tuple(row["hard_cuts"]),
                       "dissolves": tuple((start, end) for start, end in row["dissolves"])})
        for row in rows
    ]  # fmt: skip
