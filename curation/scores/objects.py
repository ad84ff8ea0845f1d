"""People, vehicles, animals and other things, by a YOLOX detector (Ge et al. 2021) in ONNX form.

It knows the 80 classes of COCO (Lin et al. 2014). Its raw output is one row for each place of three
grids of 8, 16 and 32 pixels: a box relative to the place, how surely a thing is there, and how
surely it is of each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.scores import detector
from curation.scores.frame import AnalysisFrame, ClipScore, Floats, Row, field

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
class ObjectScores:
    """The things in one clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    people: float | None = field(
        "How many people are seen.",
        low=("few_people", "Fewer people are seen than the policy asks for."),
        high=("people", "More people are seen than the policy allows."),
    )
    """In half of the frames that were looked at there are at least so many."""
    vehicles: float | None = field(
        "How many vehicles are seen.",
        low=("few_vehicles", "Fewer vehicles are seen than the policy asks for."),
        high=("vehicles", "More vehicles are seen than the policy allows."),
    )
    """The same of bicycles, cars, motorcycles, aircraft, buses, trains, lorries and boats."""
    animals: float | None = field(
        "How many animals are seen.",
        low=("few_animals", "Fewer animals are seen than the policy asks for."),
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
    """How sure the detector has to be, 0–1."""
    group: ClassVar[str] = "objects"
    record: ClassVar[type[ObjectScores]] = ObjectScores

    def __post_init__(self) -> None:
        """`ValueError` if the weights are not here."""
        detector.check(self.weights)

    def load(self) -> None:
        """Loads the detector."""
        detector.session(self.weights)

    def found(self, look: AnalysisFrame) -> tuple[detector.Boxes, npt.NDArray[np.int64]]:
        """The things' boxes and classes, the surest first."""
        side = int(detector.session(self.weights).get_inputs()[0].shape[2])
        planes, share = _padded(look.rgb, side)
        rows = detector.run(self.weights, planes)[0][0]
        sure = rows[:, 4:5] * rows[:, 5:]
        classes, best = sure.argmax(axis=1), sure.max(axis=1)
        kept = best > self.threshold
        places, steps = _grid(side)
        middle = (rows[kept, :2] + places[kept]) * steps[kept] / side
        half = np.exp(rows[kept, 2:4]) * steps[kept] / side / 2
        boxes = np.concatenate([middle - half, middle + half], axis=1) / np.tile(share, 2)
        boxes = np.asarray(np.clip(boxes, 0, 1), np.float32)
        # Classes lie apart, so that a rider does not hide the bicycle.
        order = detector.thinned(boxes + 2.0 * classes[kept, None].astype(np.float32), best[kept])
        return np.asarray(boxes[order], np.float32), np.asarray(classes[kept][order], np.int64)

    def describe(self, looks: Sequence[AnalysisFrame], times_s: Floats) -> Row:
        """Counts of the middle frame, and the names of what stays."""
        seen = [np.bincount(self.found(look)[1], minlength=len(CLASSES)) for look in looks]
        counts = np.stack(seen)
        groups = {
            name: float(np.percentile(counts[:, part].sum(axis=1), 50, method="higher"))
            for name, part in _GROUPS.items()
        }
        often = (counts > 0).mean(axis=0)
        names = [CLASSES[i] for i in np.argsort(-often, kind="stable") if often[i] >= 0.5]
        return {**groups, "objects": ", ".join(names)}


def _padded(
    rgb: npt.NDArray[np.uint8], side: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The picture in the upper left of a gray square, BGR [1, 3, side, side]; its share of it."""
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
    """For each row of the output its place as (x, y) in its grid, and the grid's step in pixels."""
    places, steps = [], []
    for step in (8, 16, 32):
        count = side // step
        y, x = np.mgrid[0:count, 0:count]
        places.append(np.stack([x.ravel(), y.ravel()], axis=1))
        steps.append(np.full((count * count, 1), step, np.float32))
    return np.asarray(np.concatenate(places), np.float32), np.concatenate(steps)
