"""What a recording says of one video: its episodes, each with signals and a clock.

    header     one line of JSON: the episodes and the shape and type of every array
    arrays     their bytes, little-endian, one after the other

is how a confined reader hands it to its parent: nothing in it is executed.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from curation.signals.clock import Clock
from curation.signals.signal import Signal, SignalError

_ARRAYS_OF_SIGNAL = ("stamps", "values", "received")
_ARRAYS_OF_CLOCK = ("frame_stamps", "anchors")
_DTYPES = {"<i8", "<f4", "<f8", "<i4", "<i2", "|i1", "|u1", "<u2", "<u4", "|b1"}


@dataclass(frozen=True, eq=False)
class Episode:
    """Some frames of a video, and the signals that were recorded with them."""

    signals: tuple[Signal, ...]
    """Each name once."""
    clock: Clock
    """When the frames were shown, on the clock of the signals."""
    session: str = ""
    """What further cameras of the same moment share; empty without any."""
    camera: str = ""
    """Which of the session's cameras this is."""
    name: str = ""
    """Its name in the recording, such as its number in a data set."""
    task: str = ""
    """What was to be done, in words."""
    start_s: float | None = None
    """Where it starts in the video, in seconds of the container; None where it is all of it."""
    frames: int | None = None
    """How many frames it has; None for all that follow."""

    def __post_init__(self) -> None:
        names = [signal.name for signal in self.signals]
        for name in names:
            if names.count(name) > 1:
                raise SignalError(f"two signals are called {name!r}: rename one")


@dataclass(frozen=True, eq=False)
class Recording:
    """All episodes of one video, in order of their frames."""

    episodes: tuple[Episode, ...]
    notes: tuple[str, ...] = ()
    """What was not read, and why."""
    sets_shots: bool = field(default=False)
    """Whether each episode is a shot, so that every camera of a session is cut alike."""


def to_bytes(recording: Recording) -> bytes:
    """The header and the arrays."""
    arrays: list[np.ndarray] = []

    def described(values: Any) -> dict[str, Any] | None:
        if values is None:
            return None
        array = np.ascontiguousarray(values)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        arrays.append(array)
        return {"dtype": array.dtype.str, "shape": array.shape}

    def plain(record: Any, array_names: Collection[str]) -> dict[str, Any]:
        row = {f.name: getattr(record, f.name) for f in fields(record)}
        return {n: described(v) if n in array_names else v for n, v in row.items()}

    episodes = []
    for episode in recording.episodes:
        row = {f.name: getattr(episode, f.name) for f in fields(Episode)}
        row["signals"] = [plain(signal, _ARRAYS_OF_SIGNAL) for signal in episode.signals]
        row["clock"] = plain(episode.clock, _ARRAYS_OF_CLOCK)
        episodes.append(row)
    header = {
        "episodes": episodes, "notes": recording.notes, "sets_shots": recording.sets_shots,
    }  # fmt: skip
    return b"".join([json.dumps(header).encode() + b"\n", *(a.tobytes() for a in arrays)])


def from_bytes(data: bytes | bytearray) -> Recording:
    """The inverse; raises `SignalError` for bytes that are none."""
    head, _, body = bytes(data).partition(b"\n")
    offset = 0

    def array(form: dict[str, Any] | None) -> Any:
        nonlocal offset
        if form is None:
            return None
        if form["dtype"] not in _DTYPES:
            raise SignalError(f"an array has the type {form['dtype']!r}")
        dtype, count = np.dtype(form["dtype"]), int(np.prod(form["shape"], dtype=np.int64))
        values = np.frombuffer(body, dtype, count, offset).reshape(form["shape"])
        offset += values.nbytes
        return values

    def filled(row: dict[str, Any], array_names: Collection[str]) -> dict[str, Any]:
        return {name: array(v) if name in array_names else v for name, v in row.items()}

    def signal(row: dict[str, Any]) -> Signal:
        channels = tuple(row["channels"])
        return Signal(**filled(row, _ARRAYS_OF_SIGNAL) | {"channels": channels})

    try:
        header = json.loads(head)
        episodes = []
        for row in header["episodes"]:
            signals = tuple(signal(one) for one in row["signals"])
            clock = Clock(**filled(row["clock"], _ARRAYS_OF_CLOCK))
            episodes.append(Episode(**{**row, "signals": signals, "clock": clock}))
        return Recording(tuple(episodes), tuple(header["notes"]), bool(header["sets_shots"]))
    except SignalError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise SignalError(f"the reader of signals gave no recording: {error}") from error
