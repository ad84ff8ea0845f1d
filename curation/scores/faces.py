"""Faces, by a detector of the UltraFace family (github.com/Linzaer, 1 MB) in ONNX form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from curation.scores import detector
from curation.scores.frame import AnalysisFrame, ClipScore, Floats, Row, field


@dataclass(frozen=True, slots=True)
class FaceScores:
    """The faces of one clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    faces: float | None = field(
        "How many faces are seen.",
        low=("few_faces", "Fewer faces are seen than the policy asks for."),
        high=("faces", "More faces are seen than the policy allows."),
    )
    """Most faces in one of the frames that were looked at."""
    face_share: float | None = field(
        "How much of the picture the largest face takes up.",
        high=("large_face", "A face takes up too much of the picture."),
    )
    """Area of the largest face in any of them, 0–1."""


@dataclass(frozen=True)
class Faces(ClipScore):
    """Counts faces in a few frames of each clip; cost about 10 ms a frame."""

    weights: str
    """The ONNX file, such as version-RFB-320.onnx."""
    threshold: float = 0.9
    """How sure the detector has to be, 0–1."""
    group: ClassVar[str] = "faces"
    record: ClassVar[type[FaceScores]] = FaceScores

    def __post_init__(self) -> None:
        """`ValueError` if the weights are not here."""
        detector.check(self.weights)

    def load(self) -> None:
        """Loads the detector."""
        detector.session(self.weights)

    def boxes(self, look: AnalysisFrame) -> detector.Boxes:
        """Where the faces are, the surest first."""
        height, width = (
            int(size) for size in detector.session(self.weights).get_inputs()[0].shape[2:]
        )
        picture = Image.fromarray(look.rgb).resize((width, height), Image.Resampling.BILINEAR)
        planes = np.asarray(
            (np.asarray(picture).transpose(2, 0, 1)[None] - 127.0) / 128, np.float32
        )
        scores, boxes = (output[0] for output in detector.run(self.weights, planes))
        sure = scores[:, 1] > self.threshold
        found = np.clip(boxes[sure], 0, 1)
        return np.asarray(found[detector.thinned(found, scores[sure, 1], 0.3)], np.float32)

    def describe(self, looks: Sequence[AnalysisFrame], times_s: Floats) -> Row:
        """The most of the frames."""
        found = [self.boxes(look) for look in looks]
        areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).max(initial=0.0) for boxes in found]
        return {
            "faces": float(max(len(boxes) for boxes in found)),
            "face_share": round(float(max(areas)), 5),
        }
