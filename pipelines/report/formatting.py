"""Numbers as people read them."""

from __future__ import annotations

import math

from curation.web_files import without_query


def thousands(number: int) -> str:
    """`12345` → `12,345`."""
    return f"{number:,}"


def share(part: float, whole: float) -> str:
    """`1, 8` → `12.5 %`; a part that is neither none nor all never reads as 0 or 100 %."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """`5430` → `1.51 h`: seconds, minutes or hours, whichever reads best."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"


def clock(seconds: float) -> str:
    """`83.46` → `01:23.5`, with hours in front from an hour on."""
    tenths = round(seconds * 10)
    hours, minutes, rest = tenths // 36000, tenths // 600 % 60, tenths % 600 / 10
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes:02}:{rest:04.1f}"


def number(value: float) -> str:
    """Three or four significant digits, without needless zeros or exponents."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    digits = max(0, min(6, 3 - math.floor(math.log10(abs(value)))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def large(value: float) -> str:
    """`12345678` → `12.3 M`."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):,.3g} {unit}"
    return f"{value:,.0f}"


def size(size_bytes: float) -> str:
    """`1234567` → `1.23 MB`."""
    for unit, unit_bytes in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:,.3g} {unit}"
    return f"{size_bytes:,.0f} bytes"


def base_name(uri: str) -> str:
    """The file's name: what follows the last slash; of the web without a query."""
    return without_query(uri).rstrip("/").rsplit("/", 1)[-1] or uri
