"""Clips that are no file, as video to look at: cut from their source and kept for a while.

The source is opened by a confined child, as a render does it; at most one at a time is cut, so that
looking never starves the work. The oldest previews go when they take too much room.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from curation.errors import ReelmillError
from curation.media.cut import Span
from curation.media.encode import Encoding, encode
from curation.media.sandbox import Limits
from curation.records import Clip, Source
from curation.render.source_file import original
from curation.storage import Storage

_LIMITS = Limits(cpu_s=60, wall_s=90)
_ENCODING = Encoding(preset="veryfast", crf=26, longest_side=640)
_MOST_BYTES = 2 << 30


class BusyError(ReelmillError):
    """Another preview is being cut; ask again in a moment."""


class Previews:
    """A folder of previews."""

    def __init__(self, folder: Path) -> None:
        self._storage = Storage.at(folder)
        self._turn = threading.Lock()

    def of(self, clip: Clip, source: Source) -> tuple[Storage, str]:
        """The preview of a clip: where it lies.

        Raises `MediaError`, `OutOfReachError`, and `BusyError` while another one is being made.
        """
        name = f"{clip.clip_id}.mp4"
        if self._storage.size(name) is None:
            if not self._turn.acquire(timeout=2.0):
                raise BusyError
            try:
                if self._storage.size(name) is None:
                    self._make(clip, source, name)
            finally:
                self._turn.release()
        with contextlib.suppress(OSError):
            os.utime(self._storage.uri(name))
        return self._storage, name

    def _make(self, clip: Clip, source: Source, name: str) -> None:
        size = _ENCODING.size(source.width or 2, source.height or 2)
        with original(source) as path, self._storage.writing(name) as target:
            encode(path, target, Span.of(clip, source), size=size, encoding=_ENCODING,
                   limits=_LIMITS)  # fmt: skip
        self._tidy()

    def _tidy(self) -> None:
        files = sorted(Path(self._storage.root).glob("*.mp4"), key=lambda p: p.stat().st_mtime)
        room = sum(path.stat().st_size for path in files)
        for path in files[:-1]:
            if room <= _MOST_BYTES:
                return
            room -= path.stat().st_size
            path.unlink(missing_ok=True)
