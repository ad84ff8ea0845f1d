"""The folder of an index, and that its files are what they were when they were written.

An index is written and read on one machine: in `OUT/search`, or for an output on S3 in the user's
cache. faiss trusts what it reads, so a file is opened only after its sha256 was compared with the
manifest's, and no option names an index from elsewhere.
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
from curation.search.manifest import File, Manifest
from curation.storage import Storage, file_sha256

_FILES = "files"
_THREADS = 4


class DamagedIndexError(ReelmillError):
    """Files of the index are not those that were written; it has to be rebuilt."""


@dataclass(frozen=True)
class IndexStore:
    """The folder of one output's index."""

    root: Path

    @classmethod
    def of(cls, storage: Storage) -> IndexStore:
        """Inside a local output; in the user's cache for one on S3."""
        if not storage.is_remote:
            return cls(Path(storage.uri("search")))
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        name = hashlib.sha256(storage.root.encode()).hexdigest()[:16]
        return cls(Path(cache) / "reelmill" / "search" / name)

    @property
    def _manifest_path(self) -> Path:
        return self.root / "manifest.json"

    @property
    def mtime(self) -> tuple[int, int] | None:
        """Time in ns and inode of the manifest, which change with it; None without one."""
        try:
            status = os.stat(self._manifest_path)
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino

    def path(self, file: File) -> str:
        """The path of a file."""
        return str(self.root / file.name)

    def read_manifest(self) -> Manifest | None:
        """The manifest; None if there is none, `DamagedIndexError` if it cannot be read."""
        try:
            return Manifest.from_json(self._manifest_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DamagedIndexError(f"{self._manifest_path}: {error}") from error

    def verify(self, files: list[File]) -> None:
        """Raises `DamagedIndexError` unless each file is there, whole and unchanged."""
        with ThreadPoolExecutor(_THREADS) as pool:
            for message in pool.map(self._damage, files):
                if message:
                    raise DamagedIndexError(message)

    def _damage(self, file: File) -> str | None:
        path = self.root / file.name
        if os.path.isabs(file.name) or ".." in Path(file.name).parts or path.is_symlink():
            return f"the manifest names {file.name}, which is no file of the index"
        try:
            size_bytes = path.stat().st_size
            if size_bytes != file.size_bytes:
                return f"{path} has {size_bytes} bytes, not {file.size_bytes}"
            digest = file_sha256(str(path))
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
        return None if digest == file.sha256 else f"{path} is not what was written: sha256 {digest}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from changing the index meanwhile."""
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / "lock", "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def write(self, suffix: str, write_to: Callable[[str], None]) -> File:
        """The file that `write_to` writes to the path it receives, named by its digest."""
        folder = self.root / _FILES
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{secrets.token_hex(8)}{suffix}"
        try:
            write_to(str(temporary))
            digest = file_sha256(str(temporary))
            file = File(f"{_FILES}/{digest[:32]}{suffix}", digest, temporary.stat().st_size)
            os.replace(temporary, self.root / file.name)
        finally:
            temporary.unlink(missing_ok=True)
        return file

    def publish(self, manifest: Manifest) -> None:
        """Replaces the manifest; what a reader of the one before has open stays readable."""
        temporary = self.root / f".{secrets.token_hex(4)}-manifest.json"
        temporary.write_text(manifest.to_json(), encoding="utf-8")
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, self._manifest_path)

    def sweep(self, *manifests: Manifest) -> None:
        """Removes the files that none of these manifests names."""
        names = {str(self.root / f.name) for manifest in manifests for f in manifest.files()}
        folders = {manifest.text.folder for manifest in manifests if manifest.text}
        for path in (self.root / _FILES).glob("*"):
            if str(path) not in names:
                path.unlink(missing_ok=True)
        for path in self.root.glob("words-*"):
            if path.name not in folders:
                shutil.rmtree(path, ignore_errors=True)
