"""Remuxing: a clip made of its source's own packets, where that is exact."""

from __future__ import annotations

import os

from curation.media import allowlist, sandbox
from curation.media.confinement import FileAccess
from curation.media.cut import Span

COPYABLE_CODECS = ("h264", "hevc")
_INDEX_BYTES = 256
"""More than an mp4 file's index and headers take for a frame."""


def copy_packets(path: str, target: str, span: Span, limits: sandbox.Limits) -> str | None:
    """Copies the span's packets to `target`; returns why it could not, or None.

    It can when the span starts on a key frame, ends before one (or at the end), and no frame of the
    adjacent groups is stored in between. The copy is tagged with the colours that the source is
    read by.
    """
    if not span.has_container_times:
        return "the stream has no times of its own"
    request = {
        "path": os.path.abspath(path),
        "options": allowlist.input_options(),
        "stream": span.packet_selection.stream_index,
        "start": span.start_pts,
        "end": span.end_pts,
        "frames": span.frames,
        "target": target,
        "colour": span.colour.h273_codes,
    }
    max_bytes = os.path.getsize(path) + _INDEX_BYTES * span.frames + (1 << 20)
    files = FileAccess(reads=(path,), writes=(target,), max_bytes=max_bytes)
    try:
        answer = sandbox.run_child("remux_child.py", request, limits, files=files)
    except sandbox.ChildFailedError as error:
        return f"the copy failed: {error.text.strip()[-200:]}"
    return None if "frames" in answer else str(answer["refused"])
