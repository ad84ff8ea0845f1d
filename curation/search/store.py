"""Where an index lies, and that its files are what they were when they were written.

An index is made here and read here only: in `OUT/search`, or for an output on S3 in the user's
cache. faiss trusts what it reads, so a file is opened only after its sha256 was compared with the
manifest's, and nobody can name an index from elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from curation.errors import ReelmillError
from curation.search import manifest
from curation.search.manifest import File, Manifest
from curation.storage import Storage, file_sha256

MANIFEST = "manifest.json"
_FILES = "files"
_THREADS = 4


class DamagedIndexError(ReelmillError):
    """Files of the index are not those that were written; it has to be made anew."""


@dataclass(frozen=True)
class Folder:
    """The folder of one output's index."""

    root: Path

    @classmethod
    def of(cls, storage: Storage) -> Folder:
        """Inside a local output; in the user's cache for one on S3."""
        if not storage.is_s3:
            return cls(Path(storage.uri("search")))
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        name = hashlib.sha256(storage.root.encode()).hexdigest()[:16]
        return cls(Path(cache) / "reelmill" / "search" / name)

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Changes whenever the manifest does; None without one."""
        try:
            status = os.stat(self.root / MANIFEST)
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino

    def path(self, file: File) -> str:
        """Where a file lies."""
        return str(self.root / file.name)

    def read(self) -> Manifest | None:
        """The manifest; None if there is none, `DamagedIndexError` if it cannot be read."""
        try:
            return manifest.read((self.root / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DamagedIndexError(f"{self.root / MANIFEST}: {error}") from error

    def check(self, files: list[File]) -> None:
        """Raises `DamagedIndexError` unless each file is there, whole and unchanged."""
        with ThreadPoolExecutor(_THREADS) as pool:
            for words in pool.map(self._damage, files):
                if words:
                    raise DamagedIndexError(words)

    def _damage(self, file: File) -> str | None:
        path = self.root / file.name
        if os.path.isabs(file.name) or ".." in Path(file.name).parts or path.is_symlink():
            return f"the manifest names {file.name}, which is no file of the index"
        try:
            if path.stat().st_size != file.size_bytes:
                return f"{path} has {path.stat().st_size} bytes, not {file.size_bytes}"
            found = file_sha256(str(path))
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
        return None if found == file.sha256 else f"{path} is not what was written: sha256 {found}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from changing the index meanwhile."""
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / "lock", "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def write(self, suffix: str, make: Callable[[str], None]) -> File:
        """The file that `make` writes to the path it is given, named by its digest."""
        folder = self.root / _FILES
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{secrets.token_hex(8)}{suffix}"
        try:
            make(str(temporary))
            digest = file_sha256(str(temporary))
            found = File(f"{_FILES}/{digest[:32]}{suffix}", digest, temporary.stat().st_size)
            os.replace(temporary, self.root / found.name)
        finally:
            temporary.unlink(missing_ok=True)
        return found

    def publish(self, found: Manifest) -> None:
        """Replaces the manifest; what a reader of the one before has open stays readable."""
        temporary = self.root / f".{secrets.token_hex(4)}-{MANIFEST}"
        temporary.write_text(found.written(), encoding="utf-8")
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, self.root / MANIFEST)

    def sweep(self, *current: Manifest | None) -> None:
        """Removes the files that none of these manifests names."""
        kept = {str(self.root / f.name) for m in current if m for f in m.files()}
        folders = {m.words.folder for m in current if m and m.words}
        for path in (self.root / _FILES).glob("*"):
            if str(path) not in kept:
                path.unlink(missing_ok=True)
        for path in self.root.glob("words-*"):
            if path.name not in folders:
                shutil.rmtree(path, ignore_errors=True)
