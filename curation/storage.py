"""File storage: a local folder or a prefix of an object store behind one interface.

Object stores are `s3://` (Amazon and what is compatible), `gs://` (Google) and `az://` (Azure, with
the container in the bucket's place). Credentials come from each one's usual variables:

    s3://  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL
    gs://  GOOGLE_APPLICATION_CREDENTIALS; STORAGE_EMULATOR_HOST for an emulator
    az://  AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY; AZURITE_BLOB_STORAGE_URL for an
           emulator

One file at an `https://` address can be read as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

import pyarrow as pa
from pyarrow import fs

from curation import object_stores, web_files
from curation.errors import InfrastructureError, ReelmillError
from curation.object_stores import STORES, store_scheme

_CHUNK = 1 << 20
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


class AddressError(ReelmillError, ValueError):
    """An address that cannot be used; the message says why, and what can."""


@dataclass(frozen=True)
class Storage:
    """A folder of tables and media. Small and picklable: workers open their own connections."""

    root: str
    """Absolute local path, or `s3://bucket/prefix` and the like; no slash at the end."""

    @classmethod
    def at(cls, address: str | os.PathLike[str]) -> Storage:
        """The storage at a path (made absolute), a `file://` address or one of an object store.

        Raises `AddressError` for any other scheme, which would become a folder of that name, and
        for an empty address, which would be the working folder.
        """
        text = os.fspath(address)
        if not text or "\0" in text:
            raise AddressError("an empty address" if not text else f"{text!r} holds a zero byte")
        if scheme := store_scheme(text):
            if not text.removeprefix(scheme).partition("/")[0]:
                raise AddressError(f"{text}: names no bucket; write it as {scheme}BUCKET/PREFIX")
            return cls(text.rstrip("/"))
        if text.startswith("file://"):
            host, slash, path = text[len("file://") :].partition("/")
            if host not in ("", "localhost") or not slash:
                raise AddressError(f"{text}: write it as file:///PATH, with three slashes")
            return cls(os.path.abspath(os.fsdecode(unquote_to_bytes(slash + path))))
        if web_files.is_web(text):
            if problem := web_files.problem(text):
                raise AddressError(f"{text}: {problem}")
            return cls(text)
        if _SCHEME.match(text):
            raise AddressError(
                f"{text}: only local paths, https://, {STORES} addresses can be used"
            )
        return cls(os.path.abspath(os.path.expanduser(text)))

    @property
    def scheme(self) -> str:
        """That of its object store, such as `s3://`; empty for a local folder."""
        return store_scheme(self.root)

    @property
    def is_remote(self) -> bool:
        """Whether it is an object store."""
        return bool(self.scheme)

    @property
    def is_web(self) -> bool:
        """Whether it is a file at an `https://` address."""
        return web_files.is_web(self.root)

    @property
    def filesystem(self) -> fs.FileSystem:
        """The Arrow filesystem to read and write it with; raises `AddressError` for the web."""
        if self.is_web:
            raise AddressError(f"{self.root}: such an address can only be an input")
        return object_stores.filesystem(self.scheme) if self.is_remote else fs.LocalFileSystem()

    @property
    def delta_options(self) -> dict[str, str] | None:
        """Storage options of the Delta library."""
        return object_stores.delta_options(self.scheme) if self.is_remote else None

    def uri(self, relative: str) -> str:
        """Address of a file or table, for other libraries."""
        return f"{self.root}/{relative}" if relative else self.root

    def path(self, relative: str) -> str:
        """The same, as the Arrow filesystem expects it."""
        return self.uri(relative).removeprefix(self.scheme)

    def table_uri(self, relative: str) -> str:
        """The same, as the Delta library expects it: that of an object store is a URL."""
        if not self.is_remote:
            return self.uri(relative)
        bucket, _, key = self.path(relative).partition("/")
        return f"{self.scheme}{bucket}/{quote(key, safe='/')}"

    def size(self, relative: str) -> int | None:
        """Bytes of a file, or None if there is none."""
        with storage_faults():
            info = self.filesystem.get_file_info(self.path(relative))
        return int(info.size) if info.type == fs.FileType.File else None

    def remove_partial_files(self, relative: str) -> None:
        """Removes what interrupted writes left below a folder of local storage."""
        if not self.is_remote:
            for path in Path(self.uri(relative)).rglob(".????????-*"):
                path.unlink(missing_ok=True)

    def sha256(self, relative: str) -> str:
        """SHA-256 of a file, as hex."""
        path = self.path(relative)
        with storage_faults(), self.filesystem.open_input_stream(path) as stream:
            return stream_sha256(stream)

    @contextlib.contextmanager
    def local_path(self, relative: str = "") -> Iterator[str]:
        """A local path to read a file from; a temporary copy if it is in a store.

        Raises `FileNotFoundError`, also for a key that no client can request.
        """
        if self.is_web:
            with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
                target = os.path.join(folder, "copy" + web_files.suffix(self.root)[:16])
                web_files.copy_to(self.root, target)
                yield target
            return
        if not self.is_remote:
            yield self.uri(relative)
            return
        if "" in self.path(relative).split("/"):
            raise FileNotFoundError(f"a part of the key is empty: {self.uri(relative)}")
        with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
            target = os.path.join(folder, "copy" + Path(relative or self.root).suffix[:16])
            with (
                storage_faults(),
                self.filesystem.open_input_stream(self.path(relative)) as source,
                open(target, "wb") as sink,
            ):
                shutil.copyfileobj(source, sink, _CHUNK)
            yield target

    @contextlib.contextmanager
    def atomic_write(self, relative: str) -> Iterator[str]:
        """A temporary local path that becomes the file when the block succeeds: all or nothing."""
        with self.temporary_path(relative) as temporary:
            yield temporary
            self.publish(temporary, relative)

    @contextlib.contextmanager
    def temporary_path(self, relative: str) -> Iterator[str]:
        """A local path where a file may be written before it is published, and gone afterwards."""
        if self.is_remote:
            with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
                yield os.path.join(folder, Path(relative).name)
            return
        target = Path(self.uri(relative))
        temporary = str(target.with_name(f".{secrets.token_hex(4)}-{target.name}"))
        with storage_faults():
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "xb"):  # an unwritable folder is not the writer's fault
                pass
            os.unlink(temporary)
        try:
            yield temporary
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def publish(self, temporary: str, relative: str) -> None:
        """Makes what was written at a temporary path the file, all or nothing."""
        if self.is_remote:
            with storage_faults():
                self._upload(temporary, relative)
            return
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, self.uri(relative))

    def _upload(self, temporary: str, relative: str) -> None:
        """Uploads a file; the truncated object that an interrupted upload leaves is removed."""
        try:
            with (
                open(temporary, "rb") as source,
                self.filesystem.open_output_stream(self.path(relative)) as sink,
            ):
                shutil.copyfileobj(source, sink, _CHUNK)
        except BaseException:
            with contextlib.suppress(OSError):
                self.filesystem.delete_file(self.path(relative))
            raise


@contextlib.contextmanager
def storage_faults(what: str = "storage") -> Iterator[None]:
    """Turns errors of a disk or an object store into `InfrastructureError`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise InfrastructureError(f"{what}: {one_line(error)}") from error


_DECORATION = re.compile(r"\x1b\[[0-9;]*m|↳|\n\s*\d+: [^\n]*|\n\s*start_thread")


def one_line(error: BaseException) -> str:
    """A library's error in one line, without colours and backtrace."""
    return " ".join(_DECORATION.sub("", str(error)).split())


def utf8_path(path: str) -> str:
    """A path as UTF-8 text: one that is not valid UTF-8 as an escaped `file://` address."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(path))
    return path


def stream_sha256(stream: Any) -> str:
    """SHA-256 of a readable stream, as hex."""
    state = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        state.update(chunk)
    return state.hexdigest()


def file_sha256(path: str) -> str:
    """SHA-256 of a local file, as hex."""
    with open(path, "rb") as file:
        return stream_sha256(file)
