"""Stream copy: a clip made of its source's own packets, where that is exact."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from curation.media import allowlist, sandbox
from curation.media.cut import Span

COPIED_CODECS = ("h264", "hevc")
_CHILD = Path(__file__).with_name("copy_child.py")


def copy(path: str, target: str, span: Span, limits: sandbox.Limits) -> str | None:
    """Copies the span's packets to `target`; returns why it could not, or None.

    It can when the span starts on a key frame, ends before one (or at the end), and no frame of the
    groups around it is stored in between. Where the source does not state how its colours are read,
    the copy does.
    """
    if not span.keeps_times:
        return "the stream has no times of its own"
    order = {
        "path": os.path.abspath(path),
        "options": allowlist.input_options(),
        "stream": span.decoding.stream_index,
        "start": span.start_pts,
        "end": span.end_pts,
        "frames": span.frames,
        "target": target,
        "colour": span.colour.numbers,
    }
    try:
        out, _ = sandbox.run([sys.executable, "-I", str(_CHILD), json.dumps(order)], limits)
    except sandbox.ChildFailedError as error:
        return f"the copy failed: {error.text.strip()[-200:]}"
    answer = json.loads(out)
    return None if "frames" in answer else str(answer["refused"])
