"""The one colour policy: how a source's colours are read, and what is written.

**Reading.** The matrix, primaries and transfer that a source states are taken, each on its own. A
source that begins without them is read by the first tags among its key frames. A matrix that it
does not state, or that no converter here knows, is that of the stated primaries; without those it
is BT.2020 for PQ and HLG, BT.709 for other pictures of at least 720 lines or 1,280 columns, and
BT.601 (SMPTE 170M) for smaller ones. Primaries and transfer follow the matrix. The matrices YCgCo,
BT.2020 constant luminance, SMPTE 2085, those derived from chromaticity, ICtCp and later ones are
taken as not stated: ordinary encoders write them by mistake far more often than they convert to
them. RGB needs no matrix.

**Writing.** Everything leaves as 8-bit 4:2:0 SDR of limited range, with all four tags. PQ and HLG
are linearised at 100 nits, moved to BT.709 primaries and tone-mapped with the Hable curve (Hable
2010); RGB becomes BT.709; other pictures keep their own matrix. Frames come out as displayed: with
the container's rotation and mirroring applied (ffmpeg does that before any filter) and with square
pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ffmpeg

_MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
    11: "smpte431", 12: "smpte432",
}  # fmt: skip
_TRANSFERS = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear",
    13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 18: "arib-std-b67",
}  # fmt: skip
"""Tags by their number in ITU-T H.273, as ffmpeg names them."""
HDR_TRANSFERS = (16, 18)
"""PQ and HLG."""
_UNSTATED = 2
_OF_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
"""Matrix that goes with primaries."""
_OF_MATRIX = {
    "bt709": ("bt709", "bt709"),
    "fcc": ("bt470m", "smpte170m"),
    "bt470bg": ("bt470bg", "smpte170m"),
    "smpte170m": ("smpte170m", "smpte170m"),
    "smpte240m": ("smpte240m", "smpte240m"),
    "bt2020nc": ("bt2020", "bt2020-10"),
}
"""Primaries and transfer that go with a matrix."""
_HD_LINES, _HD_COLUMNS = 720, 1280
_SMALL = "smpte170m"
"""The matrix of smaller pictures, which converters take where none is stated."""

TONE_MAP: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("format", ("yuv444p12le|gbrp12le",), {}),  # zscale refuses 4:2:0 of an odd size
    ("zscale", (), {"transfer": "linear", "npl": "100"}),
    ("format", ("gbrpf32le",), {}),
    ("zscale", (), {"primaries": "bt709"}),
    ("tonemap", (), {"tonemap": "hable", "desat": "0"}),
    ("zscale", (), {"transfer": "bt709", "matrix": "bt709", "range": "tv"}),
)
"""Filters by name, positional and named arguments, for an HDR stream."""

EXACT = "accurate_rnd+bitexact"
"""Scaler flags under which the same frame always scales to the same bytes."""


@dataclass(frozen=True, slots=True)
class Colour:
    """How the colours of one source are read."""

    matrix: str = "smpte170m"
    """Matrix of the stored picture; `gbr` for RGB."""
    primaries: str = "smpte170m"
    transfer: str = "smpte170m"
    forced: bool = False
    """Whether frames are given these three, because what they state would be read otherwise."""

    @classmethod
    def of(cls, tags: Mapping[str, int], width: int, height: int, *, rgb: bool = False) -> Colour:
        """By the rule above, from the tags `matrix`, `primaries` and `transfer` of a frame."""
        hdr = tags["transfer"] in HDR_TRANSFERS
        if rgb:
            return cls("gbr", "bt709", "bt709")
        matrix = _MATRICES.get(tags["matrix"])
        if matrix is None:
            large = height >= _HD_LINES or width >= _HD_COLUMNS
            matrix = "bt2020nc" if hdr else "bt709" if large else _SMALL
            matrix = _OF_PRIMARIES.get(tags["primaries"], matrix)
        primaries, transfer = _OF_MATRIX[matrix]
        primaries = _PRIMARIES.get(tags["primaries"], "bt2020" if hdr else primaries)
        transfer = _TRANSFERS.get(tags["transfer"], transfer)
        usable = _MATRICES.get(tags["matrix"], _SMALL if tags["matrix"] == _UNSTATED else None)
        forced = usable != matrix or (hdr and tags["primaries"] not in _PRIMARIES)
        return cls(matrix, primaries, transfer, forced)

    @classmethod
    def parse(cls, words: str | None, forced: bool | None) -> Colour:
        """From what `str` gave, as it is stored with a source."""
        if not words:
            return cls()
        matrix, primaries, transfer = words.split()
        return cls(matrix, primaries, transfer, bool(forced))

    def __str__(self) -> str:
        return f"{self.matrix} {self.primaries} {self.transfer}"

    @property
    def hdr(self) -> bool:
        """Whether pictures have to be tone-mapped."""
        return self.transfer in {_TRANSFERS[number] for number in HDR_TRANSFERS}

    @property
    def written(self) -> Colour:
        """What an encoded clip is tagged with."""
        return Colour("bt709", "bt709", "bt709") if self.hdr or self.matrix == "gbr" else self

    def read(self, video: ffmpeg.Stream) -> ffmpeg.Stream:
        """Frames that are read with these tags; those that state other ones keep them."""
        return video.filter("setparams", **self._tags) if self.forced else video

    def tone_mapped(self, video: ffmpeg.Stream) -> ffmpeg.Stream:
        """Frames in SDR: the same where they are that already."""
        for name, positional, named in TONE_MAP if self.hdr else ():
            video = video.filter(name, *positional, **named)
        return video

    def scaled(self, video: ffmpeg.Stream, width: int, height: int, flags: str) -> ffmpeg.Stream:
        """Frames of this size in limited range, in the matrix and with the tags of `written`."""
        written = self.written
        matrix = written.matrix.removesuffix("nc")
        video = video.filter(
            "scale", width, height, flags=flags, out_range="tv", out_color_matrix=matrix
        )
        return video.filter("format", "yuv420p").filter("setparams", range="tv", **written._tags)

    @property
    def numbers(self) -> dict[str, int]:
        """The tags by their numbers in ITU-T H.273."""
        known = {"matrix": _MATRICES, "primaries": _PRIMARIES, "transfer": _TRANSFERS}
        return {
            name: next(number for number, tag in tags.items() if tag == getattr(self, name))
            for name, tags in known.items()
        }

    @property
    def _tags(self) -> dict[str, str]:
        return {
            "colorspace": self.matrix,
            "color_primaries": self.primaries,
            "color_trc": self.transfer,
        }
