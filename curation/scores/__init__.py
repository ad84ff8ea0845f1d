"""Scores of a clip, one file each, all fed by the frames of the one decode."""

from __future__ import annotations

import dataclasses
from typing import Any

from curation.scores.borders import Borders
from curation.scores.exposure import Exposure
from curation.scores.look import Look, Score
from curation.scores.motion import Motion
from curation.scores.sharpness import Sharpness

SCORES: dict[str, type[Any]] = {
    "Exposure": Exposure,
    "Motion": Motion,
    "Sharpness": Sharpness,
    "Borders": Borders,
}
"""Scores by the name that a configuration uses, in the order in which reasons are given."""


def table_name(score: Score | type[Score]) -> str:
    """Where a score's rows lie."""
    suffix = f"-v{score.version}" if score.version > 1 else ""
    return f"scores/{score.group}{suffix}"


def columns(score: type[Score]) -> list[dataclasses.Field[Any]]:
    """The fields of a score's record that hold numbers."""
    return [f for f in dataclasses.fields(score.record) if f.name not in ("clip_id", "source_id")]


__all__ = ["SCORES", "Look", "Score", "columns", "table_name"]
