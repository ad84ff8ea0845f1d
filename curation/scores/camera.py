"""How the camera moves, told apart from what moves before it.

Every pair of analysis frames gives one similarity transform that most of the picture follows
(`curation.scores.global_motion`). Shift, growth and turn are compared as speeds at the picture's
mean distance from its middle, so that the tag names what moves the picture most. A lens that zooms
and a camera that goes forward look alike here: both are `zoom_in`. A clip has no word where its
camera neither stands nor clearly moves, and where too little of the picture agrees on a shake: what
shakes may be a figure that fills the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.scores.frame import AnalysisFrame, Floats, FrameScore, Row, field, tag
from curation.scores.global_motion import global_motion

_STILL = 0.007
"""Longest sides a second, below which nothing moves."""
_SHAKE = 0.0075
"""Root mean square of the change of motion from pair to pair, from which the picture shakes."""
_STANDS, _WANDERS = 0.025, 0.05
"""Longest sides that a picture may drift to and fro in all and still stand; from which it moves."""
_AGREED = 0.5
"""Share of the textured picture that has to follow a shake."""
_TEXTURED = 0.85
"""Share of the picture with something to follow, below which only standing can be told."""
_RADIUS = 0.33
"""Root mean square distance of a 16:9 picture's pixels from its middle, in longest sides."""
_LEAST_KNOWN = 0.34
_INTERVAL_S = 0.25

CAMERAS = {
    "static": "The camera stands.",
    "pan_left": "It turns or goes left.",
    "pan_right": "It turns or goes right.",
    "tilt_up": "It turns or rises upward.",
    "tilt_down": "It turns or sinks downward.",
    "zoom_in": "It zooms in or goes forward.",
    "zoom_out": "It zooms out or goes back.",
    "roll": "It turns about its own axis.",
    "shaky": "It shakes more than it goes anywhere.",
    "mixed": "It moves, but in no one way for long.",
}


@dataclass(frozen=True, slots=True)
class CameraScores:
    """How the camera of one clip moves; all null where nothing in the picture can be followed."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    camera: str | None = tag(
        "How the camera moves.",
        CAMERAS,
        ("unwanted_camera", "The camera moves in a way that the policy does not want."),
    )
    """What moves the picture most; null where that cannot be told."""
    pan: float | None = field("Speed of the camera to the right.")
    """Longest sides of the picture a second; negative to the left."""
    tilt: float | None = field("Speed of the camera upward.")
    """Longest sides a second; negative downward."""
    zoom: float | None = field("Growth of the picture.")
    """Natural logarithm of the growth in a second; negative where it shrinks."""
    roll: float | None = field("Turn of the camera about its axis.")
    """Degrees a second, clockwise; negative counter-clockwise."""
    camera_speed: float | None = field(
        "How fast the picture as a whole moves.",
        low=("slow_camera", "The camera moves less than the policy asks for."),
        high=("fast_camera", "The camera moves faster than the policy allows."),
    )
    """Mean speed of all of these together, longest sides a second."""
    shake: float | None = field(
        "How uneven the camera's motion is.",
        high=("shaky_camera", "The camera shakes."),
    )
    """Root mean square change of its motion from one quarter second to the next, longest sides."""
    object_motion: float | None = field(
        "How much moves otherwise than the camera makes it.",
        low=("few_objects_move", "Too little moves but for the camera."),
        high=("many_objects_move", "Too much moves against the camera's motion."),
    )
    """Mean share of the textured picture that does, 0–1."""


@dataclass(frozen=True)
class Camera(FrameScore):
    """Tells how the camera moves; cost about 4 to 9 ms a frame."""

    group: ClassVar[str] = "camera"
    version: ClassVar[int] = 2
    record: ClassVar[type[CameraScores]] = CameraScores
    compares: ClassVar[bool] = True

    def measure(self, look: AnalysisFrame, before: AnalysisFrame | None) -> tuple[float, ...]:
        """Shift right and down, growth, turn in radians; shares that do not follow, do, and can."""
        motion = None if before is None else global_motion(before.luma, look.luma)
        if motion is None:
            return (float("nan"),) * 7
        shares = (motion.apart, motion.agree, motion.textured)
        return (motion.right, motion.down, motion.grow, motion.turn, *shares)

    def summarise(self, measures: Floats, times_s: Floats) -> Row:
        """Mean speeds over the clip, and the word for them."""
        known = ~np.isnan(measures[1:, 0])
        if known.sum() < max(1.0, _LEAST_KNOWN * len(known)):
            return dict.fromkeys(
                ("camera", "pan", "tilt", "zoom", "roll", "camera_speed", "shake", "object_motion")
            )
        steps = measures[1:, :4] * (-1, 1, 1, -1)  # of the camera: its picture goes the other way
        felt = steps * (1, 1, _RADIUS, _RADIUS)
        speeds = felt[known] / np.diff(times_s)[known, None]
        agree, textured = np.median(measures[1:][known, 5:], axis=0)
        shake = _unevenness(felt)
        mean = speeds.mean(axis=0)
        pan, tilt, zoom, roll = mean / (1, 1, _RADIUS, _RADIUS)
        return {
            "camera": _word(felt[known], speeds, shake, float(agree), float(textured)),
            "pan": round(float(pan), 5),
            "tilt": round(float(tilt), 5),
            "zoom": round(float(zoom), 5),
            "roll": round(float(np.degrees(roll)), 4),
            "camera_speed": round(float(np.linalg.norm(speeds, axis=1).mean()), 5),
            "shake": round(shake, 5),
            "object_motion": round(float(measures[1:][known, 4].mean()), 5),
        }


def _unevenness(felt: Floats) -> float:
    """Root mean square change from one pair of frames to the next, [n, 4] with NaN; 0 if n < 2."""
    changes = np.diff(felt, axis=0)
    squares = np.sort((changes[~np.isnan(changes[:, 0])] ** 2).sum(axis=1))
    # A single jerk is no shaking: the largest tenth is left out.
    kept = squares[: max(1, len(squares) - len(squares) // 10)]
    return float(np.sqrt(kept.mean())) if len(kept) else 0.0


def _word(felt: Floats, speeds: Floats, shake: float, agree: float, textured: float) -> str | None:
    """The word for what pan, tilt, zoom and roll did from pair to pair, and how fast, [n, 4]."""
    mean, typical = speeds.mean(axis=0), float(np.median(np.linalg.norm(speeds, axis=1)))
    main = int(np.abs(mean).argmax())
    drift, usual = float(abs(mean[main])), float(abs(np.median(speeds[:, main])))
    wandered = float(np.ptp(np.vstack([np.zeros(4), felt.cumsum(axis=0)]), axis=0).max())
    shakes = shake > _SHAKE and shake > 1.2 * drift * _INTERVAL_S
    slow = typical < 1.5 * _STILL
    if slow and not shakes and drift < _STILL and wandered < _STANDS:
        return "static"
    if textured < _TEXTURED or (shakes and agree < _AGREED) or (slow and wandered < _WANDERS):
        return None
    if shakes:
        return "shaky"
    overall = float(np.linalg.norm(speeds, axis=1).mean())
    if drift < max(_STILL, 0.3 * overall) or usual < 0.5 * drift:
        return "mixed"
    names = (("pan_left", "pan_right"), ("tilt_down", "tilt_up"), ("zoom_out", "zoom_in"))
    return "roll" if main == 3 else names[main][int(mean[main] > 0)]
