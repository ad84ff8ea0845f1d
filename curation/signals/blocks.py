"""The signals of clips as they are stored: the recorder's own samples, and where frames lie.

`signals/samples` has a row for each clip, signal and block of samples, as they were recorded: own
stamps, own type. `signals/recordings` has a row for each clip, with the time of each of its frames
on the clock of those stamps. So nothing is resampled before somebody asks for certain frames: those
of a render, at whatever rate.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.id_match import one_chunk
from curation.records import ClipRow
from curation.signals.resample import NO_TIME, Sampled, resample
from curation.signals.signal import Signal, Stamps, period_ns

SAMPLES, RECORDINGS = "signals/samples", "signals/recordings"
_BLOCK = 65_536
_BEFORE, _AFTER = 1, 2
"""Samples beside a clip that interpolation, and the end of a gap, need."""


@dataclass(frozen=True, slots=True)
class SignalBlock(ClipRow):
    """Samples of one signal around one clip, as they were recorded."""

    signal: str
    """Its name, such as `action`."""
    block: int
    """Place among the signal's blocks of this clip, from 0; each has up to 65,536 samples."""
    kind: str
    """How it is read between samples: `hold`, `nearest`, `linear`, `rotation`, `delta`, `event`."""
    units: str
    """Its unit; empty where none is stated."""
    frame: str
    """Its frame of reference; empty where none is stated."""
    channels: str
    """JSON list: a name for each number of a sample."""
    samples: int
    """How many there are."""
    period_ns: int | None
    """Nanoseconds from one sample to the next; null where they are not regular."""
    dtype: str
    """Type of the numbers, as numpy writes it: `<f4`."""
    stamps: bytes
    """When each was, nanoseconds of the recording's clock, little-endian int64."""
    values: bytes
    """The numbers, C order [samples, channels]; NaN for none."""
    received: bytes | None = None
    """When each was received or logged, as `stamps`; null where that was not recorded."""


@dataclass(frozen=True, slots=True)
class ClipRecording(ClipRow):
    """What was recorded with one clip; only clips of recordings and of sessions have a row."""

    session: str | None = None
    """Names the moment that several cameras share; null for a source alone."""
    camera: str | None = None
    """Which of its cameras this is."""
    episode: str | None = None
    """The episode in its data set."""
    task: str | None = None
    """What was to be done, in words."""
    frame_ns: bytes | None = None
    """When each frame started, and the last one ended, nanoseconds of the recording's clock,
    little-endian int64; the least number for a frame without a time. Null without a clock."""
    signals: str = "[]"
    """JSON list of the names of its signals."""
    place: str | None = None
    """The file of signals, with its size and time when it was read, and a digest of what was
    declared of it."""
    problem: str | None = None
    """Why the signals could not be used."""


SIGNAL_TABLES: dict[str, type] = {SAMPLES: SignalBlock, RECORDINGS: ClipRecording}
"""The tables of signals, and their records."""


@dataclass(frozen=True, eq=False)
class ClipSignals:
    """The signals of one clip, and when its frames were."""

    frame_ns: Stamps
    """Of each frame, and the last one's end: int64 [frames + 1]."""
    signals: tuple[Signal, ...]
    """Only samples around the clip."""
    periods: tuple[int | None, ...]
    """Of each signal as a whole."""

    def at(self, signal: Signal, frames: npt.NDArray[np.int64], end: int) -> Sampled:
        """A signal at some frames of the clip, by number and in order, of which `end` is the next.

        A frame lasts until the next of these.
        """
        index = np.append(frames, max(end, int(frames[-1]) + 1) if len(frames) else end)
        last = len(self.frame_ns) - 1
        period = self.periods[self.signals.index(signal)]
        return resample(signal, self.frame_ns[np.clip(index, 0, last)], period)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the signals."""
        return tuple(signal.name for signal in self.signals)


def around(signal: Signal, frame_ns: Stamps) -> Signal | None:
    """The samples that frames at these times depend on; None if there are none."""
    known = frame_ns[frame_ns != NO_TIME]
    if not len(known):
        return None
    first = int(np.searchsorted(signal.stamps, known.min(), "left")) - _BEFORE
    end = int(np.searchsorted(signal.stamps, known.max(), "right")) + _AFTER
    part = slice(max(0, first), min(len(signal.stamps), end))
    if part.start >= part.stop:
        return None
    received = None if signal.received is None else signal.received[part]
    return Signal(
        signal.name, signal.kind, signal.stamps[part], signal.values[part], signal.channels,
        signal.units, signal.frame, received,
    )  # fmt: skip


def clip_signals(signals: Collection[Signal], frame_ns: Stamps) -> ClipSignals:
    """The signals of one clip, cut out of an episode's."""
    parts = [(part, period_ns(s.stamps)) for s in signals if (part := around(s, frame_ns))]
    return ClipSignals(frame_ns, tuple(s for s, _ in parts), tuple(p for _, p in parts))


def block_rows(clip_id: str, source_id: str, clip: ClipSignals) -> Iterator[SignalBlock]:
    """The rows of a clip in `signals/samples`."""
    for signal, period in zip(clip.signals, clip.periods, strict=True):
        values = signal.values.astype(signal.values.dtype.newbyteorder("<"), copy=False)
        for block, start in enumerate(range(0, len(signal.stamps), _BLOCK)):
            part = slice(start, start + _BLOCK)
            received = None if signal.received is None else signal.received[part]
            yield SignalBlock(
                clip_id, source_id, signal.name, block, signal.kind, signal.units, signal.frame,
                json.dumps(signal.channels), len(signal.stamps[part]), period, values.dtype.str,
                signal.stamps[part].astype("<i8").tobytes(),
                np.ascontiguousarray(values[part]).tobytes(),
                None if received is None else received.astype("<i8").tobytes(),
            )  # fmt: skip


def missing_signals(recordings: pa.Table, blocks: pa.Table) -> pa.Table:
    """`clip_id` and `signal` of what recordings name and the samples lack, wholly or in part.

    `recordings` has `clip_id` and `signals`, `blocks` has `clip_id`, `signal` and `block`.
    """
    found = blocks.group_by(["clip_id", "signal"]).aggregate([([], "count_all"), ("block", "max")])
    whole = found.filter(pc.field("count_all") > pc.field("block_max"))
    missing = [pa.table({name: pa.array([], pa.string()) for name in ("clip_id", "signal")})]
    for names in pc.unique(recordings["signals"]).to_pylist():
        named = recordings.filter(pc.field("signals") == names)["clip_id"]
        for signal in json.loads(names):
            stored = whole.filter(pc.field("signal") == signal)["clip_id"]
            ids = one_chunk(named.filter(pc.invert(pc.is_in(named, one_chunk(stored)))))
            missing.append(pa.table({"clip_id": ids, "signal": pa.repeat(signal, len(ids))}))
    return pa.concat_tables(missing)


def read_clip_signals(catalog: Catalog, clip_ids: Collection[str]) -> dict[str, ClipSignals]:
    """The signals of those clips that have any."""
    if not clip_ids or catalog.open(RECORDINGS) is None:
        return {}
    where = pc.field("clip_id").isin(sorted(clip_ids))
    rows = catalog.read(RECORDINGS, ClipRecording, ["clip_id", "frame_ns"], where).to_pylist()
    frame_ns = {row["clip_id"]: row["frame_ns"] for row in rows if row["frame_ns"] is not None}
    table = catalog.read(SAMPLES, SignalBlock, where=where)
    table = table.sort_by([(n, "ascending") for n in ("clip_id", "signal", "block")])
    blocks: dict[str, dict[str, list[SignalBlock]]] = {}
    for row in records.from_table(SignalBlock, table):
        blocks.setdefault(row.clip_id, {}).setdefault(row.signal, []).append(row)
    found = {}
    for clip_id, signals in blocks.items():
        if clip_id in frame_ns:
            parts = [joined(rows) for rows in signals.values()]
            times = np.frombuffer(frame_ns[clip_id], "<i8").astype(np.int64)
            periods = tuple(rows[0].period_ns for rows in signals.values())
            found[clip_id] = ClipSignals(times, tuple(parts), periods)
    return found


def joined(blocks: list[SignalBlock]) -> Signal:
    """The signal of its blocks in order."""
    first = blocks[0]
    channels = tuple(json.loads(first.channels))

    def column(name: str, dtype: str) -> npt.NDArray[Any]:
        return np.frombuffer(b"".join(getattr(block, name) for block in blocks), dtype)

    received = None if first.received is None else column("received", "<i8").astype(np.int64)
    return Signal(
        first.signal, first.kind, column("stamps", "<i8").astype(np.int64),  # type: ignore[arg-type]
        column("values", first.dtype).reshape(-1, len(channels)), channels, first.units,
        first.frame, received,
    )  # fmt: skip
