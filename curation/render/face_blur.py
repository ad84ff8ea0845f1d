"""Blurring faces: where they are in every frame of a clip, with some room around them.

The detector sees every frame at 320 pixels, and what it finds covers the frames around it too, so
that a face which it loses for a moment stays covered. Then it looks at the blurred frames, and what
it finds there is blurred as well. A face that it never finds is not covered: those of a few pixels,
from behind or half hidden are such. What it takes for a face, such as one on a shirt, is.
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

_SEEN = 320
_CELLS = 3
"""Cells that the largest face is blurred to, across."""
_ROUNDS = 3
_BILINEAR = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class BlurFaces:
    """Blurs every face that a detector finds."""

    weights: str
    """The ONNX file of an UltraFace detector, such as version-RFB-320.onnx."""
    threshold: float = 0.6
    """How sure the detector has to be, 0–1."""
    room: float = 0.25
    """How far beyond the face is blurred on each side, as a share of its size."""
    around_s: float = 0.2
    """How long before and after it was found a face is blurred."""

    def __post_init__(self) -> None:
        """`ValueError` if the weights or the package that runs them are not here."""
        self.detector.__post_init__()

    @property
    def detector(self) -> Faces:
        """What finds faces."""
        return Faces(self.weights, self.threshold)

    @property
    def digest_fields(self) -> dict[str, object]:
        """What decides the pictures: the weights by content."""
        parts = (_digest(self.weights), self.threshold, self.room, self.around_s)
        return {"blur_faces": list(parts)}

    def detect(self, frames: Frames) -> list[Boxes]:
        """The faces of each frame with room around them, as shares of the picture."""
        return [self._roomy(self.detector.detect(AnalysisFrame.from_rgb(rgb))) for rgb in frames]

    def _roomy(self, boxes: Boxes) -> Boxes:
        room = np.tile((boxes[:, 2:] - boxes[:, :2]) * self.room, 2) * (-1, -1, 1, 1)
        return np.asarray(np.clip(boxes + room, 0, 1), np.float32)


@dataclass(frozen=True)
class FaceMask:
    """The faces of one clip."""

    faces: int
    """How many there are, counted in every frame anew."""
    mask: MaskFile | None
    """Where to blur; None where nothing is."""


def mask_faces(
    blur: BlurFaces,
    path: str,
    span: Span,
    *,
    size: tuple[int, int],
    limits: sandbox.Limits,
    target: str,
) -> FaceMask:
    """Finds the faces of a span displayed at `size`, and writes a mask of them to `target`."""
    width, height = fitted_size(*size, _SEEN)
    frames, times = read_span(path, span, width, height, limits)
    boxes = blur.detect(frames)
    count = sum(map(len, boxes))
    if not count:
        return FaceMask(0, None)
    largest = max(float((each[:, 2] - each[:, 0]).max(initial=0)) for each in boxes)
    reach = max(1, round(blur.around_s * span.fps))
    masks = _masks(boxes, (width, height), reach)
    for _ in range(_ROUNDS):
        more = blur.detect(_blurred(frames, masks, max(2, round(largest * width / _CELLS))))
        if not any(map(len, more)):
            break
        masks = np.maximum(masks, _masks(more, (width, height), reach))
    if span.has_container_times and times is not None:
        write_masks(target, masks, [p - times.pts[0] for p in times.pts], times.tick)
    else:
        write_masks(target, masks, span.frame_ticks, TICK)
    return FaceMask(count, MaskFile(target, max(4, round(largest * size[0] / _CELLS))))


def _masks(boxes: list[Boxes], size: tuple[int, int], reach: int) -> Masks:
    """A mask a frame, of all boxes of the frames within reach."""
    masks = []
    for frame in range(len(boxes)):
        picture = Image.new("L", size)
        draw = ImageDraw.Draw(picture)
        near = np.concatenate(boxes[max(0, frame - reach) : frame + reach + 1])
        for left, top, right, bottom in (near * np.tile(size, 2)).tolist():
            draw.ellipse((left, top, right, bottom), fill=255)
        masks.append(np.asarray(picture))
    return np.stack(masks)


def _blurred(frames: Frames, masks: Masks, cell: int) -> Frames:
    """The frames as an encode will blur them."""
    made = []
    for rgb, mask in zip(frames, masks, strict=True):
        sharp = Image.fromarray(rgb)
        cells = (max(1, sharp.width // cell), max(1, sharp.height // cell))
        soft = sharp.resize(cells, Image.Resampling.BOX).resize(sharp.size, _BILINEAR)
        made.append(np.asarray(Image.composite(soft, sharp, Image.fromarray(mask))))
    return np.stack(made)


@cache
def _digest(weights: str) -> str:
    return file_sha256(weights)
