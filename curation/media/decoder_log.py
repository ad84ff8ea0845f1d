"""Turns the decoder's exit status and log into the error that they mean.

ffmpeg logs at level `info`, so that a change of picture size shows. That level also prints the
file's own metadata, which may contain anything: only text after a level at the start of a line
counts. Before the input is open the decoders of all its streams, audio included, probe their first
bytes; of these messages only those of the demuxer itself count.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from curation.errors import MediaError
from curation.media import sandbox
from curation.media.probe import MediaInfo

_LINE = re.compile(r"(?:\[[^\]\n]*@ 0x[0-9a-f]+\] )*\[(\w+)\] (.*)")
_DEMUXER_LINE = re.compile(r"(?:\[in#0[^\]\n]*@ 0x[0-9a-f]+\] )?\[(\w+)\] (.*)")
_INPUT_OPEN = re.compile(r"^\[info\] Input #0, ", re.M)
_RESIZED = re.compile(r"filter context - .*incoming frame - w: (\d+) h: (\d+)")
_PREMATURE_END = ("File ended prematurely", "partial file")


def check_decoder(  # noqa: PLR0917
    exit_code: int,
    log: str,
    cpu_s: float,
    info: MediaInfo,
    limits: sandbox.Limits,
    is_harmless: Callable[[str], bool],
) -> None:
    """Raises the `MediaError` that the decoder's exit code, log and CPU seconds call for.

    `is_harmless` filters error messages. Raises `ChildKilledError` if a signal ended the decoder
    that no limit explains.
    """
    opened = _INPUT_OPEN.search(log)
    start = opened.start() if opened else 0
    messages = _messages(log[start:])
    _check_size(messages, info)
    opening = _messages(log[:start], _DEMUXER_LINE)
    errors = [error for error in _errors(opening + messages) if not is_harmless(error)]
    for error in errors:
        if any(text in error for text in _PREMATURE_END):
            raise MediaError("truncated", error)
    all_errors = "\n".join(errors)
    if "exceeds the maximum number of pixels" in all_errors or "Picture size" in all_errors:
        raise MediaError("too_large_picture", f"more than {limits.max_pixels} pixels")
    detail = errors[0] if errors else ""
    try:
        sandbox.check_exit(exit_code, all_errors, limits, cpu_s)
    except sandbox.ChildFailedError:
        detail = detail or f"decoder exit {exit_code}"
    if detail and info.missing_bytes:
        missing = f"{info.missing_bytes} bytes are missing at the end"
        raise MediaError("truncated", f"{missing}; {detail}")
    if detail:
        raise MediaError("corrupt", detail)


def _messages(log: str, pattern: re.Pattern[str] = _LINE) -> list[tuple[str, ...]]:
    """Level and text of each line that has a level."""
    return [match.groups() for line in log.split("\n") if (match := pattern.match(line))]


def _errors(messages: list[tuple[str, ...]]) -> list[str]:
    """Error messages; the codec of an audio track need not be on the allow-list."""
    return [
        sandbox.printable(text)
        for level, text in messages
        if level in ("error", "fatal") and "not on whitelist" not in text
    ]


def _check_size(messages: list[tuple[str, ...]], info: MediaInfo) -> None:
    first = (info.stored_width, info.stored_height)
    for _, text in messages:
        match = _RESIZED.search(text)
        if match and (size := (int(match[1]), int(match[2]))) != first:
            starts = f"starts as {first[0]}x{first[1]}"
            raise MediaError("size_changes", f"{starts}, becomes {size[0]}x{size[1]}")
