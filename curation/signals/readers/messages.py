"""Topics of messages as signals: the numbers of each message, by their place in it.

`/imu` with an `orientation` of x, y, z, w gives `imu.orientation`, a rotation. A list whose length
varies is a set: a channel of 0 and 1 for each of its members. The source's stamp is the message's
own where it has one, else when it was published; when it was logged is kept beside it. Pictures are
not decoded here: their stamps say when the frames of the video beside the recording were.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from curation.signals.clock import NS, Clock
from curation.signals.readers.base import ReadRequest, make_signal
from curation.signals.recording import Episode, Recording
from curation.signals.signal import ONLY, Signal, SignalError

_MAX_NUMBERS = 256
"""Of one list; longer ones are pictures, clouds and maps."""
_STAMPS = ("timestamp_ns", "utc_ns", "stamp_ns", "timestamp")
_HEADER = "header"
_STAMP_PARTS = (("sec", "secs"), ("nanosec", "nsec", "nsecs"))
_PICTURES = ("Image", "CompressedImage", "CompressedVideo")
_EPOCH_2001 = 1_000_000_000 * NS
Message = tuple[int, int, Mapping[str, Any]]
"""When it was published and logged, in nanoseconds, and its fields."""


class Topics:
    """Collects messages; then gives the recording."""

    def __init__(self, request: ReadRequest) -> None:
        self._request = request
        self._messages: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
        self._pictures: dict[str, list[int]] = {}
        self._anchors: list[tuple[int, int]] = []
        self._frame_ids: dict[str, str] = {}
        self._unread: Counter[str] = Counter()

    def skip(self, topic: str, why: str) -> None:
        """Counts a message that is not read."""
        self._unread[f"topic {topic} is left out: {why}"] += 1

    def add(self, topic: str, kind: str, published: int, logged: int, fields: Any) -> None:
        """Takes the next message; `kind` is its type's name."""
        content = _plain(fields)
        stamp = _own_stamp(content, published)
        if kind.rpartition("/")[2] in _PICTURES or kind.rpartition(".")[2] in _PICTURES:
            self._pictures.setdefault(topic, []).append(stamp)
            return
        reference = content.get("media_ref")
        if isinstance(reference, dict):
            shows = PurePath(str(reference.get("uri", ""))).name
            if shows == PurePath(self._request.video).name and reference.get("pts_ns") is not None:
                self._anchors.append((int(reference["pts_ns"]), stamp))
            return
        header = content.pop(_HEADER, None)
        if isinstance(header, dict) and header.get("frame_id"):
            self._frame_ids[topic] = str(header["frame_id"])
        self._messages.setdefault(topic, []).append((stamp, logged, content))

    def recording(self) -> Recording:
        """All topics with numbers as one episode; raises `SignalError`."""
        signals = [s for topic, rows in self._messages.items() for s in self._signals(topic, rows)]
        if not signals:
            raise SignalError("no topic holds numbers that can be read")
        notes = tuple(self._unread)
        return Recording((Episode(tuple(signals), self._clock(signals)),), notes)

    def _clock(self, signals: Sequence[Signal]) -> Clock:
        request = self._request
        declared: dict[str, Any] = {
            "offset_s": request.offset_s, "drift_ppm": request.drift_ppm,
        }  # fmt: skip
        if self._anchors:
            anchors = np.array(sorted(set(self._anchors)), np.int64)
            return Clock(**declared, anchors=anchors)
        topics = [t for t in self._pictures if not request.camera or request.camera in t]
        if len(topics) == 1:
            stamps = np.array(sorted(self._pictures[topics[0]]), np.int64)
            return Clock(**declared, frame_stamps=stamps)
        if len(topics) > 1:
            raise SignalError(
                f"several topics show pictures ({', '.join(sorted(topics))}): name the video's in"
                " the list's column camera"
            )
        start = min(int(signal.stamps[0]) for signal in signals)
        return Clock(start, **declared)

    def _signals(self, topic: str, rows: Sequence[Message]) -> Iterator[Signal]:
        rows = sorted(rows, key=lambda row: row[0])
        by_parent: dict[str, dict[str, list[Any]]] = {}
        for index, (_, _, content) in enumerate(rows):
            for path, value in _leaves(content):
                parent, _, leaf = path.rpartition(".")
                column = by_parent.setdefault(parent, {}).setdefault(leaf, [None] * index)
                column += [None] * (index - len(column))
                column.append(value)
        name = topic.strip("/").replace("/", ".")
        for parent, columns in by_parent.items():
            labels = [row[2].get("name") for row in rows[:1]]
            yield from self._group(
                topic, ".".join(filter(None, (name, parent))), columns, rows, labels[0]
            )

    def _group(
        self, topic: str, name: str, columns: Mapping[str, list[Any]], rows: Sequence[Message],
        labels: Any,
    ) -> Iterator[Signal]:  # fmt: skip
        stamps = np.array([row[0] for row in rows], np.int64)
        logged = np.array([row[1] for row in rows], np.int64)
        frame = self._frame_ids.get(topic, "")

        def made(
            signal: str, values: Any, channels: Sequence[str], at: Any = slice(None),
            *, whole: bool = False,
        ) -> Signal:  # fmt: skip
            return make_signal(
                signal, stamps[at], values, channels, self._request, frame=frame,
                received=logged[at], whole=whole,
            )  # fmt: skip

        scalars: dict[str, list[Any]] = {}
        for leaf, found in columns.items():
            column = found + [None] * (len(rows) - len(found))
            present = [value for value in column if value is not None]
            if not any(isinstance(value, tuple) for value in present):
                scalars[leaf] = column
                continue
            lengths = {len(value) for value in present if isinstance(value, tuple)}
            at = np.array([isinstance(value, tuple) for value in column])
            lists = [value for value in column if isinstance(value, tuple)]
            channels = [str(index) for index in range(max(lengths))]
            if len(lengths) == 1 and channels:
                if isinstance(labels, list) and len(labels) == len(channels):
                    channels = [str(label) for label in labels]
                yield made(f"{name}.{leaf}", np.array(lists), channels, at)
            elif members := sorted({number for numbers in lists for number in numbers}):
                flags = np.array([[m in row for m in members] for row in lists], np.int8)
                yield made(f"{name}.{leaf}", flags, [f"{m:g}" for m in members], at)
        if scalars:
            numbers = [v for column in scalars.values() for v in column]
            is_whole = all(v is None or isinstance(v, int) for v in numbers)
            values = np.array(
                [[np.nan if v is None else v for v in column] for column in scalars.values()],
                np.int64 if is_whole and None not in numbers else np.float64,
            ).T
            channels = [leaf or ONLY for leaf in scalars]
            yield made(name, np.ascontiguousarray(values), channels, whole=is_whole)


def _own_stamp(content: Mapping[str, Any], published: int) -> int:
    header = content.get(_HEADER)
    stamp = header.get("stamp") if isinstance(header, dict) else None
    if isinstance(stamp, dict):
        parts = [[stamp.get(n) for n in names if n in stamp] for names in _STAMP_PARTS]
        seconds, nanoseconds = (int(found[0] or 0) if found else 0 for found in parts)
        return seconds * NS + nanoseconds or published
    for name in _STAMPS:
        value = content.get(name)
        if isinstance(value, int) and value >= _EPOCH_2001:
            return value
    return published


def _plain(value: Any) -> Any:
    """A message as dictionaries, lists and numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value) if not f.name.startswith("__")]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= _MAX_NUMBERS else None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value] if len(value) <= _MAX_NUMBERS else None
    return value


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers of a message, and its lists of numbers as tuples, by their path."""
    for key, value in content.items():
        path = f"{prefix}{key}"
        if isinstance(value, bool):
            yield path, int(value)
        elif isinstance(value, int | float):
            if key not in _STAMPS:
                yield path, value
        elif isinstance(value, dict):
            yield from _leaves(value, f"{path}.")
        elif isinstance(value, list) and all(isinstance(part, int | float) for part in value):
            yield path, tuple(value)
