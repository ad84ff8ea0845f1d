"""How good the recording of a clip is: what a policy bounds of signals.

Of all signals the worst counts. A signal counts as idle from one frame to the next where none of
its numbers changes by more than a thousandth of its standard deviation over the episode; where it
is invalid it does not count. A spike is
a step from sample to sample of more than three standard deviations of the episode's steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from curation.records import ClipRow
from curation.scores.base import Row, SignalScore, field, tag
from curation.signals.recorded_clip import RecordedClip
from curation.signals.resample import NO_TIME, resample
from curation.signals.signal import Signal, gap_ns

RECORDINGS = {
    "unreadable": "Its signals could not be used; `remarks` of its source says why.",
    "desynchronised": "Its clock and the pictures' drift apart by more than 500 millionths.",
    "short": "Signals cover less than 90 % of its frames.",
    "gaps": "More than 5 % of the samples of a signal are missing.",
    "spikes": "A number jumps beyond three standard deviations in more than 5 % of its steps.",
    "good": "None of these.",
}
_MAX_DRIFT_PPM = 500.0
_MIN_COVERAGE = 0.9
_MAX_SHARE = 0.05
_IDLE = 1e-3
_SPIKE = 3.0


@dataclass(frozen=True, slots=True)
class RecordingScores(ClipRow):
    """How good the signals of one clip are; all null without a recording."""

    recording: str | None = tag(
        "What is wrong with the signals.",
        RECORDINGS,
        ("bad_recording", "The signals have a fault that the policy does not allow."),
    )
    """The first fault that holds, in the order of the words."""
    signal_coverage: float | None = field(
        "How much of the clip has signals.",
        low=("short_signals", "Signals cover less of the clip than the policy requires."),
    )
    """Share of the frames at which all signals are valid, 0–1."""
    idle_share: float | None = field(
        "How much of the time no signal changes.",
        high=("idle", "Nothing is done for more of the clip than the policy allows."),
    )
    """Share of the steps between frames with a signal in which none changes, 0–1; null without."""
    dropped_share: float | None = field(
        "How many samples are missing.",
        high=("dropped_samples", "More samples are missing than the policy allows."),
    )
    """Share of the expected samples of the worst regular signal, 0–1; null without any."""
    spike_share: float | None = field(
        "How often a signal jumps.",
        high=("spikes", "Signals jump more often than the policy allows."),
    )
    """Share of the steps in which the worst interpolated number jumps, 0–1; null without any."""
    clock_drift_ppm: float | None = field(
        "How fast the clocks of pictures and signals drift apart.",
        high=("clock_drift", "The clocks drift apart faster than the policy allows."),
    )
    """Size of the drift in millionths, over the episode; null where frames have no stamps."""


@dataclass(frozen=True)
class RecordingQuality(SignalScore):
    """Measures what a recording lacks."""

    group: ClassVar[str] = "recording"
    record: ClassVar[type[RecordingScores]] = RecordingScores

    def summarise(self, clip: RecordedClip) -> Row:
        """The fields of one clip."""
        if clip.problem is not None:
            return _row("unreadable")
        parts = clip.content
        if parts is None or not parts.signals:
            return _row(None)
        valid, moves, dropped, spikes = [], [], [], []
        steps_known = np.zeros(len(parts.frame_ns) - 2, bool)
        for signal, period in zip(parts.signals, parts.periods, strict=True):
            sampled = resample(signal, parts.frame_ns, period)
            is_valid = np.asarray(sampled.valid.all(axis=1))
            valid.append(is_valid)
            deviation = clip.deviations[signal.name]
            if signal.kind not in ("delta", "event"):
                is_known = is_valid[1:] & is_valid[:-1]
                steps = np.abs(np.diff(sampled.values.astype(np.float64), axis=0))
                moves.append(is_known & (steps > _IDLE * deviation[0]).any(axis=1))
                steps_known |= is_known
            if signal.kind == "linear" and len(signal.stamps) > 1:
                spikes.append(_spike_share(signal, deviation[1]))
            if period is not None:
                dropped.append(_dropped_share(signal, period, parts.frame_ns))
        coverage = float(np.all(valid, axis=0).mean())
        is_idle = ~np.asarray(np.any(moves, axis=0))[steps_known] if moves else steps_known[:0]
        values = {
            "signal_coverage": round(coverage, 5),
            "idle_share": round(float(is_idle.mean()), 5) if is_idle.size else None,
            "dropped_share": round(max(dropped), 5) if dropped else None,
            "spike_share": round(max(spikes), 5) if spikes else None,
            "clock_drift_ppm": None if clip.drift_ppm is None else round(abs(clip.drift_ppm), 2),
        }
        return {"recording": _fault(values), **values}


def _row(word: str | None) -> Row:
    names = (
        "signal_coverage", "idle_share", "dropped_share", "spike_share", "clock_drift_ppm",
    )  # fmt: skip
    return {"recording": word, **dict.fromkeys(names)}


def _fault(values: dict[str, float | None]) -> str:
    def above(name: str, bound: float) -> bool:
        value = values[name]
        return value is not None and value > bound

    if above("clock_drift_ppm", _MAX_DRIFT_PPM):
        return "desynchronised"
    if (values["signal_coverage"] or 0.0) < _MIN_COVERAGE:
        return "short"
    if above("dropped_share", _MAX_SHARE):
        return "gaps"
    return "spikes" if above("spike_share", _MAX_SHARE) else "good"


def _spike_share(signal: Signal, deviation: npt.NDArray[np.float64]) -> float:
    steps = np.abs(np.diff(signal.values.astype(np.float64), axis=0))
    is_spike = (steps > _SPIKE * deviation) & (deviation > 0)
    return float(is_spike.mean(axis=0).max())


def _dropped_share(signal: Signal, period: int, frame_ns: npt.NDArray[np.int64]) -> float:
    known = frame_ns[frame_ns != NO_TIME]
    start, end = known.min(), known.max()
    present = int(((signal.stamps >= start) & (signal.stamps <= end)).sum())
    steps = np.diff(signal.stamps)
    gaps = np.flatnonzero(steps > gap_ns(period))
    before, count = signal.stamps[gaps], np.rint(steps[gaps] / period)
    # Samples 1 to count − 1 of each gap are missing; those at the clip's times are counted.
    first = np.maximum(np.ceil((start - before) / steps[gaps] * count), 1)
    last = np.minimum(np.floor((end - before) / steps[gaps] * count), count - 1)
    missing = int(np.maximum(last - first + 1, 0).sum())
    expected = present + missing
    return missing / expected if expected else 1.0
