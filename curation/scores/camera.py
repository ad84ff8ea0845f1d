"""Camera motion, separated from the motion of objects.

Every pair of analysis frames gives one similarity transform that most of the picture follows
(`curation.scores.global_motion`). Shift, growth and turn are compared as speeds at the picture's
mean distance from its middle, so that the tag names the largest motion. Zooming in and going
forward look alike here: both are `zoom_in`. The tag is null where the camera is neither static nor
clearly moving, and where too little of the picture agrees on a shake, which a figure that fills the
picture may make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.records import ClipRow
from curation.scores.base import AnalysisFrame, Float64Array, FrameScore, Row, field, tag
from curation.scores.global_motion import global_motion

_STILL_SPEED = 0.007
"""Longest sides a second, below which nothing moves."""
_SHAKE = 0.0075
"""Root mean square of the change of motion from pair to pair, from which the picture shakes."""
_STATIC_DRIFT, _MOVING_DRIFT = 0.025, 0.05
"""Longest sides of drift in all up to which a picture is static; from which it moves."""
_MIN_SHAKE_INLIERS = 0.5
"""Share of the textured picture that has to follow a shake."""
_MIN_TEXTURED = 0.85
"""Share of the picture with texture, below which only `static` is reported."""
_RADIUS = 0.33
"""Root mean square distance of a 16:9 picture's pixels from its middle, in longest sides."""
_MIN_MATCHED = 0.34
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
class CameraScores(ClipRow):
    """How the camera of one clip moves; all null where nothing in the picture can be followed."""

    camera: str | None = tag(
        "How the camera moves.",
        CAMERAS,
        ("unwanted_camera", "The camera moves in a way that the policy does not allow."),
    )
    """What moves the picture most; null where it is unclear."""
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
        low=("slow_camera", "The camera moves less than the policy requires."),
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
    """Classifies the camera's motion; cost about 4 to 9 ms a frame."""

    group: ClassVar[str] = "camera"
    version: ClassVar[int] = 2
    record: ClassVar[type[CameraScores]] = CameraScores
    compares_frames: ClassVar[bool] = True

    def measure(self, frame: AnalysisFrame, previous: AnalysisFrame | None) -> tuple[float, ...]:
        """dx, dy, log scale, rotation in radians; shares of outliers, inliers and texture."""
        motion = None if previous is None else global_motion(previous, frame)
        if motion is None:
            return (float("nan"),) * 7
        shares = (motion.outlier_share, motion.inlier_share, motion.textured_share)
        return (motion.dx, motion.dy, motion.log_scale, motion.rotation_rad, *shares)

    def summarise(self, measures: Float64Array, times_s: Float64Array) -> Row:
        """Mean speeds over the clip, and the tag."""
        pairs = measures[1:]
        matched = ~np.isnan(pairs[:, 0])
        if matched.sum() < max(1.0, _MIN_MATCHED * len(matched)):
            return dict.fromkeys(
                ("camera", "pan", "tilt", "zoom", "roll", "camera_speed", "shake", "object_motion")
            )
        to_distance = (1, 1, _RADIUS, _RADIUS)
        # The camera moves opposite to its picture.
        steps = pairs[:, :4] * (-1, 1, 1, -1) * to_distance
        speeds = steps[matched] / np.diff(times_s)[matched, None]
        inliers, textured = np.median(pairs[matched, 5:], axis=0)
        shake = _shake(steps)
        pan, tilt, zoom, roll = speeds.mean(axis=0) / to_distance
        return {
            "camera": _classify(steps[matched], speeds, shake, float(inliers), float(textured)),
            "pan": round(float(pan), 5),
            "tilt": round(float(tilt), 5),
            "zoom": round(float(zoom), 5),
            "roll": round(float(np.degrees(roll)), 4),
            "camera_speed": round(float(np.linalg.norm(speeds, axis=1).mean()), 5),
            "shake": round(shake, 5),
            "object_motion": round(float(pairs[matched, 4].mean()), 5),
        }


def _shake(steps: Float64Array) -> float:
    """Root mean square change from one pair of frames to the next, [n, 4] with NaN; 0 if n < 2."""
    changes = np.diff(steps, axis=0)
    squares = np.sort((changes[~np.isnan(changes[:, 0])] ** 2).sum(axis=1))
    # A single jerk is no shaking: the largest tenth is left out.
    squares = squares[: max(1, len(squares) - len(squares) // 10)]
    return float(np.sqrt(squares.mean())) if len(squares) else 0.0


def _classify(
    steps: Float64Array, speeds: Float64Array, shake: float, inliers: float, textured: float
) -> str | None:
    """The tag for pan, tilt, zoom and roll from pair to pair, and their speeds, [n, 4]."""
    norms, mean = np.linalg.norm(speeds, axis=1), speeds.mean(axis=0)
    main = int(np.abs(mean).argmax())
    mean_speed, median_speed = float(abs(mean[main])), float(abs(np.median(speeds[:, main])))
    drift = float(np.ptp(np.vstack([np.zeros(4), steps.cumsum(axis=0)]), axis=0).max())
    shakes = shake > _SHAKE and shake > 1.2 * mean_speed * _INTERVAL_S
    slow = float(np.median(norms)) < 1.5 * _STILL_SPEED
    if slow and not shakes and mean_speed < _STILL_SPEED and drift < _STATIC_DRIFT:
        return "static"
    unsure = (shakes and inliers < _MIN_SHAKE_INLIERS) or (slow and drift < _MOVING_DRIFT)
    if textured < _MIN_TEXTURED or unsure:
        return None
    if shakes:
        return "shaky"
    if mean_speed < max(_STILL_SPEED, 0.3 * norms.mean()) or median_speed < 0.5 * mean_speed:
        return "mixed"
    names = (("pan_left", "pan_right"), ("tilt_down", "tilt_up"), ("zoom_out", "zoom_in"))
    return "roll" if main == 3 else names[main][int(mean[main] > 0)]
