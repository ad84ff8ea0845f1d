"""Byte-level edits of a written file, for what no muxer would write."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

Change = Callable[[Path], None]
TS = 188


def truncate_at(share: float) -> Change:
    """Keeps this share of the bytes."""

    def change(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return change


def followed_by(more: bytes) -> Change:
    """Appends bytes."""

    def change(path: Path) -> None:
        with path.open("ab") as file:
            file.write(more)

    return change


GARBAGE = bytes((i * i * 31 + i * 7 + 13) % 251 for i in range(5000))
ZEROS = bytes(20_000)


def without_box(name: bytes) -> Change:
    """An mp4 without its last outermost box, which has to be of this name."""

    def change(path: Path) -> None:
        data = path.read_bytes()
        *_, last = boxes(data, 0, len(data))
        assert last[0] == name, last
        path.write_bytes(data[: last[1]])

    return change


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each box of an mp4 between two places."""
    while start + 8 <= end:
        length, name = struct.unpack_from(">I4s", data, start)
        if length == 1:
            length = struct.unpack_from(">Q", data, start + 8)[0]
        if length < 8:
            return
        yield name, start, start + length
        start += length


def sample_of_length_0(sample: int) -> Change:
    """In the first `stts` table of an mp4, this sample lasts nothing and the next twice as long.

    Both have to lie in entries of their own.
    """

    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        place = data.index(b"stts") + 4
        (entries,) = struct.unpack_from(">I", data, place + 4)
        rows = [struct.unpack_from(">II", data, place + 8 + 8 * i) for i in range(entries)]
        samples = 0
        for i, (count, delta) in enumerate(rows):
            if samples >= sample and count == 1 and rows[i + 1][0] == 1:
                following = rows[i + 1][1] + delta
                struct.pack_into(">II", data, place + 8 + 8 * i, 1, 0)
                struct.pack_into(">II", data, place + 16 + 8 * i, 1, following)
                path.write_bytes(data)
                return
            samples += count
        raise ValueError("no two entries of one sample each")

    return change


def without_index(path: Path) -> None:
    """An AVI whose `idx1` is missing, with the length of the whole put right."""
    data = bytearray(path.read_bytes())
    place = data.rindex(b"idx1")
    del data[place:]
    struct.pack_into("<I", data, 4, len(data) - 8)
    path.write_bytes(data)


def pes_starts(data: bytes, pid: int) -> list[int]:
    """Where each PES header of the stream begins in a transport stream."""
    starts = []
    for place in range(0, len(data) - TS + 1, TS):
        packet = data[place : place + TS]
        if not packet[1] & 0x40 or (packet[1] & 0x1F) << 8 | packet[2] != pid:
            continue
        payload = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
        starts.append(place + payload)
    return starts


def _stamp(data: bytes, place: int) -> int:
    a, b, c, d, e = data[place : place + 5]
    return (a >> 1 & 7) << 30 | b << 22 | c >> 1 << 15 | d << 7 | e >> 1


def _put_stamp(data: bytearray, place: int, value: int) -> None:
    lead = data[place] & 0xF0
    data[place : place + 5] = bytes((
        lead | (value >> 30 & 7) << 1 | 1, value >> 22 & 255, (value >> 15 & 127) << 1 | 1,
        value >> 7 & 255, (value & 127) << 1 | 1,
    ))  # fmt: skip


def ts_times(change_of: Callable[[list[int]], list[int]], pid: int = 0x100) -> Change:
    """Rewrites the presentation times of the packets of a stream without B-frames."""

    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        places = [start + 9 for start in pes_starts(data, pid) if data[start + 7] & 0x80]
        for place, value in zip(places, change_of([_stamp(data, p) for p in places]), strict=True):
            _put_stamp(data, place, value)
        path.write_bytes(data)

    return change


def equal_pair(at: int) -> Callable[[list[int]], list[int]]:
    """The time of frame `at` is that of the one before."""
    return lambda times: [*times[:at], times[at - 1], *times[at + 1 :]]


def fallen(at: int) -> Callable[[list[int]], list[int]]:
    """The time of frame `at` lies before that of the one before."""
    return lambda times: [*times[:at], times[at - 2], *times[at + 1 :]]


def wild(at: int) -> Callable[[list[int]], list[int]]:
    """The time of frame `at` is an hour off."""
    return lambda times: [*times[:at], times[at] + 3600 * 90_000, *times[at + 1 :]]


def ts_without_start(packets: int) -> Change:
    """A transport stream that lacks some packets between its tables and the rest."""

    def change(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: 3 * TS] + data[(3 + packets) * TS :])

    return change


def lost_packets(share: float, count: int) -> Change:
    """A transport stream that lacks `count` packets from a share of its length on."""

    def change(path: Path) -> None:
        data = path.read_bytes()
        place = int(len(data) * share) // TS * TS
        path.write_bytes(data[:place] + data[place + count * TS :])

    return change


def cut_in_packet(path: Path) -> None:
    """Half of the last packet of a transport stream is missing."""
    data = path.read_bytes()
    path.write_bytes(data[: -TS // 2])


def starts_in_packet(path: Path) -> None:
    """The start of a transport stream lies in the middle of a packet."""
    path.write_bytes(path.read_bytes()[100:])


def mkv_times(change_of: Callable[[list[int]], list[int]]) -> Change:
    """Rewrites the times of the blocks of a Matroska file with one track, in milliseconds."""

    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        blocks = list(_blocks(data))
        for (place, base, _), value in zip(
            blocks, change_of([base + time for _, base, time in blocks]), strict=True
        ):
            struct.pack_into(">h", data, place, value - base)
        path.write_bytes(data)

    return change


def _number(data: bytes, place: int, keep: bool) -> tuple[int, int]:
    """An EBML number and where it ends; `keep` leaves its length mark in, as ids have it."""
    first = data[place]
    length = 8 - first.bit_length() + 1
    value = int.from_bytes(data[place : place + length], "big")
    if not keep:
        value &= (1 << 7 * length) - 1
    return value, place + length


def _blocks(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Place of the time, time of the cluster and time in it of each block."""
    stack = [(0, len(data))]
    base = 0
    while stack:
        place, end = stack.pop()
        while place < end:
            name, place = _number(data, place, True)
            size, place = _number(data, place, False)
            if name in (0x18538067, 0x1F43B675, 0xA0):  # Segment, Cluster, BlockGroup
                stack.append((place + size, end))
                end = min(place + size, end)
                continue
            if name == 0xE7:
                base = int.from_bytes(data[place : place + size], "big")
            if name in (0xA3, 0xA1):
                at = _number(data, place, False)[1]
                yield at, base, struct.unpack_from(">h", data, at)[0]
            place += size
