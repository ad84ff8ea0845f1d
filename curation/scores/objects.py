"""People, vehicles, animals and other things, by a YOLOX detector (Ge et al. 2021) in ONNX form.

It knows the 80 classes of COCO (Lin et al. 2014). Its raw output is one row for each cell of three
grids of 8, 16 and 32 pixels: a box relative to the cell, the confidence that there is an object,
and that it is of each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.records import ClipRow
from curation.scores import detector
from curation.scores.base import AnalysisFrame, ClipScore, Float64Array, Row, field

CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote",
    "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book",
    "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""The classes in the order of the detector's output."""
_GROUPS = {"people": slice(0, 1), "vehicles": slice(1, 9), "animals": slice(14, 24)}
_GREY = 114


@dataclass(frozen=True, slots=True)
class ObjectScores(ClipRow):
    """The things in one clip."""

    people: float | None = field(
        "How many people are seen.",
        low=("few_people", "Fewer people are seen than the policy requires."),
        high=("people", "More people are seen than the policy allows."),
    )
    """In half of the sampled frames there are at least so many."""
    vehicles: float | None = field(
        "How many vehicles are seen.",
        low=("few_vehicles", "Fewer vehicles are seen than the policy requires."),
        high=("vehicles", "More vehicles are seen than the policy allows."),
    )
    """The same of bicycles, cars, motorcycles, aircraft, buses, trains, lorries and boats."""
    animals: float | None = field(
        "How many animals are seen.",
        low=("few_animals", "Fewer animals are seen than the policy requires."),
        high=("animals", "More animals are seen than the policy allows."),
    )
    """The same of birds, cats, dogs, horses and others that COCO names."""
    objects: str | None = field("What is seen.")
    """COCO classes that are in at least half of those frames, the most frequent first, with commas
    between; empty if there are none."""


@dataclass(frozen=True)
class Objects(ClipScore):
    """Counts things in a few frames of each clip; cost about 40 ms a frame."""

    weights: str
    """The ONNX file, such as yolox_nano.onnx."""
    threshold: float = 0.4
    """Least confidence of the detector, 0–1."""
    group: ClassVar[str] = "objects"
    record: ClassVar[type[ObjectScores]] = ObjectScores

    def __post_init__(self) -> None:
        """Raises `MissingModelError` without the weights."""
        detector.check_weights(self.weights)

    def load(self) -> None:
        """Loads the detector."""
        detector.session(self.weights)

    def detect(self, frame: AnalysisFrame) -> tuple[detector.Boxes, npt.NDArray[np.int64]]:
        """Boxes and classes of the objects, by falling confidence."""
        side = int(detector.session(self.weights).get_inputs()[0].shape[2])
        planes, share = _padded(frame.rgb, side)
        rows = detector.run(self.weights, planes)[0][0]
        confidence = rows[:, 4:5] * rows[:, 5:]
        confident = confidence.max(axis=1) > self.threshold
        rows, confidence = rows[confident], confidence[confident]
        classes = confidence.argmax(axis=1)
        cells, strides = (array[confident] for array in _grid(side))
        centre = (rows[:, :2] + cells) * strides / side
        half = np.exp(rows[:, 2:4]) * strides / side / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1) / np.tile(share, 2)
        boxes = np.asarray(np.clip(boxes, 0, 1), np.float32)
        # An offset for each class, so that a rider does not suppress the bicycle.
        offset_boxes = boxes + 2.0 * classes[:, None].astype(np.float32)
        order = detector.non_max_suppression(offset_boxes, confidence.max(axis=1))
        return np.asarray(boxes[order], np.float32), np.asarray(classes[order], np.int64)

    def describe(self, frames: Sequence[AnalysisFrame], times_s: Float64Array) -> Row:
        """Upper median of the counts, and the classes in half of the frames."""
        counts = np.stack([np.bincount(self.detect(f)[1], minlength=len(CLASSES)) for f in frames])
        groups = {
            name: float(np.percentile(counts[:, classes].sum(axis=1), 50, method="higher"))
            for name, classes in _GROUPS.items()
        }
        presence = (counts > 0).mean(axis=0)
        names = [CLASSES[i] for i in np.argsort(-presence, kind="stable") if presence[i] >= 0.5]
        return {**groups, "objects": ", ".join(names)}


def _padded(
    rgb: npt.NDArray[np.uint8], side: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The picture in the upper left of a gray square, BGR [1, 3, side, side], and its shares."""
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
    square = np.full((side, side, 3), _GREY, np.float32)
    square[: size[1], : size[0]] = small[..., ::-1]
    share = np.array([length / side for length in size], np.float32)
    return square.transpose(2, 0, 1)[None], share


@cache
def _grid(side: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """For each row of the output its cell (x, y) in its grid, and the grid's stride in pixels."""
    cells, strides = [], []
    for stride in (8, 16, 32):
        count = side // stride
        y, x = np.mgrid[0:count, 0:count]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((count * count, 1), stride, np.float32))
    return np.asarray(np.concatenate(cells), np.float32), np.concatenate(strides)
