"""CSV and Parquet files beside a video: a column of times or frames, and columns of numbers.

| column | what |
|---|---|
| `timestamp_ns`, `time_us`, `stamp_ms`, `time_s`, `t` … | when: whole numbers or seconds |
| `frame`, `frame_index` | which frame: alone, or beside a time as the frame's own stamp |
| `received_ns` (`_us`, `_ms`, `_s`) | when it was received |
| `imu.gyro.x`, `pose_x`, `speed [m/s]` | a channel of a signal; a list column is a signal |

Times count from the video's first frame; those after 2001 in the calendar are Unix time, and then
the first stamp is the first frame's, unless the table has frames. Empty cells are gaps.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from curation.signals.clock import NS, Clock
from curation.signals.readers.base import ReadRequest, group_columns, make_signal, numeric
from curation.signals.recording import Episode, Recording
from curation.signals.resample import NO_TIME
from curation.signals.signal import ONLY, Signal, SignalError, Stamps

_TIME = re.compile(r"(timestamp|time|stamp|t)(_(ns|us|ms|s|sec|seconds))?")
_RECEIVED = re.compile(r"(received|receive_time|log_time)(_(ns|us|ms|s))?")
_FRAME = ("frame", "frame_index", "frame_number")
_SECONDS = {"ns": 1, "us": 1_000, "ms": 1_000_000}
_UNIX_NS = 1_000_000_000 * NS
_IGNORED = ("index", "episode_index", "task_index")


def read_table(request: ReadRequest) -> Recording:
    """The one episode of a video; raises `SignalError`."""
    table = _load(request.path)
    if not table.num_rows:
        raise SignalError("the table has no rows")
    names = table.column_names
    time = next((name for name in names if _TIME.fullmatch(name.lower())), None)
    frame = next((name for name in names if name.lower() in _FRAME), None)
    received = next((name for name in names if _RECEIVED.fullmatch(name.lower())), None)
    if time is None and frame is None:
        raise SignalError(
            "it needs a column of times, such as timestamp_ns or time_s, or of frames, called"
            f" frame; it has {', '.join(names)}"
        )
    frames = None if frame is None else _whole(table, frame)
    stamps = _times(table, time) if time is not None else frames
    assert stamps is not None
    logged = None if received is None else _times(table, received)
    special = {time, frame, received, *_IGNORED}
    columns = [name for name in names if name not in special]
    signals, notes = _signals(table.select(columns), stamps, logged, request)
    if not signals:
        raise SignalError(f"it has no column of numbers beside {time or frame}")
    clock = _clock(stamps, frames if time is not None else None, request, by_frame=time is None)
    return Recording((Episode(tuple(signals), clock),), tuple(notes))


def _load(path: str) -> pa.Table:
    try:
        if PurePath(path).suffix.lower() == ".parquet":
            return pq.read_table(path)
        options = pa_csv.ConvertOptions(strings_can_be_null=True)
        delimiter = "\t" if PurePath(path).suffix.lower() == ".tsv" else ","
        return pa_csv.read_csv(
            path, parse_options=pa_csv.ParseOptions(delimiter=delimiter), convert_options=options
        )
    except (pa.ArrowException, OSError) as error:
        raise SignalError(f"it cannot be read: {' '.join(str(error).split())[:200]}") from error


def _clock(stamps: Stamps, frames: Stamps | None, request: ReadRequest, *, by_frame: bool) -> Clock:
    clock: dict[str, Any] = {"offset_s": request.offset_s, "drift_ppm": request.drift_ppm}
    if by_frame:
        return Clock(**clock, counts_frames=True)
    if frames is not None:
        if frames.min() < 0 or frames.max() > 100_000_000:
            raise SignalError("its frames are not numbered from 0")
        frame_stamps = np.full(int(frames.max()) + 1, NO_TIME, np.int64)
        first = np.unique(frames, return_index=True)[1]
        frame_stamps[frames[first]] = stamps[first]
        return Clock(**clock, frame_stamps=frame_stamps)
    start = int(stamps[0]) if stamps[0] >= _UNIX_NS else 0
    return Clock(start, **clock)


def _signals(
    table: pa.Table, stamps: Stamps, received: Stamps | None, request: ReadRequest
) -> tuple[list[Signal], list[str]]:
    signals, notes = [], []
    numbers: dict[str, npt.NDArray[Any]] = {}
    whole = {field.name for field in table.schema if _is_whole(field.type)}
    for name in table.column_names:
        values = _numbers(table[name], name)
        if values is None:
            notes.append(f"column {name} holds no numbers")
        else:
            numbers[name] = values
    for name, group in group_columns(numbers).items():
        parts = [numbers[column] for column in group.columns]
        channels = [
            channel if part.shape[1] == 1 else f"{'' if channel == ONLY else channel + '.'}{index}"
            for part, channel in zip(parts, group.channels, strict=True)
            for index in range(part.shape[1])
        ]
        values = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        signals.append(
            make_signal(
                name, stamps, values, channels, request, units=group.units, received=received,
                whole=whole.issuperset(group.columns),
            )
        )  # fmt: skip
    return signals, notes


def _numbers(column: pa.ChunkedArray, name: str) -> npt.NDArray[Any] | None:
    """The column as [n, k], NaN for null; None if it is no column of numbers."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        _refuse_stray_text(column, name)
        return None
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            raise SignalError(
                f"{name}: its lists have several lengths: {sorted(map(str, lengths))}"
            )
        flat = pc.list_flatten(column).combine_chunks()
        return numeric(flat.to_numpy(zero_copy_only=False), name).reshape(-1, lengths[0])
    if pa.types.is_boolean(kind):
        column, kind = column.cast(pa.int8()), pa.int8()
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        return None
    if column.null_count and pa.types.is_integer(kind):
        column = column.cast(pa.float64())
    return numeric(column.to_numpy(), name)


def _is_whole(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return bool(pa.types.is_integer(kind.field(0).type))
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _refuse_stray_text(column: pa.ChunkedArray, name: str) -> None:
    """Raises `SignalError` for a column of numbers in which one cell is text."""
    texts = column.to_pylist()
    wrong = [row for row, text in enumerate(texts, 1) if text is not None and not _is_number(text)]
    if wrong and len(wrong) < column.length() / 2:
        raise SignalError(f"{name}: row {wrong[0]} is no number: {texts[wrong[0] - 1]!r:.40}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _whole(table: pa.Table, name: str) -> Stamps:
    values = _numbers(table[name], name)
    if values is None or np.isnan(values.astype(np.float64)).any() or (values % 1).any():
        raise SignalError(f"{name}: frames have to be whole numbers, one in each row")
    return np.asarray(values[:, 0], np.int64)


def _times(table: pa.Table, name: str) -> Stamps:
    column = table[name]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns")).cast(pa.int64())
        unit = "ns"
    else:
        unit = name.lower().rpartition("_")[2]
    _check_numbers(column, name)
    factor = _SECONDS.get(unit, NS)
    _check_range(column, name, np.iinfo(np.int64).max // factor)
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy().astype(np.int64) * factor, np.int64)
    values = column.to_numpy().astype(np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
        raise SignalError(f"{name}: row {row} has no time")
    whole = np.floor(values)
    rest = np.rint((values - whole) * factor)
    return np.asarray(whole.astype(np.int64) * factor + rest.astype(np.int64), np.int64)


def _check_range(column: pa.ChunkedArray, name: str, most: int) -> None:
    values = column.to_numpy()
    beyond = np.flatnonzero((values >= most) | (values <= -most))
    if beyond.size:
        row = int(beyond[0])
        raise SignalError(
            f"{name}: row {row + 1} is {values[row]}, which is no time in the unit that its name"
            " states, or in seconds: rename it, such as time_ns, time_us or time_ms"
        )


def _check_numbers(column: pa.ChunkedArray, name: str) -> None:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        texts = column.to_pylist()
        rows = [row for row, text in enumerate(texts, 1) if not _is_number(str(text))]
        at = f"row {rows[0]} is {texts[rows[0] - 1]!r:.40}" if rows else f"it is {column.type}"
        raise SignalError(f"{name}: times have to be numbers; {at}")
    if column.null_count:
        row = column.is_null().to_pylist().index(True) + 1
        raise SignalError(f"{name}: row {row} has no time")
