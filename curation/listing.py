"""What a user points at: folders, files, lists of paths, S3 prefixes. No byte of video is read."""

from __future__ import annotations

import csv
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from curation.media.allow import VIDEO_SUFFIXES
from curation.storage import Storage, address, storage_faults

_LIST_SUFFIXES = (".txt", ".csv", ".parquet")
_PATH_COLUMNS = ("uri", "path", "file", "video", "url")
_SCHEMES = ("s3://", "file://")


@dataclass(frozen=True)
class Entry:
    """One listed input."""

    uri: str
    """Absolute local path or `s3://` address; a path that is no UTF-8 as an escaped `file://`."""
    size_bytes: int = 0
    modified: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    """Why it cannot be read, where its name alone says so."""

    @property
    def key(self) -> str:
        """Changes when the file does, so that a rerun can skip it unread."""
        return f"{self.uri}|{self.size_bytes}|{self.modified}"


class ListingError(ValueError):
    """What was pointed at cannot be listed."""


def list_inputs(places: Iterable[str], outside: str = "") -> list[Entry]:
    """Every input under the given places, each once, sorted by address.

    A folder gives the files in it whose names end like a video's, at any depth (links to folders
    are not followed). A text file gives one path a line, but for lines that start with `#`; a CSV
    or Parquet file the column `uri` (or `path`, `file`, `video`, `url`), and its other columns as
    `extra`. Anything else is an input itself. Relative paths in a list are looked up beside the
    list. What lies under `outside`, the output folder, is no input. Raises `ListingError`.
    """
    own = Storage.at(outside).root + "/" if outside else None
    found: dict[str, Entry] = {}
    for place in places:
        for entry in _entries(place):
            if own is None or not entry.uri.startswith(own):
                found.setdefault(entry.uri, entry)
    return [found[uri] for uri in sorted(found)]


def _entries(place: str) -> Iterator[Entry]:
    if _unknown_scheme(place):
        raise ListingError(f"{place}: only local paths and s3:// addresses can be read")
    storage = Storage.at(place)
    kind = _kind(storage)
    if kind == fs.FileType.Directory:
        yield from _folder_s3(storage) if storage.is_s3 else _folder(storage)
    elif kind == fs.FileType.NotFound:
        what = "nothing at" if storage.is_s3 else "no such file or folder:"
        raise ListingError(f"{what} {address(storage.root)}")
    elif PurePosixPath(storage.root).suffix.lower() in _LIST_SUFFIXES:
        yield from _list_file(storage)
    else:
        yield entry_at(storage.root, {})


def _kind(storage: Storage) -> fs.FileType:
    if storage.is_s3:
        with storage_faults():
            return storage.filesystem.get_file_info(storage.path("")).type
    if os.path.isdir(storage.root):
        return fs.FileType.Directory
    return fs.FileType.File if os.path.lexists(storage.root) else fs.FileType.NotFound


def _folder_s3(storage: Storage) -> Iterator[Entry]:
    with storage_faults():
        listed = storage.filesystem.get_file_info(fs.FileSelector(storage.path(""), recursive=True))
    for info in listed:
        if info.type == fs.FileType.File and _looks_like_video(info.base_name):
            yield Entry(f"s3://{info.path}", int(info.size), _time(info))


def _folder(storage: Storage) -> Iterator[Entry]:
    def refuse(error: OSError) -> None:
        raise ListingError(f"cannot list {error.filename}: {error.strerror}")

    for folder, names, files in os.walk(storage.root, onerror=refuse):
        names.sort()
        for name in sorted(names + files):
            if _looks_like_video(name):
                yield entry_at(os.path.join(folder, name), {})


def _looks_like_video(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")


def _unknown_scheme(place: str) -> bool:
    return "://" in place and not place.startswith(_SCHEMES)


def _list_file(storage: Storage) -> Iterator[Entry]:
    base, name = storage.root.rsplit("/", 1)
    with storage.local() as path:
        try:
            rows = list(_rows(path, name))
        except (csv.Error, OSError, pa.ArrowException, ListingError) as error:
            raise ListingError(f"{address(storage.root)}: {error}") from error
    for place, extra in rows:
        if _unknown_scheme(place):
            words = "only local paths and s3:// addresses can be read"
            yield Entry(address(place), extra=extra, problem=words)
        elif place.startswith(_SCHEMES) or os.path.isabs(place):
            yield entry_at(Storage.at(place).root, extra)
        else:
            yield entry_at(_beside(base, place), extra)


def _beside(base: str, place: str) -> str:
    if base.startswith("s3://"):
        return "s3://" + posixpath.normpath(f"{base[len('s3://') :]}/{place}")
    return Storage.at(f"{base}/{place}").root


def _rows(path: str, name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The path in each row of a list file, and the other columns as text."""
    kind = PurePosixPath(name).suffix.lower()
    if kind == ".parquet":
        table = pq.read_table(path)
        yield from _columns(enumerate(table.to_pylist(), 1), table.column_names)
        return
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        if "\0" in file.read():
            raise ListingError("holds zero bytes; a list has to be UTF-8 text")
        file.seek(0)
        if kind == ".csv":
            reader = csv.DictReader(file)
            rows = ((reader.line_num, row) for row in reader)
            yield from _columns(rows, reader.fieldnames or [])
            return
        for line in file.read().split("\n"):
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip(), {}


def _columns(
    rows: Iterable[tuple[int, dict[str, Any]]], names: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    column = next((name for name in _PATH_COLUMNS if name in names), None)
    if column is None:
        there = ", ".join(names) or "none"
        raise ListingError(
            f"needs a column named one of {', '.join(_PATH_COLUMNS)}; it has {there}"
        )
    for number, row in rows:
        if None in row:
            raise ListingError(f"line {number} has more cells than the header")
        place = row.pop(column)
        if not place:
            raise ListingError(f"row {number} has nothing under {column!r}")
        yield str(place), {name: _text(value) for name, value in row.items() if value or value == 0}


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def entry_at(uri: str, extra: dict[str, str]) -> Entry:
    """The entry for one file; one that cannot be looked at gets size 0, and scan says why."""
    if uri.startswith("s3://"):
        storage = Storage.at(uri)
        with storage_faults():
            info = storage.filesystem.get_file_info(storage.path(""))
        size = int(info.size or 0) if info.type == fs.FileType.File else 0
        return Entry(uri, size, _time(info), extra)
    try:
        status = os.stat(uri)
        size, modified = status.st_size, str(status.st_mtime_ns)
    except (OSError, ValueError):
        size, modified = 0, ""
    stored = address(uri)
    problem = "" if stored == uri else "its name is no UTF-8 text; rename it"
    return Entry(stored, size, modified, extra, problem)


def _time(info: fs.FileInfo) -> str:
    return str(info.mtime_ns) if info.mtime_ns is not None else ""
