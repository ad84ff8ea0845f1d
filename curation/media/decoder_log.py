"""What the decoder's exit status and its words say of a source.

ffmpeg logs at level `info`, so that a change of picture size shows. That level also prints the
file's own metadata, which may say anything: only words after a level at the start of a line count.
What is said before the input is open comes from looking for streams in its first bytes, sound among
them; only that the file ends early counts of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from curation.errors import MediaError
from curation.media import sandbox
from curation.media.probe import Facts

_LINE = re.compile(r"(?:\[[^\]\n]*@ 0x[0-9a-f]+\] )*\[(\w+)\] (.*)")
_OPEN = re.compile(r"^\[info\] Input #0, ", re.M)
_RESIZED = re.compile(r"filter context - .*incoming frame - w: (\d+) h: (\d+)")
_ENDS_EARLY = ("File ended prematurely", "partial file")


def check(  # noqa: PLR0917  all that tells
    code: int,
    log: str,
    spent_s: float,
    facts: Facts,
    limits: sandbox.Limits,
    excuses: Callable[[str], bool],
) -> None:
    """Raises the `MediaError` that the decoder's exit, words and CPU seconds call for.

    `excuses` says which errors are none. Raises `ChildKilledError` if it was ended by a signal that
    no limit explains.
    """
    opened = _OPEN.search(log)
    before, after = (log[: opened.start()], log[opened.start() :]) if opened else ("", log)
    lines = _lines(after)
    _check_size(lines, facts)
    errors = [words for words in _errors(lines) if not excuses(words)]
    said = errors[0] if errors else ""
    everything = "\n".join(errors)
    for words in (*errors, *_errors(_lines(before))):
        if any(each in words for each in _ENDS_EARLY):
            raise MediaError("truncated", words)
    if "exceeds the maximum number of pixels" in everything or "Picture size" in everything:
        raise MediaError("too_large_picture", f"more than {limits.max_pixels} pixels")
    try:
        sandbox.check_exit(code, everything, limits, spent_s)
    except sandbox.ChildFailedError:
        said = said or f"decoder exit {code}"
    if said and facts.missing_bytes:
        raise MediaError("truncated", f"{facts.missing_bytes} bytes are missing at the end; {said}")
    if said:
        raise MediaError("corrupt", said)


def _lines(log: str) -> list[tuple[str, ...]]:
    return [found.groups() for line in log.split("\n") if (found := _LINE.match(line))]


def _errors(lines: list[tuple[str, ...]]) -> list[str]:
    """What was reported as an error; the codec of a sound track need not be on the list."""
    return [
        sandbox.plain(words)
        for level, words in lines
        if level in ("error", "fatal") and "not on whitelist" not in words
    ]


def _check_size(lines: list[tuple[str, ...]], facts: Facts) -> None:
    first = (facts.stored_width, facts.stored_height)
    for _, words in lines:
        found = _RESIZED.search(words)
        if found and (size := (int(found[1]), int(found[2]))) != first:
            starts = f"starts as {first[0]}x{first[1]}"
            raise MediaError("size_changes", f"{starts}, becomes {size[0]}x{size[1]}")
