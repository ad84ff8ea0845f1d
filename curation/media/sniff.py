"""What a file's own bytes say before any demuxer sees them: text, a playlist, a cut container.

Only lengths and marks are read, at most a few thousand of them; nothing is decoded here.
"""

from __future__ import annotations

import os
import struct

from curation.errors import MediaError

_LIST_TAGS = (b"<MPD", b"<smil", b"<AssetMap", b"<CompositionPlaylist", b"<SmoothStreamingMedia")
_MARKS: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
    ("mp4", 4, (b"ftyp", b"moov", b"mdat", b"moof", b"styp", b"sidx", b"wide", b"free", b"skip")),
    ("Matroska", 0, (b"\x1aE\xdf\xa3",)),
    ("AVI", 8, (b"AVI ",)),
    ("FLV", 0, (b"FLV\x01",)),
    ("Ogg", 0, (b"OggS",)),
    ("ASF", 0, (b"0&\xb2u\x8ef\xcf\x11",)),
    ("MPEG", 0, (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")),
    ("GIF", 0, (b"GIF87a", b"GIF89a")),
    ("IVF", 0, (b"DKIF",)),
    ("MXF", 0, (b"\x06\x0e+4",)),
)
_MOST_BOXES = 5000


def refuse_text(path: str) -> None:
    """Raises `MediaError` if the file is a playlist or other text."""
    head = _head(path)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    start = repr(text[:24].decode("ascii", "replace"))
    if text.startswith((b"#EXTM3U", b"ffconcat")) or any(tag in head for tag in _LIST_TAGS):
        raise MediaError("playlist", f"starts like a playlist: {start}")
    if not any(byte < 9 or 13 < byte < 32 for byte in head):
        raise MediaError("not_video", f"text, starting {start}")


def container(path: str) -> str | None:
    """The container that the first bytes belong to, or None if they tell of none that we know."""
    head = _head(path)
    for name, place, marks in _MARKS:
        if head.startswith(marks, place):
            return name
    return "MPEG-TS" if head[:1] == head[188:189] == head[376:377] == b"G" else None


def missing_bytes(path: str) -> int:
    """How many bytes an mp4 or AVI file counts on beyond its end; 0 for other containers."""
    size = os.path.getsize(path)
    found = container(path)
    if found == "AVI":
        length: int = struct.unpack_from("<I", _head(path), 4)[0]
        return max(0, 8 + length - size)
    return max(0, _end_of_boxes(path, size) - size) if found == "mp4" else 0


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(4096)


def _end_of_boxes(path: str, size: int) -> int:
    """Where the last of the mp4 file's outermost boxes ends; each begins with length and name."""
    place = 0
    with open(path, "rb") as file:
        for _ in range(_MOST_BOXES):
            file.seek(place)
            head = file.read(16).ljust(16, b"\0")
            length, name = struct.unpack_from(">I4s", head)
            if length == 1:
                length = struct.unpack_from(">Q", head, 8)[0]
            if place >= size or length < 8 or not name.isalnum():
                break
            place += length
    return place
