"""What a file's bytes say before any demuxer sees them: text, a playlist, a truncated container.

Only lengths and signatures are read, at most a few thousand of them; nothing is decoded.
"""

from __future__ import annotations

import os
import struct

from curation.errors import MediaError

_PLAYLIST_TAGS = (
    b"<MPD", b"<smil", b"<AssetMap", b"<CompositionPlaylist", b"<SmoothStreamingMedia"
)  # fmt: skip
_SIGNATURES: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
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
"""Container, offset, and bytes there."""
_MAX_BOXES = 5000


def refuse_text(path: str) -> None:
    """Raises `MediaError` if the file is a playlist or other text."""
    head = _head(path)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    start = repr(text[:24].decode("ascii", "replace"))
    if text.startswith((b"#EXTM3U", b"ffconcat")) or any(tag in head for tag in _PLAYLIST_TAGS):
        raise MediaError("playlist", f"starts like a playlist: {start}")
    if not any(byte < 9 or 13 < byte < 32 for byte in head):
        raise MediaError("not_video", f"text, starting {start}")


def sniff_container(path: str) -> str | None:
    """The container that the first bytes belong to, or None for unknown ones."""
    head = _head(path)
    for name, offset, signatures in _SIGNATURES:
        if head.startswith(signatures, offset):
            return name
    return "MPEG-TS" if head[:1] == head[188:189] == head[376:377] == b"G" else None


def missing_bytes(path: str) -> int:
    """How many bytes an mp4 or AVI file refers to beyond its end; 0 for other containers."""
    size = os.path.getsize(path)
    container = sniff_container(path)
    if container == "AVI":
        length: int = struct.unpack_from("<I", _head(path), 4)[0]
        return max(0, 8 + length - size)
    return max(0, _end_of_boxes(path, size) - size) if container == "mp4" else 0


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(4096)


def _end_of_boxes(path: str, size: int) -> int:
    """Where the last of an mp4 file's outermost boxes ends; each starts with length and name."""
    offset = 0
    with open(path, "rb") as file:
        for _ in range(_MAX_BOXES):
            file.seek(offset)
            head = file.read(16).ljust(16, b"\0")
            length, name = struct.unpack_from(">I4s", head)
            if length == 1:
                length = struct.unpack_from(">Q", head, 8)[0]
            if offset >= size or length < 8 or not name.isalnum():
                break
            offset += length
    return offset
