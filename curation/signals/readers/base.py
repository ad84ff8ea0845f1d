"""What readers are asked for, and signals from named columns of numbers."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.signals.signal import ONLY, Kind, Signal, SignalError, Stamps

_UNITS = re.compile(r"^(?P<name>.*\S)\s*[\[(](?P<units>[^\])]*)[\])]$")
_AXIS = re.compile(r"^(?P<group>.+)_(?P<axis>q?[xyzw])$")
_COMMANDS = ("action", "actions", "command", "commands", "cmd", "control")
_ROTATIONS = ("rotation", "orientation", "quaternion", "quat")


@dataclass(frozen=True)
class ReadRequest:
    """One video, and where its signals are."""

    path: str
    """The file, or the folder of the data set."""
    video: str
    """The video's path, in a data set relative to its folder."""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """Declared kinds by signal, or by a pattern such as `action*`."""
    offset_s: float = 0.0
    """Declared offset of the pictures."""
    drift_ppm: float = 0.0
    """Declared drift of the recording's clock."""
    camera: str = ""
    """The camera, where a list names it."""


def numeric(values: Any, name: str) -> npt.NDArray[Any]:
    """Numbers as [n, k] of a type that is kept, or `SignalError`."""
    array = np.asarray(values)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim > 2:
        array = array.reshape(len(array), -1)
    if array.dtype.kind not in "fiub":
        raise SignalError(f"{name}: it holds no numbers, but {array.dtype}")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.dtype == np.uint64:
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise SignalError(f"{name}: it has whole numbers beyond 63 bits")
        array = array.astype(np.int64)
    return array


def make_signal(
    name: str,
    stamps: Stamps,
    values: npt.NDArray[Any],
    channels: Sequence[str],
    request: ReadRequest,
    *,
    units: str = "",
    frame: str = "",
    received: Stamps | None = None,
    whole: bool = False,
) -> Signal:
    """A signal of the declared kind, or of the one that its name and type suggest.

    `whole` says that its numbers are whole, though NaN stands among them.
    """
    suggested = "hold" if whole else default_kind(name, values.dtype, channels)
    kind = declared_kind(name, request) or suggested
    return Signal(name, kind, stamps, values, unique(channels), units, frame, received)


def declared_kind(name: str, request: ReadRequest) -> Kind | None:
    """The kind that was declared for a signal; of several patterns the longest counts."""
    matches = [pattern for pattern in request.kinds if fnmatch.fnmatchcase(name, pattern)]
    return request.kinds[max(matches, key=len)] if matches else None


def default_kind(name: str, dtype: np.dtype[Any], channels: Sequence[str]) -> Kind:
    """Commands and whole numbers are held, quaternions are rotations, the rest is interpolated."""
    axes = [re.sub(r"^.*?q?([xyzw])$", r"\1", channel.lower()) for channel in channels]
    words = re.split(r"[._/\s]", name.lower())
    if len(axes) % 4 == 0 and dtype.kind == "f":
        quarters = [sorted(axes[at : at + 4]) for at in range(0, len(axes), 4)]
        if all(quarter == ["w", "x", "y", "z"] for quarter in quarters):
            return "rotation"
        if len(axes) == 4 and any(word in _ROTATIONS for part in words for word in part.split("-")):
            return "rotation"
    if any(word in _COMMANDS for word in words) or dtype.kind in "iub":
        return "hold"
    return "linear"


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names, those that occur again with their place."""
    return tuple(
        f"{name}{index}" if name in names[:index] else name for index, name in enumerate(names)
    )


@dataclass(frozen=True)
class ColumnGroup:
    """Columns that are one signal."""

    columns: tuple[str, ...]
    channels: tuple[str, ...]
    units: str


def group_columns(names: Iterable[str]) -> dict[str, ColumnGroup]:
    """Signals by name: `imu.gyro.x` is channel x of imu.gyro, `speed [m/s]` has a unit."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for column in names:
        match = _UNITS.match(column)
        name, units = (match["name"], match["units"]) if match else (column, "")
        group, dot, channel = name.rpartition(".")
        if not dot and (axis := _AXIS.match(name)):
            group, channel = axis["group"], axis["axis"]
        if not group:
            group, channel = name, ONLY
        groups.setdefault(group, []).append((column, channel, units))
    return {
        name: ColumnGroup(
            tuple(column for column, _, _ in parts),
            tuple(channel for _, channel, _ in parts),
            ", ".join(dict.fromkeys(units for _, _, units in parts if units)),
        )
        for name, parts in groups.items()
    }
