"""The one colour policy, as ffmpeg filters.

Everything leaves as 8-bit SDR. PQ and HLG are linearised at 100 nits, moved to BT.709 primaries and
tone-mapped with the Hable curve (Hable 2010). SDR keeps its own matrix; full range becomes limited
range on encoding. Frames come out as displayed: rotated by the container's flag (ffmpeg does that
before any filter) and with square pixels.
"""

from __future__ import annotations

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
