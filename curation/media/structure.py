"""Where a container breaks off inside: damage that demuxers step over without an error.

A transport stream is a sequence of packets of one length, each of which starts with a sync byte;
demuxers search for the next one where it is missing. A Matroska file is a tree of elements with ids
and lengths; demuxers ignore ids that they do not know, and what they take for one after damage. In
both cases frames are lost without a trace in the decoder's log. Only ids, lengths and sync bytes
are read here; cost: one look at each packet or block.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy as np

_SYNC = 0x47
_PACKET_BYTES = (188, 192, 204)
_PROBE_PACKETS = 5
"""Packets in a row that show where they start and how long they are."""
_CHUNK_PACKETS = 1 << 16
_FIELD_AND_PAYLOAD, _MAX_FIELD_BYTES = 0x30, 182
"""Flags of a packet with an adaptation field and a payload, and how long that field may be."""

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_EBML, _VOID, _CRC = 0x1A45DFA3, 0xEC, 0xBF
_SEGMENT_CHILDREN = frozenset((
    _CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1043A770, 0x1941A469, 0x1254C367,
    _VOID, _CRC,
))  # fmt: skip
"""Cluster, SeekHead, Info, Tracks, Cues, Chapters, Attachments, Tags."""
_OUTER = _SEGMENT_CHILDREN | {_EBML, _SEGMENT}
_CLUSTER_CHILDREN = frozenset((0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, _VOID, _CRC))
"""Timestamp, SilentTracks, Position, PrevSize, SimpleBlock, BlockGroup, EncryptedBlock."""
_MAX_ELEMENTS = 5_000_000
"""Elements that are looked at, those of a day of video; a hostile file may have more."""


def damaged_at(path: str, container: str) -> int | None:
    """The first byte at which the file does not continue as its container says; None if it does.

    `container` is the demuxer's name; for others than `mpegts` and `matroska,webm` this is None.
    """
    check = _CHECKS.get(container)
    if check is None:
        return None
    with open(path, "rb") as file:
        return check(file, os.fstat(file.fileno()).st_size)


def _check_packets(file: BinaryIO, size: int) -> int | None:
    """Where the first packet starts that lacks its sync byte, is cut short, or is all adaptation
    field, although it says that it has a payload.

    Zeros at the end of the file are padding.
    """
    grid = _packet_grid(file.read(max(_PACKET_BYTES) * (_PROBE_PACKETS + 1)))
    if grid is None:
        return None
    position, length = grid
    file.seek(position)
    while chunk := file.read(length * _CHUNK_PACKETS):
        complete = (len(chunk) + length - min(_PACKET_BYTES)) // length
        data = np.frombuffer(chunk, np.uint8)
        sync, flags, field = (data[byte::length][:complete] for byte in (0, 3, 4))
        valid = (sync == _SYNC) & ((flags & _FIELD_AND_PAYLOAD < _FIELD_AND_PAYLOAD)
                                   | (field <= _MAX_FIELD_BYTES))  # fmt: skip
        good = complete if valid.all() else int(np.argmin(valid))
        if good * length < len(chunk):
            file.seek(position + good * length)
            return None if _only_zeros(file) else position + good * length
        position += len(chunk)
    return None


def _packet_grid(head: bytes) -> tuple[int, int] | None:
    """Where packets start and how long they are."""
    for length in _PACKET_BYTES:
        for start in range(length):
            syncs = head[start : start + length * _PROBE_PACKETS : length]
            if syncs == bytes([_SYNC]) * _PROBE_PACKETS:
                return start, length
    return None


def _only_zeros(file: BinaryIO) -> bool:
    while chunk := file.read(1 << 20):
        if any(chunk):
            return False
    return True


def _check_elements(file: BinaryIO, size: int) -> int | None:
    """The first element of the segment or of a cluster that has no place there or does not fit."""
    position, segment_end = 0, size
    cluster_end: int | None = 0
    """None in a cluster of unknown length; the next element of the segment ends that."""
    for _ in range(_MAX_ELEMENTS):
        if position >= segment_end:
            return None
        file.seek(position)
        name, length, content = _element(file.read(12), position)
        if cluster_end is None and name in _SEGMENT_CHILDREN - _CLUSTER_CHILDREN:
            cluster_end = position
        in_cluster = cluster_end is None or position < cluster_end
        if name not in (_CLUSTER_CHILDREN if in_cluster else _OUTER):
            return position
        end = None if length is None else content + length
        if name == _SEGMENT:
            segment_end = size if end is None else end
        elif name == _CLUSTER:
            cluster_end = end
        elif end is None or end > min(cluster_end if in_cluster and cluster_end else size, size):
            return position
        position = content if name in (_SEGMENT, _CLUSTER) else end or content
    return None


def _element(head: bytes, position: int) -> tuple[int, int | None, int]:
    """Id, length (None if unknown) and position of the content of an element."""
    if not head:
        return 0, 0, position
    id_bytes = 9 - head[0].bit_length()
    if id_bytes > 4 or len(head) <= id_bytes:
        return 0, 0, position
    length_bytes = 9 - head[id_bytes].bit_length()
    content = id_bytes + length_bytes
    if length_bytes > 8 or len(head) < content:
        return 0, 0, position
    unknown = (1 << 7 * length_bytes) - 1
    length = int.from_bytes(head[id_bytes:content], "big") & unknown
    name = int.from_bytes(head[:id_bytes], "big")
    return name, None if length == unknown else length, position + content


_CHECKS: Mapping[str, Callable[[BinaryIO, int], int | None]] = {
    "mpegts": _check_packets,
    "matroska,webm": _check_elements,
}
