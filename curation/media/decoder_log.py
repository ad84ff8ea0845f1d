"""What the decoder's exit status and its words say of a source.

ffmpeg logs at level `info`, so that a change of picture size shows. That level also prints the
file's own metadata, which may say anything: only words after a level at the start of a line count.
"""

from __future__ import annotations

import re

from curation.media import child
from curation.media.probe import Facts
from curation.reasons import MediaError

_LINE = re.compile(r"(?:\[[^\]\n]*@ 0x[0-9a-f]+\] )*\[(\w+)\] (.*)")
_RESIZED = re.compile(r"Reconfiguring filter graph because .*?(\d+)x(\d+)")


def check(code: int, log: str, spent_s: float, facts: Facts, limits: child.Limits) -> None:
    """Raises the `MediaError` that the decoder's exit, words and CPU seconds call for.

    Raises `ChildKilledError` if it was ended by a signal that no limit explains.
    """
    lines = [found.groups() for line in log.split("\n") if (found := _LINE.match(line))]
    _check_size(lines, facts)
    errors = [
        child.plain(words)
        for level, words in lines
        if level in ("error", "fatal") and "not on whitelist" not in words
    ]  # a sound track's codec need not be on the list, and the video's was checked
    said = errors[0] if errors else ""
    everything = "\n".join(errors)
    if "File ended prematurely" in everything or "partial file" in everything:
        raise MediaError("truncated", said)
    if "exceeds the maximum number of pixels" in everything or "Picture size" in everything:
        raise MediaError("too_large_picture", f"more than {limits.max_pixels} pixels")
    try:
        child.check_exit(code, everything, limits, spent_s)
    except child.ChildFailedError:
        said = said or f"decoder exit {code}"
    if said and facts.missing_bytes:
        raise MediaError("truncated", f"{facts.missing_bytes} bytes are missing at the end; {said}")
    if said:
        raise MediaError("corrupt", said)


def _check_size(lines: list[tuple[str, ...]], facts: Facts) -> None:
    first = (facts.stored_width, facts.stored_height)
    seen = [
        (int(found[1]), int(found[2])) for _, words in lines if (found := _RESIZED.match(words))
    ]
    for width, height in seen:
        if (width, height) != first:
            starts = f"starts as {first[0]}x{first[1]}"
            raise MediaError("size_changes", f"{starts}, becomes {width}x{height}")
