"""Where bytes lie: a local folder or an `s3://` prefix, behind one small face.

S3 takes its credentials, region and endpoint from the usual `AWS_*` variables.
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
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

import pyarrow as pa
from pyarrow import fs

from curation.errors import InfrastructureError, ReelmillError

_CHUNK = 1 << 20
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


class PlaceError(ReelmillError, ValueError):
    """A place that cannot be used; the message says why, and what can."""


@dataclass(frozen=True)
class Storage:
    """A folder that holds tables and media. Small and picklable: workers make their own handles."""

    root: str
    """Absolute local path, or `s3://bucket/prefix`; no slash at the end."""

    @classmethod
    def at(cls, place: str | os.PathLike[str]) -> Storage:
        """The storage at a path (made absolute), a `file://` or an `s3://` address.

        Raises `PlaceError` for any other scheme, which would otherwise become a folder of that
        name, and for an empty place, which would be the working folder.
        """
        text = os.fspath(place)
        if not text or "\0" in text:
            raise PlaceError("an empty place" if not text else f"{text!r} holds a zero byte")
        if text.startswith("s3://"):
            if not text[len("s3://") :].partition("/")[0]:
                raise PlaceError(f"{text}: names no bucket; write it as s3://BUCKET/PREFIX")
            return cls(text.rstrip("/"))
        if text.startswith("file://"):
            return cls(os.path.abspath(_file_url(text)))
        if _SCHEME.match(text):
            raise PlaceError(f"{text}: only local paths and s3:// addresses can be used")
        return cls(os.path.abspath(os.path.expanduser(text)))

    @property
    def is_s3(self) -> bool:
        """Whether it is an object store."""
        return self.root.startswith("s3://")

    @property
    def filesystem(self) -> fs.FileSystem:
        """The Arrow filesystem that reaches it."""
        return _s3() if self.is_s3 else fs.LocalFileSystem()

    @property
    def delta_options(self) -> dict[str, str] | None:
        """What the Delta library needs to reach it."""
        if not self.is_s3:
            return None
        options = {"aws_conditional_put": "etag"}
        if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
            options["aws_allow_http"] = "true"
        return options

    def uri(self, relative: str) -> str:
        """Address of a file or table, for other libraries."""
        return f"{self.root}/{relative}" if relative else self.root

    def path(self, relative: str) -> str:
        """The same as the Arrow filesystem wants it."""
        return self.uri(relative).removeprefix("s3://")

    def table_uri(self, relative: str) -> str:
        """The same as the Delta library wants it, which reads an S3 address as a URL."""
        if not self.is_s3:
            return self.uri(relative)
        bucket, _, key = self.path(relative).partition("/")
        return f"s3://{bucket}/{quote(key, safe='/')}"

    def size(self, relative: str) -> int | None:
        """Bytes of a file, or None if there is none."""
        with storage_faults():
            info = self.filesystem.get_file_info(self.path(relative))
        return int(info.size) if info.type == fs.FileType.File else None

    def drop_partial(self, relative: str) -> None:
        """Removes what writes that were cut short left below a folder of local storage."""
        if not self.is_s3:
            for path in Path(self.uri(relative)).rglob(".????????-*"):
                path.unlink(missing_ok=True)

    def sha256(self, relative: str) -> str:
        """Digest of a file."""
        with (
            storage_faults(),
            self.filesystem.open_input_stream(self.path(relative)) as stream,
        ):
            return digest(stream)

    @contextlib.contextmanager
    def local(self, relative: str = "") -> Iterator[str]:
        """A local path under which a file can be read; a temporary copy if it lies on S3.

        Raises `FileNotFoundError`, also for a key that no client can ask for.
        """
        if not self.is_s3:
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
    def writing(self, relative: str) -> Iterator[str]:
        """A temporary local path that becomes the file, whole, when the block ends well."""
        if self.is_s3:
            with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
                temporary = os.path.join(folder, Path(relative).name)
                yield temporary
                with storage_faults():
                    self._upload(temporary, relative)
            return
        target = Path(self.uri(relative))
        temporary = str(target.with_name(f".{secrets.token_hex(4)}-{target.name}"))
        with storage_faults():
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "xb"):  # a place that refuses files is no fault of what writes one
                pass
            os.unlink(temporary)
        try:
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def _upload(self, temporary: str, relative: str) -> None:
        """An upload that is cut short would leave what it has got to as the file: remove that."""
        whole = False
        try:
            with (
                open(temporary, "rb") as source,
                self.filesystem.open_output_stream(self.path(relative)) as sink,
            ):
                shutil.copyfileobj(source, sink, _CHUNK)
                whole = True
        finally:
            if not whole:
                with contextlib.suppress(OSError):
                    self.filesystem.delete_file(self.path(relative))


def _s3() -> fs.FileSystem:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID")
    return _s3_client(region, *(os.environ.get(name, "") for name in names))


@cache
def _s3_client(region: str, endpoint: str, _identity: str) -> fs.FileSystem:
    """One client a process for each place and user."""
    settings: dict[str, Any] = {"region": region} if region else {}
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        settings |= {"scheme": scheme, "endpoint_override": host}
    return fs.S3FileSystem(**settings)


def _file_url(text: str) -> str:
    """The path of a `file://` address."""
    host, slash, path = text[len("file://") :].partition("/")
    if host not in ("", "localhost") or not slash:
        raise PlaceError(f"{text}: write it as file:///PATH, with three slashes")
    return os.fsdecode(unquote_to_bytes(slash + path))


@contextlib.contextmanager
def storage_faults(what: str = "storage") -> Iterator[None]:
    """Turns what a disk or an object store raises into a fault of the surroundings."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise InfrastructureError(f"{what}: {plain(error)}") from error


_ORNAMENT = re.compile(r"\x1b\[[0-9;]*m|↳|\n\s*\d+: [^\n]*|\n\s*start_thread")


def plain(error: Exception) -> str:
    """A library's error in one line, without colours and backtrace."""
    return " ".join(_ORNAMENT.sub("", str(error)).split())


def address(path: str) -> str:
    """A path as text that can be stored: one whose name is no UTF-8 as an escaped `file://`."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(path))
    return path


def digest(stream: Any) -> str:
    """sha256 of a readable stream, as hex."""
    state = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        state.update(chunk)
    return state.hexdigest()


def file_sha256(path: str) -> str:
    """sha256 of a local file, as hex."""
    with open(path, "rb") as file:
        return digest(file)
