"""Scores of a clip, one file each, fed by the frames of the one decode and by the sound."""

from __future__ import annotations

import dataclasses
from typing import Any

from curation.scores.base import (
    AnalysisFrame,
    ClipScore,
    FrameScore,
    Score,
    SignalScore,
    SoundScore,
)
from curation.scores.blockiness import Blockiness
from curation.scores.borders import Borders
from curation.scores.camera import Camera
from curation.scores.combing import Combing
from curation.scores.exposure import Exposure
from curation.scores.faces import Faces
from curation.scores.flicker import Flicker
from curation.scores.kind import Kind
from curation.scores.light import Light
from curation.scores.loudness import Loudness
from curation.scores.motion import Motion
from curation.scores.objects import Objects
from curation.scores.recording import RecordingQuality
from curation.scores.sharpness import Sharpness
from curation.scores.speech import Speech
from curation.scores.text import Text

SCORES: dict[str, type[Any]] = {
    "Exposure": Exposure,
    "Motion": Motion,
    "Sharpness": Sharpness,
    "Borders": Borders,
    "Flicker": Flicker,
    "Camera": Camera,
    "Light": Light,
    "Kind": Kind,
    "Combing": Combing,
    "Blockiness": Blockiness,
    "Loudness": Loudness,
    "Speech": Speech,
    "Faces": Faces,
    "Objects": Objects,
    "Text": Text,
    "RecordingQuality": RecordingQuality,
}
"""Scores by the name that a configuration uses, in the order in which reasons are given."""

DEFAULT_SCORES = (
    "Exposure", "Motion", "Sharpness", "Borders", "Flicker", "Camera", "Light", "Kind", "Combing",
    "Blockiness", "Loudness", "RecordingQuality",
)  # fmt: skip
"""Those that need no further package and no model."""


def table_name(score: Score | type[Score]) -> str:
    """Where a score's rows lie."""
    suffix = f"-v{score.version}" if score.version > 1 else ""
    return f"scores/{score.group}{suffix}"


def columns(score: type[Score]) -> list[dataclasses.Field[Any]]:
    """The fields of a score's record that hold numbers or words."""
    return [f for f in dataclasses.fields(score.record) if f.name not in ("clip_id", "source_id")]


__all__ = [
    "DEFAULT_SCORES",
    "SCORES",
    "AnalysisFrame",
    "ClipScore",
    "FrameScore",
    "Score",
    "SignalScore",
    "SoundScore",
    "Speech",
    "columns",
    "table_name",
]
