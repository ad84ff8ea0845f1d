"""Seven ways in which the bytes of a video go wrong, each seeded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from tests.sweep.damage import TS, boxes

Mutation = Callable[[bytes, Random, bytes], bytes]
"""From a file, a random generator and another file's bytes to the mutated file."""
Field = tuple[int, int]
"""Where a header field starts, and its bytes."""


def _block(data: bytes, random: Random) -> slice:
    """Up to a tenth of a file, mostly much less."""
    length = min(random.choice((16, 188, 1024, 4096, 16384)), len(data) // 10)
    start = random.randrange(len(data) - length)
    return slice(start, start + length)


def flip_bits(data: bytes, random: Random, _: bytes) -> bytes:
    """One to eight bits are inverted."""
    mutated = bytearray(data)
    for place in random.sample(range(8 * len(data)), random.randint(1, 8)):
        mutated[place // 8] ^= 1 << place % 8
    return bytes(mutated)


def overwrite(data: bytes, random: Random, _: bytes) -> bytes:
    """A block becomes zeros or noise."""
    block = _block(data, random)
    length = block.stop - block.start
    content = random.choice((bytes(length), random.randbytes(length)))
    return data[: block.start] + content + data[block.stop :]


def delete(data: bytes, random: Random, _: bytes) -> bytes:
    """A block is missing."""
    block = _block(data, random)
    return data[: block.start] + data[block.stop :]


def duplicate(data: bytes, random: Random, _: bytes) -> bytes:
    """A block comes twice."""
    block = _block(data, random)
    return data[: block.stop] + data[block.start :]


def swap(data: bytes, random: Random, _: bytes) -> bytes:
    """Two blocks change places."""
    first = _block(data, random)
    length = first.stop - first.start
    start = random.choice(
        [*range(first.start - length + 1), *range(first.stop, len(data) - length)]
    )
    low, high = sorted((first.start, start))
    return b"".join((
        data[:low], data[high : high + length], data[low + length : high],
        data[low : low + length], data[high + length :],
    ))  # fmt: skip


def splice(data: bytes, random: Random, other: bytes) -> bytes:
    """A block of another file, or the other's end instead of the own."""
    start = random.randrange(len(data))
    if random.random() < 0.5:
        return data[:start] + other[int(start / len(data) * len(other)) :]
    block = _block(other, random)
    return data[:start] + other[block] + data[start + block.stop - block.start :]


def lie(data: bytes, random: Random, _: bytes) -> bytes:
    """One field of the container's headers states something else."""
    start, width = random.choice([*_fields(data)])
    value, most = int.from_bytes(data[start : start + width], "big"), (1 << 8 * width) - 1
    lies = {0, 1, most, most >> 1, value ^ 1, (value + 1) & most, (value - 1) & most,
            random.randint(0, most)} - {value}  # fmt: skip
    told = random.choice(sorted(lies)).to_bytes(width, "big")
    return data[:start] + told + data[start + width :]


MUTATIONS: dict[str, Mutation] = {
    "flip bits": flip_bits, "overwrite": overwrite, "delete": delete, "duplicate": duplicate,
    "swap": swap, "splice": splice, "lie": lie,
}  # fmt: skip


def mutate(name: str, data: bytes, random: Random, other: bytes) -> bytes:
    """The file after one mutation, which changes at least one byte."""
    while (mutated := MUTATIONS[name](data, random, other)) == data:
        pass
    return mutated


def _fields(data: bytes) -> Iterator[Field]:
    """The header fields of an mp4, Matroska or transport stream file."""
    if data[4:8] == b"ftyp":
        return _mp4_fields(data, 0, len(data))
    return _ts_fields(data) if data[:1] == data[TS : TS + 1] == b"G" else _mkv_fields(data)


_MP4_PARENTS = (b"moov", b"trak", b"edts", b"mdia", b"minf", b"dinf", b"stbl", b"udta", b"mvex")
_MAX_PAYLOAD = 96


def _mp4_fields(data: bytes, start: int, end: int) -> Iterator[Field]:
    """Lengths of boxes, and the first words of those that hold no media."""
    for name, box, box_end in boxes(data, start, end):
        yield box, 4
        if name in _MP4_PARENTS:
            yield from _mp4_fields(data, box + 8, box_end)
        elif name != b"mdat":
            words = range(box + 8, min(box_end, box + 8 + _MAX_PAYLOAD) - 3, 4)
            yield from ((word, 4) for word in words)


_MKV_PARENTS = (0x1A45DFA3, 0x18538067, 0x114D9B74, 0x4DBB, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0,
                0x55B0, 0x1F43B675, 0xA0, 0x1C53BB6B, 0xBB, 0xB7, 0x1254C367, 0x7373)  # fmt: skip
_MKV_BLOCKS = (0xA3, 0xA1)


def _mkv_fields(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """Lengths of elements, short values, and the heads of blocks."""
    end = len(data) if end is None else end
    while start < end:
        id_width, size_at = 9 - data[start].bit_length(), start
        size_at += id_width
        size_width = 9 - data[size_at].bit_length()
        content = size_at + size_width
        size = int.from_bytes(data[size_at:content], "big") & (1 << 7 * size_width) - 1
        name = int.from_bytes(data[start:size_at], "big")
        yield size_at, size_width
        start = min(content + size, end)
        if name in _MKV_PARENTS:
            yield from _mkv_fields(data, content, start)
        elif name in _MKV_BLOCKS:
            yield from ((content, 1), (content + 1, 2), (content + 3, 1))
        elif 0 < size <= 8:
            yield content, size


def _ts_fields(data: bytes) -> Iterator[Field]:
    """Bytes of packet heads, of adaptation fields, and of the heads of what starts in a packet."""
    for packet in range(0, len(data) - TS + 1, TS):
        adaptation = 1 + data[packet + 4] if data[packet + 3] & 0x20 else 0
        yield from ((packet + at, 1) for at in range(4 + min(adaptation, 8)))
        if data[packet + 1] & 0x40:
            content = packet + 4 + adaptation
            yield from ((at, 1) for at in range(content, min(content + 19, packet + TS)))
