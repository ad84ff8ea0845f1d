"""A folder of this machine that keeps what was fetched from an object store.

A file holds one range of bytes of one file of a table; files of tables never change, so the name
says all: file, offset, length. They appear whole or not at all, and processes share the folder.
When it outgrows its limit, the files that nobody has read for longest go first.
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
"""How often the folder is counted while as much is written as it may hold: others write as well."""


class DiskCache:
    """Byte ranges by name, up to a limit that other processes may exceed by a sixteenth each."""

    def __init__(self, folder: str | os.PathLike[str], limit_bytes: int) -> None:
        self._folder = Path(folder)
        self._limit = limit_bytes
        self._since_count = limit_bytes
        self._lock = threading.Lock()

    def __getstate__(self) -> tuple[Path, int]:
        return self._folder, self._limit

    def __setstate__(self, state: tuple[Path, int]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def get(self, name: str) -> Any:
        """The bytes as an Arrow buffer, a view of the page cache; None if they are not here."""
        path = self._path(name)
        try:
            with pa.memory_map(str(path)) as file:
                found = file.read_buffer()
            os.utime(path)
        except OSError:
            return None
        return found

    def put(self, name: str, content: Any) -> None:
        """Keeps the bytes, unless the disk does not take them."""
        path = self._path(name)
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
            self._since_count += len(content)
            if self._since_count > self._limit // _RECOUNTS:
                self._shrink()

    def _path(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self._folder / digest[:2] / digest[2:40]

    def _shrink(self) -> None:
        """Removes the files that were read longest ago until the rest fit with room for some."""
        found = []
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(OSError):
                facts = path.stat()
                found.append((facts.st_mtime_ns, facts.st_size, path))
        held = sum(size for _, size, _ in found)
        room = self._limit - self._limit // _RECOUNTS
        for _, size, path in sorted(found):
            if held <= room:
                break
            path.unlink(missing_ok=True)
            held -= size
        self._since_count = 0
