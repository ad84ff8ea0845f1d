"""The colour policy: how a source's colours are read, and what is written.

**Reading.** The matrix, primaries and transfer that a source states are used, each on its own. A
source that starts without them is read by the first tags among its key frames. A matrix that it
does not state, or that no converter here supports, is that of the stated primaries; without those
it is BT.2020 for PQ and HLG, BT.709 for other pictures of at least 720 lines or 1,280 columns, and
BT.601 (SMPTE 170M) for smaller ones. Primaries and transfer follow the matrix. BT.2020 constant
luminance is read as BT.2020. The matrices YCgCo, SMPTE 2085, those derived from chromaticity, ICtCp
and later ones count as not stated: ordinary encoders write them by mistake far more often than they
convert to them. RGB needs no matrix.

**Writing.** Everything is written as 8-bit 4:2:0 SDR of limited range, with all four tags. PQ and
HLG are linearised at 100 nits, moved to BT.709 primaries and tone-mapped with the Hable curve
(Hable 2010); RGB becomes BT.709; other pictures keep their own matrix. Frames are written as
displayed: with the container's rotation and mirroring applied (ffmpeg does that before any filter)
and with square pixels.
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
"""Tags by their code in ITU-T H.273, as ffmpeg names them."""
HDR_TRANSFERS = (16, 18)
"""PQ and HLG."""
_ALIASES = {10: 9}
"""BT.2020 constant luminance is read as the usual BT.2020, whose coefficients it shares."""
_UNSTATED = 2
_MATRIX_OF_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
"""The matrix that primaries imply."""
_TAGS_OF_MATRIX = {
    "bt709": ("bt709", "bt709"),
    "fcc": ("bt470m", "smpte170m"),
    "bt470bg": ("bt470bg", "smpte170m"),
    "smpte170m": ("smpte170m", "smpte170m"),
    "smpte240m": ("smpte240m", "smpte240m"),
    "bt2020nc": ("bt2020", "bt2020-10"),
}
"""The primaries and transfer that a matrix implies."""
_HD_LINES, _HD_COLUMNS = 720, 1280
_SD_MATRIX = "smpte170m"
"""The matrix of smaller pictures, which converters assume where none is stated."""

TONE_MAP: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("format", ("yuv444p12le|gbrp12le",), {}),  # zscale refuses 4:2:0 of an odd size
    ("zscale", (), {"transfer": "linear", "npl": "100"}),
    ("format", ("gbrpf32le",), {}),
    ("zscale", (), {"primaries": "bt709"}),
    ("tonemap", (), {"tonemap": "hable", "desat": "0"}),
    ("zscale", (), {"transfer": "bt709", "matrix": "bt709", "range": "tv"}),
)
"""Filters for an HDR stream: name, positional and keyword arguments."""

EXACT_SCALING = "accurate_rnd+bitexact"
"""Scaler flags under which the same frame always scales to the same bytes."""


@dataclass(frozen=True, slots=True)
class Colour:
    """How the colours of one source are read."""

    matrix: str = "smpte170m"
    """Matrix of the stored picture; `gbr` for RGB."""
    primaries: str = "smpte170m"
    transfer: str = "smpte170m"
    forced: bool = False
    """Whether frames are retagged with these, because their own tags would be read otherwise."""

    @classmethod
    def from_tags(
        cls, tags: Mapping[str, int], width: int, height: int, *, rgb: bool = False
    ) -> Colour:
        """Applies the rule above to the tags `matrix`, `primaries` and `transfer` of a frame."""
        hdr = tags["transfer"] in HDR_TRANSFERS
        if rgb:
            return cls("gbr", "bt709", "bt709")
        matrix = _MATRICES.get(_ALIASES.get(tags["matrix"], tags["matrix"]))
        if matrix is None:
            large = height >= _HD_LINES or width >= _HD_COLUMNS
            matrix = "bt2020nc" if hdr else "bt709" if large else _SD_MATRIX
            matrix = _MATRIX_OF_PRIMARIES.get(tags["primaries"], matrix)
        primaries, transfer = _TAGS_OF_MATRIX[matrix]
        primaries = _PRIMARIES.get(tags["primaries"], "bt2020" if hdr else primaries)
        transfer = _TRANSFERS.get(tags["transfer"], transfer)
        usable = _MATRICES.get(tags["matrix"], _SD_MATRIX if tags["matrix"] == _UNSTATED else None)
        forced = usable != matrix or (hdr and tags["primaries"] not in _PRIMARIES)
        return cls(matrix, primaries, transfer, forced)

    @classmethod
    def parse(cls, text: str | None, forced: bool | None) -> Colour:
        """The inverse of `str`, as it is stored with a source."""
        if not text:
            return cls()
        matrix, primaries, transfer = text.split()
        return cls(matrix, primaries, transfer, bool(forced))

    def __str__(self) -> str:
        return f"{self.matrix} {self.primaries} {self.transfer}"

    @property
    def hdr(self) -> bool:
        """Whether pictures have to be tone-mapped."""
        return self.transfer in {_TRANSFERS[code] for code in HDR_TRANSFERS}

    @property
    def output(self) -> Colour:
        """What an encoded clip is tagged with."""
        return Colour("bt709", "bt709", "bt709") if self.hdr or self.matrix == "gbr" else self

    def apply_tags(self, video: ffmpeg.Stream) -> ffmpeg.Stream:
        """Retags frames that their own tags would be read wrongly by; others keep theirs."""
        return video.filter("setparams", **self._tags) if self.forced else video

    def tone_map(self, video: ffmpeg.Stream) -> ffmpeg.Stream:
        """Converts HDR frames to SDR; SDR frames are unchanged."""
        for name, args, kwargs in TONE_MAP if self.hdr else ():
            video = video.filter(name, *args, **kwargs)
        return video

    def scale(self, video: ffmpeg.Stream, width: int, height: int, flags: str) -> ffmpeg.Stream:
        """Scales frames to limited range, with the matrix and tags of `output`."""
        output = self.output
        matrix = output.matrix.removesuffix("nc")
        video = video.filter(
            "scale", width, height, flags=flags, out_range="tv", out_color_matrix=matrix
        )
        return video.filter("format", "yuv420p").filter("setparams", range="tv", **output._tags)

    @property
    def h273_codes(self) -> dict[str, int]:
        """The tags as codes of ITU-T H.273."""
        tables = {"matrix": _MATRICES, "primaries": _PRIMARIES, "transfer": _TRANSFERS}
        return {
            name: next(code for code, tag in table.items() if tag == getattr(self, name))
            for name, table in tables.items()
        }

    @property
    def _tags(self) -> dict[str, str]:
        return {
            "colorspace": self.matrix,
            "color_primaries": self.primaries,
            "color_trc": self.transfer,
        }
