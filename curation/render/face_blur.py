"""Face blur: masks of the faces in every frame of a clip, with a margin around them.

The detector sees every frame at 320 pixels, and its boxes cover the frames around it too, so that a
face which is missed for a moment stays covered. Then it sees the blurred frames, and what it still
detects is blurred as well. A face that it never detects is not covered: one of a few pixels, from
behind or half hidden. What it takes for a face, such as one on a shirt, is blurred.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from curation.media import sandbox
from curation.media.cut import TICK, Span
from curation.media.decode import Frames
from curation.media.picture_edits import MaskFile, Masks, write_masks
from curation.media.probe import fitted_size
from curation.media.span_reader import read_span
from curation.scores import AnalysisFrame
from curation.scores.detector import Boxes
from curation.scores.faces import Faces
from curation.storage import file_sha256

_DETECTOR_SIDE = 320
_CELLS_ACROSS = 3
"""Cells that the largest face is blurred to, across."""
_MAX_ROUNDS = 3
_file_digest = cache(file_sha256)
_BILINEAR = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class BlurFaces:
    """Blurs every face that a detector finds."""

    weights: str
    """The ONNX file of an UltraFace detector, such as version-RFB-320.onnx."""
    threshold: float = 0.6
    """Least confidence of the detector, 0–1."""
    room: float = 0.25
    """Margin around the face on each side, as a share of its size."""
    around_s: float = 0.2
    """Seconds before and after its detection in which a face is blurred."""

    def __post_init__(self) -> None:
        """Raises `MissingModelError` without the weights or the package that runs them."""
        self.detector.__post_init__()

    @property
    def detector(self) -> Faces:
        """The face detector."""
        return Faces(self.weights, self.threshold)

    @property
    def digest_fields(self) -> dict[str, object]:
        """All settings that decide the pictures; the weights by content."""
        digest = _file_digest(self.weights)
        return {"blur_faces": [digest, self.threshold, self.room, self.around_s]}

    def detect(self, frames: Frames) -> list[Boxes]:
        """The faces of each frame with their margins, as shares of the picture."""
        detections = []
        for rgb in frames:
            boxes = self.detector.detect(AnalysisFrame.from_rgb(rgb))
            margin = np.tile((boxes[:, 2:] - boxes[:, :2]) * self.room, 2) * (-1, -1, 1, 1)
            detections.append(np.asarray(np.clip(boxes + margin, 0, 1), np.float32))
        return detections


@dataclass(frozen=True)
class FaceMask:
    """The faces of one clip."""

    num_faces: int
    """Detections in all frames; a face counts once a frame."""
    mask: MaskFile | None
    """Where to blur; None without faces."""


def mask_faces(
    blur: BlurFaces,
    path: str,
    span: Span,
    *,
    size: tuple[int, int],
    limits: sandbox.Limits,
    target: str,
) -> FaceMask:
    """Detects the faces of a span displayed at `size`, and writes a mask of them to `target`."""
    width, height = fitted_size(*size, _DETECTOR_SIDE)
    frames, times = read_span(path, span, width, height, limits)
    boxes = blur.detect(frames)
    count = sum(map(len, boxes))
    if not count:
        return FaceMask(0, None)
    largest = max(float((b[:, 2] - b[:, 0]).max(initial=0)) for b in boxes)
    radius = max(1, round(blur.around_s * span.fps))
    masks = _draw_masks(boxes, (width, height), radius)
    for _ in range(_MAX_ROUNDS):
        cell_px = max(2, round(largest * width / _CELLS_ACROSS))
        missed = blur.detect(_blur(frames, masks, cell_px))
        if not any(map(len, missed)):
            break
        masks = np.maximum(masks, _draw_masks(missed, (width, height), radius))
    if span.has_container_times and times is not None:
        write_masks(target, masks, [p - times.pts[0] for p in times.pts], times.tick)
    else:
        write_masks(target, masks, span.frame_ticks, TICK)
    return FaceMask(count, MaskFile(target, max(4, round(largest * size[0] / _CELLS_ACROSS))))


def _draw_masks(boxes: list[Boxes], size: tuple[int, int], radius: int) -> Masks:
    """A mask for each frame, of all boxes of the frames within the radius."""
    masks = []
    for frame in range(len(boxes)):
        picture = Image.new("L", size)
        draw = ImageDraw.Draw(picture)
        neighbours = np.concatenate(boxes[max(0, frame - radius) : frame + radius + 1])
        for left, top, right, bottom in (neighbours * np.tile(size, 2)).tolist():
            draw.ellipse((left, top, right, bottom), fill=255)
        masks.append(np.asarray(picture))
    return np.stack(masks)


def _blur(frames: Frames, masks: Masks, cell_px: int) -> Frames:
    """The frames as an encode will blur them."""
    blurred = []
    for rgb, mask in zip(frames, masks, strict=True):
        sharp = Image.fromarray(rgb)
        cells = (max(1, sharp.width // cell_px), max(1, sharp.height // cell_px))
        soft = sharp.resize(cells, Image.Resampling.BOX).resize(sharp.size, _BILINEAR)
        blurred.append(np.asarray(Image.composite(soft, sharp, Image.fromarray(mask))))
    return np.stack(blurred)
