"""One signal: a named series of numbers with stamps, and how it is read between them.

| kind | between stamps | examples |
|---|---|---|
| `hold` | the newest value so far | commands, gripper, gear, joint targets |
| `nearest` | the nearest value | labels a frame |
| `linear` | interpolated | position, speed, joint angles |
| `rotation` | interpolated on the sphere (slerp; Shoemake, 1985) | quaternions |
| `delta` | summed from a frame to the next | displacement a step |
| `event` | summed likewise; none is 0 | key presses, clicks |

A signal whose stamps are regular has a period. Where a sample is missing, nothing is held or
interpolated across the gap: it is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from curation.errors import ReelmillError

Kind = Literal["nearest", "hold", "linear", "rotation", "delta", "event"]
KINDS: tuple[str, ...] = get_args(Kind)
Stamps = npt.NDArray[np.int64]

ONLY = "value"
"""The channel of a signal that has one number."""
_REGULAR_SHARE = 0.75
_JITTER = 0.25
_GAP_PERIODS = 1.5
_SCALARS_OF_ROTATION = 4


class SignalError(ReelmillError, ValueError):
    """Signals that cannot be used; the message says what is wrong and where."""


@dataclass(frozen=True, eq=False, slots=True)
class Signal:
    """One signal. Raises `SignalError` for shapes that differ and stamps that go back."""

    name: str
    """Unique within its recording, such as `action` or `observation.state`."""
    kind: Kind
    """How it is read between its stamps."""
    stamps: Stamps
    """When each value holds: int64 nanoseconds [n] of the recording's clock, never falling."""
    values: npt.NDArray[Any]
    """The values as recorded, [n, channels]; NaN where there is none."""
    channels: tuple[str, ...]
    """A name for each column of the values."""
    units: str = ""
    """Unit, such as `m/s` or `rad`; empty where none is stated."""
    frame: str = ""
    """Frame of reference, such as `base_link`; empty where none is stated."""
    received: Stamps | None = None
    """When each value was received or logged, by the receiver's clock; None where not recorded."""

    def __post_init__(self) -> None:
        count = len(self.stamps)
        if self.kind not in KINDS:
            raise SignalError(f"{self.name}: kind {self.kind!r} is none of {', '.join(KINDS)}")
        if not count:
            raise SignalError(f"{self.name}: it has no samples")
        if self.values.shape != (count, len(self.channels)):
            raise SignalError(
                f"{self.name}: values {list(self.values.shape)} do not fit {count} stamps and"
                f" {len(self.channels)} channels"
            )
        falls = np.flatnonzero(np.diff(self.stamps) < 0)
        if falls.size:
            raise SignalError(
                f"{self.name}: its stamps go back at sample {int(falls[0]) + 1}, from"
                f" {int(self.stamps[falls[0]])} to {int(self.stamps[falls[0] + 1])} ns: sort it,"
                " or give each clock a file of its own"
            )
        if self.kind == "rotation" and len(self.channels) % _SCALARS_OF_ROTATION:
            raise SignalError(
                f"{self.name}: a rotation has 4 channels, a quaternion, not {len(self.channels)}"
            )

    @property
    def is_scalar_first(self) -> bool:
        """Whether its quaternions are w, x, y, z; else they are x, y, z, w."""
        return self.channels[0].lower().endswith("w")


def period_ns(stamps: Stamps) -> int | None:
    """The median step of regular stamps; None where three quarters of the steps are not near it."""
    steps = np.diff(stamps)
    if len(steps) < 2:
        return None
    median = float(np.median(steps))
    if median <= 0 or (np.abs(steps - median) <= _JITTER * median).mean() < _REGULAR_SHARE:
        return None
    return round(median)


def gap_ns(period: int | None) -> float:
    """From which step on a sample is missing: one and a half periods; never without a period."""
    return np.inf if period is None else _GAP_PERIODS * period
