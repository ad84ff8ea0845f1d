"""Damage that demuxers step over without an error; where it lies is said, or the file fails."""

import struct
from pathlib import Path

import pytest

from curation.media.structure import damaged_at
from curation.sample import Coding
from tests.sweep.damage import TS, pes_starts

MKV = "matroska,webm"


@pytest.fixture
def stream(made) -> bytes:
    return made("plain.ts", 40, Coding(b_frames=2)).read_bytes()


@pytest.fixture
def matroska(made) -> bytes:
    return made("structure.mkv", 40, Coding(b_frames=2, gop=10)).read_bytes()


@pytest.fixture
def write(tmp_path):
    def write(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def blocks(data: bytes) -> list[int]:
    """Where each SimpleBlock starts whose length takes two bytes."""
    places, at = [], data.index(b"\x1f\x43\xb6\x75")
    while (at := data.find(b"\xa3", at + 1)) >= 0:
        if data[at + 1] & 0xC0 == 0x40 and data[at + 3] == 0x81:
            places.append(at)
    return places


def test_whole_files_have_no_damage(stream, matroska, write):
    assert damaged_at(str(write("a.ts", stream)), "mpegts") is None
    assert damaged_at(str(write("a.mkv", matroska)), MKV) is None


@pytest.mark.parametrize("length", [188, 192, 204])
def test_packets_of_each_length(stream, write, length):
    packets = [stream[at : at + TS] for at in range(0, len(stream), TS)]
    before = b"\0" * 4 if length == 192 else b""
    after = b"\0" * (length - 188 - len(before))
    data = b"".join(before + packet + after for packet in packets)
    assert damaged_at(str(write("a.ts", data)), "mpegts") is None
    broken = bytearray(data)
    broken[7 * length + len(before)] ^= 1
    assert damaged_at(str(write("b.ts", broken)), "mpegts") == 7 * length + len(before)


def test_where_a_transport_stream_breaks_off(stream, write):
    middle = len(stream) // TS // 2 * TS
    for data, place in (
        (stream[: -TS // 2], len(stream) - TS),
        (stream[100:], None),
        (stream + bytes(20_000), None),
        (stream[:middle] + b"\1" + stream[middle:], middle),
        (stream[:middle] + bytes(1000) + stream[middle:], middle),
        (stream[: middle + 5] + b"\xff" * 9000, middle + TS),
        (stream[:middle] + b"\x47\x01\x00\x30\xb7" + stream[middle + 5 :], middle),
        (stream[:middle] + b"\x47\x01\x00\x30\xb6" + stream[middle + 5 :], None),
        (b"short", None),
    ):
        assert damaged_at(str(write("a.ts", data)), "mpegts") == place


def test_where_a_matroska_file_breaks_off(matroska, write):
    place = blocks(matroska)[3]
    size = struct.unpack_from(">H", matroska, place + 1)[0]
    shorter = bytearray(matroska)
    struct.pack_into(">H", shorter, place + 1, size - 1)
    end = place + 3 + (size & 0x3FFF)
    for data, found in (
        (matroska + b"behind", None),
        (matroska[:end], end),
        (matroska[: end - 1], place),
        (bytes(shorter), end - 1),
        (matroska[: place + 1], place),
        (b"\x1a\x45\xdf\xa3", 0),
        (b"", None),
    ):
        assert damaged_at(str(write("a.mkv", data)), MKV) == found


def test_a_live_matroska_file_states_no_lengths(matroska, ffmpeg, write):
    path = write("whole.mkv", matroska)
    live = path.with_name("live.mkv")
    ffmpeg("-i", path, "-c", "copy", "-live", "1", live)
    assert damaged_at(str(live), MKV) is None


def test_a_lost_block_is_remarked(made, write, verdict):
    """A block with an id that nobody knows; its neighbours are key frames."""
    data = bytearray(made("keys.mkv", 40, Coding(gop=1)).read_bytes())
    place = blocks(data)[3]
    data[place] = 0xA4
    source = verdict(write("lost.mkv", data))
    assert (source.outcome, source.frames) == ("scanned", 39)
    assert source.remarks == f"its container is damaged at byte {place}: frames may be missing"


def test_a_lost_end_is_remarked(stream, write, verdict):
    """Nothing but noise after 20 pictures: the demuxer looks for packets and logs nothing."""
    place = pes_starts(stream, 0x100)[20] // TS * TS
    source = verdict(write("lost.ts", stream[:place] + b"\x55\xaa" * 5000))
    assert (source.outcome, source.frames) == ("scanned", 20)
    assert source.remarks == f"its container is damaged at byte {place}: frames may be missing"


def test_damage_at_which_the_file_is_opened_fails(matroska, write, verdict):
    """The head of the first cluster is gone: the demuxer searches for the second when it opens."""
    cluster = matroska.index(b"\x1f\x43\xb6\x75")
    data = matroska[: cluster + 4] + bytes(600) + matroska[cluster + 604 :]
    source = verdict(write("head.mkv", data))
    assert (source.outcome, source.reason) == ("failed", "corrupt")


def test_a_frame_that_an_mp4_loses_is_remarked(made, write, verdict):
    """A composition offset of hours puts one picture behind the end of the edit list."""
    data = bytearray(made("plain_b.mp4", 40, Coding(b_frames=2)).read_bytes())
    place = data.index(b"ctts") + 4
    (entries,) = struct.unpack_from(">I", data, place + 4)
    single = next(
        i for i in range(entries) if struct.unpack_from(">I", data, place + 8 + 8 * i)[0] == 1
    )
    struct.pack_into(">I", data, place + 12 + 8 * single, 0x7FFFFFFF)
    source = verdict(write("offset.mp4", data))
    assert source.frames == 39
    assert "its edit list hides 1 frame" in (source.remarks or "")
