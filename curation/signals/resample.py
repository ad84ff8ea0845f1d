"""A signal at the times of frames, by its kind; and of those at latent frames.

Nothing is invented: before the first sample, after the last, in a gap and beside a NaN the result
is invalid; only values that are held at irregular stamps hold on until the next. A sample that lies
on a frame's time is taken as it is, bit for bit. For sums a frame lasts from its time to the next
one's, half-open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.signals.signal import ONLY, Signal, Stamps, gap_ns, period_ns

Bools = npt.NDArray[np.bool_]
NO_TIME = np.iinfo(np.int64).min
"""The time of a frame that has none on a recording's clock."""
_MAX_TOLERANCE_NS = 1_000_000
_SNAP_NS = 1_000
"""How far an interpolated or irregular sample may lie beside a frame and count as on it."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """A signal at some times."""

    values: npt.NDArray[Any]
    """[m, k]; what is not valid has no meaning."""
    valid: Bools
    """[m, k]."""


def resample(signal: Signal, times: Stamps, period: int | None = None) -> Sampled:
    """The signal at m frames, of which `times` [m + 1] are the starts and the last one's end.

    `period` is that of the whole signal, of which this may be a part; by default that of its own
    stamps. Rotations stay quaternions, x, y, z, w.
    """
    period = period if period is not None else period_ns(signal.stamps)
    starts, known = times[:-1], times[:-1] != NO_TIME
    if signal.kind in ("delta", "event"):
        sampled = _sum(signal, times, period)
    elif signal.kind in ("linear", "rotation"):
        sampled = _interpolate(signal, starts, period)
    else:
        sampled = _pick(signal, starts, period)
    return Sampled(sampled.values, sampled.valid & known[:, None])


def _tolerance(period: int | None) -> int:
    """How much late a stamp may be and count as at a frame: clocks are rounded in many ways."""
    return _SNAP_NS if period is None else min(_MAX_TOLERANCE_NS, period // 10)


def _covered_until(signal: Signal, period: int | None) -> npt.NDArray[np.float64]:
    """Until when each sample says something: the next one, or a period where that is missing."""
    stamps = signal.stamps.astype(np.float64)
    after = np.inf if period is None else stamps[-1] + period
    following = np.append(stamps[1:], after)
    if period is None:
        return following
    is_gap = np.append(np.diff(stamps) > gap_ns(period), False)
    return np.where(is_gap, stamps + period, following)


def _pick(signal: Signal, times: Stamps, period: int | None) -> Sampled:
    stamps, tolerance = signal.stamps, _tolerance(period)
    newest = np.searchsorted(stamps, times + tolerance, "right") - 1
    if signal.kind == "nearest":
        before = np.clip(newest, 0, len(stamps) - 1)
        after = np.minimum(before + 1, len(stamps) - 1)
        is_nearer = np.abs(stamps[after] - times) < np.abs(stamps[before] - times)
        index = np.where(is_nearer, after, before)
        reach = tolerance + (np.inf if period is None else period / 2)
        inside = (times >= stamps[0] - tolerance) & (times <= stamps[-1] + tolerance)
        valid = (np.abs(stamps[index] - times) <= reach) & (inside | (period is not None))
    else:
        index = np.maximum(newest, 0)
        valid = (newest >= 0) & (times < _covered_until(signal, period)[index] - tolerance)
        valid |= (newest >= 0) & (np.abs(stamps[index] - times) <= tolerance)
    values = signal.values[index]
    return Sampled(values, valid[:, None] & _is_number(values))


def _interpolate(signal: Signal, times: Stamps, period: int | None) -> Sampled:
    stamps, values = signal.stamps, signal.values
    last = len(stamps) - 1
    left = np.clip(np.searchsorted(stamps, times, "right") - 1, 0, last)
    right = np.minimum(left + 1, last)
    step = (stamps[right] - stamps[left]).astype(np.float64)
    share = np.where(step > 0, (times - stamps[left]) / np.maximum(step, 1.0), 0.0)
    between = (times >= stamps[0]) & (times <= stamps[-1]) & (step <= gap_ns(period))
    if signal.kind == "rotation":
        values = unit_quaternions(signal)
        mixed = _slerp(values[left], values[right], share)
    else:
        first, second = (values[i].astype(np.float64) for i in (left, right))
        mixed = first + (second - first) * share[:, None]
    valid = between[:, None] & _is_number(mixed)
    result = mixed.astype(values.dtype if values.dtype.kind == "f" else np.float64)
    for index in (left, right):
        is_on = np.abs(stamps[index] - times) <= _SNAP_NS
        result[is_on] = values[index[is_on]]
        valid[is_on] = _is_number(values[index[is_on]])
    return Sampled(result, valid)


def _sum(signal: Signal, times: Stamps, period: int | None) -> Sampled:
    tolerance = _tolerance(period)
    edges = np.searchsorted(signal.stamps, times - tolerance, "left")
    kind = signal.values.dtype
    padded = np.append(signal.values, np.zeros((1, signal.values.shape[1]), kind), axis=0)
    starts, ends = edges[:-1], np.maximum(edges[1:], edges[:-1])
    # Each pair of edges is a sum and the rest up to the next pair, which is left out.
    pairs = np.stack([starts, ends], axis=1).ravel()
    sums = np.add.reduceat(padded, np.minimum(pairs, len(padded) - 1), axis=0)[::2]
    sums = sums.astype(kind if kind.kind == "f" else np.int64)
    sums[ends == starts] = 0
    valid = _is_number(sums) & (times[1:] != NO_TIME)[:, None]
    if signal.kind == "delta":
        valid &= _is_covered(signal, times, period, tolerance)[:, None]
    return Sampled(sums, valid)


def _is_covered(signal: Signal, times: Stamps, period: int | None, tolerance: int) -> Bools:
    """Which frames lie in no gap of the signal."""
    stamps = signal.stamps.astype(np.float64)
    ends = _covered_until(signal, period)
    ends[-1] = ends[-1] if period is not None else stamps[-1]
    following = np.append(stamps[1:], np.inf)
    is_gap = ends < following
    gap_starts = np.append(-np.inf, ends[is_gap])
    gap_ends = np.append(stamps[0], following[is_gap])
    index = np.searchsorted(gap_starts, times[1:] - tolerance, "left") - 1
    return np.asarray(gap_ends[np.maximum(index, 0)] <= times[:-1] + tolerance)


def unit_quaternions(signal: Signal) -> npt.NDArray[np.float64]:
    """Unit quaternions x, y, z, w; NaN for one of no length."""
    values = signal.values.astype(np.float64).reshape(len(signal.values), -1, 4)
    if signal.is_scalar_first:
        values = np.roll(values, -1, axis=2)
    lengths = np.linalg.norm(values, axis=2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = np.where(lengths > 0, values / lengths, np.nan)
    return np.asarray(unit.reshape(len(values), -1))


def _slerp(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], share: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Rotations [m, 4 k] between others, by the shorter way; `share` [m] is 0 at the first."""
    a, b = (values.reshape(len(share), -1, 4) for values in (first, second))
    cosine = (a * b).sum(axis=2, keepdims=True)
    b, cosine = np.where(cosine < 0, -b, b), np.minimum(np.abs(cosine), 1.0)
    angle, part = np.arccos(cosine), share[:, None, None]
    sine = np.sin(angle)
    is_small = sine < 1e-6
    safe = np.where(is_small, 1.0, sine)
    weights = [
        np.where(is_small, linear, np.sin(linear * angle) / safe) for linear in (1 - part, part)
    ]
    mixed = weights[0] * a + weights[1] * b
    return np.asarray((mixed / np.linalg.norm(mixed, axis=2, keepdims=True)).reshape(first.shape))


def _is_number(values: npt.NDArray[Any]) -> Bools:
    return np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)


def rotation_6d(quaternions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Two columns of the rotation matrices of quaternions x, y, z, w: [m, 4 k] → [m, 6 k].

    Continuous, unlike quaternions and angles (Zhou et al., 2019).
    """
    x, y, z, w = np.moveaxis(quaternions.reshape(len(quaternions), -1, 4), 2, 0)
    columns = (
        1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w),
        2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w),
    )  # fmt: skip
    return np.stack(columns, axis=2).reshape(len(quaternions), -1)


def pool(signal: Signal, sampled: Sampled, groups: Stamps) -> Sampled:
    """Values of frames pooled to latent frames: `groups` [g + 1] are the first frame of each.

    `linear` is the mean of the valid frames, `delta` and `event` the sum, valid if all frames are;
    the others are those of the last frame. Rotations become 6-D. Values are float64.
    """
    values, valid = sampled.values.astype(np.float64), sampled.valid
    if signal.kind == "rotation":
        values = rotation_6d(values)
        of_each = valid.reshape(len(valid), -1, 4).all(axis=2)
        valid = np.repeat(of_each, 6, axis=1)
    if signal.kind in ("linear", "delta", "event"):
        starts = groups[:-1]
        total = np.add.reduceat(np.where(valid, values, 0.0), starts, axis=0)
        count = np.add.reduceat(valid.astype(np.int64), starts, axis=0)
        if signal.kind == "linear":
            return Sampled(total / np.maximum(count, 1), count > 0)
        return Sampled(total, count == np.diff(groups)[:, None])
    last = groups[1:] - 1
    return Sampled(values[last], valid[last])


def pooled_channels(signal: Signal) -> list[str]:
    """The names of the columns of `pool`, each with the signal's."""
    if signal.kind == "rotation":
        count = len(signal.channels) // 4
        bodies = [""] if count == 1 else [f"{body}." for body in range(count)]
        return [f"{signal.name}.{body}r{axis}" for body in bodies for axis in range(6)]
    if signal.channels == (ONLY,):
        return [signal.name]
    return [f"{signal.name}.{channel}" for channel in signal.channels]
