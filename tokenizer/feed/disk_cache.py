"""A local folder that caches byte ranges of files in an object store.

A cached file is one byte range of one file of a table. Files of tables never change, so file,
offset and length are the key. Cached files appear whole or not at all, and processes share the
folder. When it outgrows its limit, the least recently read files are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa

_RECOUNTS = 16
"""Times that the folder is counted while its limit is written: other processes write as well."""


class DiskCache:
    """Byte ranges by key, up to a limit that other processes may exceed by a sixteenth each."""

    def __init__(self, folder: str | os.PathLike[str], limit_bytes: int) -> None:
        self._folder = Path(folder)
        self._limit_bytes = limit_bytes
        self._uncounted_bytes = limit_bytes
        self._lock = threading.Lock()

    def __getstate__(self) -> tuple[Path, int]:
        return self._folder, self._limit_bytes

    def __setstate__(self, state: tuple[Path, int]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def get(self, key: str) -> Any:
        """The bytes as an Arrow buffer, a view of the page cache; None if they are not cached."""
        path = self._path(key)
        try:
            with pa.memory_map(str(path)) as file:
                content = file.read_buffer()
            os.utime(path)
        except OSError:
            return None
        return content

    def put(self, key: str, content: Any) -> None:
        """Caches the bytes; a disk that fails is ignored."""
        path = self._path(key)
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            return
        with self._lock:
            self._uncounted_bytes += len(content)
            if self._uncounted_bytes > self._limit_bytes // _RECOUNTS:
                self._evict()

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / digest[:2] / digest[2:40]

    def _evict(self) -> None:
        """Removes the least recently read files until a sixteenth of the limit is free."""
        files = []
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                files.append((stat.st_mtime_ns, stat.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._limit_bytes - self._limit_bytes // _RECOUNTS:
                break
            path.unlink(missing_ok=True)
            total -= size
        self._uncounted_bytes = 0
