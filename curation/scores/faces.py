"""Faces, by a detector of the UltraFace family (github.com/Linzaer, 1 MB) in ONNX form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from curation.records import ClipRow
from curation.scores import detector
from curation.scores.base import AnalysisFrame, ClipScore, Float64Array, Row, field


@dataclass(frozen=True, slots=True)
class FaceScores(ClipRow):
    """The faces of one clip."""

    faces: float | None = field(
        "How many faces are seen.",
        low=("few_faces", "Fewer faces are seen than the policy requires."),
        high=("faces", "More faces are seen than the policy allows."),
    )
    """Most faces in one of the sampled frames."""
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
    """Least confidence of the detector, 0–1."""
    group: ClassVar[str] = "faces"
    record: ClassVar[type[FaceScores]] = FaceScores

    def __post_init__(self) -> None:
        """Raises `MissingModelError` without the weights."""
        detector.check_weights(self.weights)

    def load(self) -> None:
        """Loads the detector."""
        detector.session(self.weights)

    def detect(self, frame: AnalysisFrame) -> detector.Boxes:
        """Boxes of the faces, by falling confidence."""
        height, width = map(int, detector.session(self.weights).get_inputs()[0].shape[2:])
        picture = Image.fromarray(frame.rgb).resize((width, height), Image.Resampling.BILINEAR)
        planes = np.asarray(
            (np.asarray(picture).transpose(2, 0, 1)[None] - 127.0) / 128, np.float32
        )
        scores, boxes = (output[0] for output in detector.run(self.weights, planes))
        confident = scores[:, 1] > self.threshold
        boxes = np.clip(boxes[confident], 0, 1)
        best = detector.non_max_suppression(boxes, scores[confident, 1], 0.3)
        return np.asarray(boxes[best], np.float32)

    def describe(self, frames: Sequence[AnalysisFrame], times_s: Float64Array) -> Row:
        """The most faces and the largest face of any of the frames."""
        detections = [self.detect(frame) for frame in frames]
        areas = [np.prod(b[:, 2:] - b[:, :2], axis=1).max(initial=0.0) for b in detections]
        return {
            "faces": float(max(map(len, detections))),
            "face_share": round(float(max(areas)), 5),
        }
