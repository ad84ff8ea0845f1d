"""A still picture from outside: decoded in a confined child, reduced, and refused in words."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from curation.errors import MediaError
from curation.media.picture import LONGEST_SIDE, read_picture


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg"])
def test_the_pixels_are_those_of_the_file(tmp_path, name):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = (200, 40, 90)
    Image.fromarray(pixels).save(tmp_path / name, lossless=True, quality=95)
    picture = read_picture(str(tmp_path / name))
    assert picture.shape == pixels.shape
    assert np.abs(picture.astype(int) - pixels)[2:20, 2:28].max() <= (0 if name != "a.jpg" else 12)


def test_a_large_picture_is_reduced(tmp_path):
    Image.new("RGB", (4000, 1000), (10, 200, 30)).save(tmp_path / "wide.png")
    picture = read_picture(str(tmp_path / "wide.png"))
    assert picture.shape == (LONGEST_SIDE // 4, LONGEST_SIDE, 3)
    assert picture[100, 100].tolist() == [10, 200, 30]


def png(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds one row."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * (1 + 3 * min(width, 100)))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(60_000, 60_000), "60000 x 60000 pixels"), (png(3000, 3000), "truncated"),
        (png(100, 100)[:50], "truncated"),
    ],
    ids=["huge", "short", "cut"],
)  # fmt: skip
def test_a_header_that_lies_is_a_media_error(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(MediaError, match=message):
        read_picture(str(tmp_path / "a.png"))


def test_what_is_no_picture_is_none(tmp_path):
    (tmp_path / "a.png").write_bytes(b"GIF89a no picture of ours")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.bmp")
    assert read_picture(str(tmp_path / "a.png")) is None
    assert read_picture(str(tmp_path / "a.bmp")) is None
