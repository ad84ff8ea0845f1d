"""Video of clips that have no file: cut from their source and cached.

A sandboxed child reads the source, as for a render; one preview at a time is cut, so that viewers
never starve the jobs. The least recent previews are deleted when they take too much room.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

from curation.errors import ReelmillError
from curation.media.cut import Span
from curation.media.encode import EncodeJob, Encoding, encode
from curation.media.sandbox import Limits
from curation.records import Clip, Source
from curation.render.source_file import open_scanned_source
from curation.storage import Storage

_LIMITS = Limits(cpu_s=60, wall_s=90)
_ENCODING = Encoding(preset="veryfast", crf=26, longest_side=640)
_MAX_BYTES = 2 << 30


class BusyError(ReelmillError):
    """Another preview is being cut; ask again in a moment."""


class Previews:
    """A folder of previews."""

    def __init__(self, folder: Path) -> None:
        self._storage = Storage.at(folder)
        self._lock = threading.Lock()

    def get(self, clip: Clip, source: Source) -> tuple[Storage, str]:
        """Storage and name of the preview of a clip.

        Raises `MediaError`, `UnavailableError`, and `BusyError` while another one is being cut.
        """
        name = f"{clip.clip_id}.mp4"
        if self._storage.size(name) is None:
            if not self._lock.acquire(timeout=2.0):
                raise BusyError
            try:
                if self._storage.size(name) is None:
                    self._cut(clip, source, name)
            finally:
                self._lock.release()
        with contextlib.suppress(OSError):
            os.utime(self._storage.uri(name))
        return self._storage, name

    def expire(self, days: float) -> int:
        """Deletes the previews that nobody has watched for so many days; returns their number."""
        count = 0
        for file in Path(self._storage.root).glob("*.mp4"):
            with contextlib.suppress(FileNotFoundError):
                if file.stat().st_mtime < time.time() - days * 86_400:
                    file.unlink()
                    count += 1
        return count

    def _cut(self, clip: Clip, source: Source, name: str) -> None:
        size = _ENCODING.size(source.width or 2, source.height or 2)
        with open_scanned_source(source) as path, self._storage.atomic_write(name) as target:
            job = EncodeJob(target, Span.of(clip, source), size)
            encode(path, job, _ENCODING, _LIMITS)
        files = sorted(Path(self._storage.root).glob("*.mp4"), key=lambda p: p.stat().st_mtime)
        total_bytes = sum(file.stat().st_size for file in files)
        for oldest in files[:-1]:
            if total_bytes <= _MAX_BYTES:
                return
            total_bytes -= oldest.stat().st_size
            oldest.unlink(missing_ok=True)
