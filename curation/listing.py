"""What a user points at: folders, files, lists of paths, S3 prefixes. No byte of video is read."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow.parquet as pq
from pyarrow import fs

from curation.media.allow import VIDEO_SUFFIXES
from curation.storage import Storage

_LIST_SUFFIXES = (".txt", ".csv", ".parquet")
_PATH_COLUMNS = ("uri", "path", "file", "video", "url")


@dataclass(frozen=True)
class Entry:
    """One listed input."""

    uri: str
    """Absolute local path or `s3://` address."""
    size_bytes: int = 0
    modified: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Changes when the file does, so that a rerun can skip it unread."""
        return f"{self.uri}|{self.size_bytes}|{self.modified}"


class ListingError(ValueError):
    """What was pointed at cannot be listed."""


def list_inputs(places: Iterable[str]) -> list[Entry]:
    """Every input under the given places, each once, sorted by address.

    A folder gives the files in it whose names end like a video's, at any depth. A text file gives
    one path a line; a CSV or Parquet file the column `uri` (or `path`, `file`, `video`, `url`), and
    its other columns as `extra`. Anything else is an input itself. Relative paths in a list are
    looked up beside the list.
    """
    found: dict[str, Entry] = {}
    for place in places:
        for entry in _entries(place):
            found.setdefault(entry.uri, entry)
    return [found[uri] for uri in sorted(found)]


def _entries(place: str) -> Iterator[Entry]:
    storage = Storage.at(place)
    info = storage.filesystem.get_file_info(storage.path(""))
    if info.type == fs.FileType.Directory:
        yield from _folder(storage)
    elif info.type == fs.FileType.NotFound and storage.is_s3:
        raise ListingError(f"nothing at {place}")
    elif info.type == fs.FileType.NotFound and not os.path.lexists(storage.root):
        raise ListingError(f"no such file or folder: {storage.root}")
    elif PurePosixPath(storage.root).suffix.lower() in _LIST_SUFFIXES:
        with storage.local() as path:
            yield from _list_file(path, storage)
    else:
        yield entry_at(storage.root, {})


def _folder(storage: Storage) -> Iterator[Entry]:
    if storage.is_s3:
        selector = fs.FileSelector(storage.path(""), recursive=True)
        for info in storage.filesystem.get_file_info(selector):
            if info.type == fs.FileType.File and _looks_like_video(info.path):
                yield Entry(f"s3://{info.path}", int(info.size), _time(info))
        return
    for folder, names, files in os.walk(storage.root):
        names.sort()
        for name in sorted(names + files):
            if _looks_like_video(name) and not name.startswith("."):
                yield entry_at(os.path.join(folder, name), {})


def _looks_like_video(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def _list_file(path: str, storage: Storage) -> Iterator[Entry]:
    base = storage.root.rsplit("/", 1)[0]
    for row in _rows(path, storage.root):
        place = row.pop("")
        if "://" not in place and not os.path.isabs(place):
            place = f"{base}/{place}"
        yield entry_at(Storage.at(place).root, row)


def _rows(path: str, name: str) -> Iterator[dict[str, str]]:
    """Rows of a list file as text, the path under the empty name."""
    if name.lower().endswith(".txt"):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.strip() and not line.startswith("#"):
                    yield {"": line.strip()}
        return
    rows: Iterable[dict[str, Any]]
    if name.lower().endswith(".csv"):
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = pq.read_table(path).to_pylist()
    for row in rows:
        column = next((c for c in _PATH_COLUMNS if row.get(c)), None)
        if column is None:
            raise ListingError(
                f"{name}: needs a column named one of {', '.join(_PATH_COLUMNS)}; "
                f"it has {', '.join(map(str, row))}"
            )
        rest = {str(k): str(v) for k, v in row.items() if k != column and v not in (None, "")}
        yield {"": str(row[column]), **rest}


def entry_at(uri: str, extra: dict[str, str]) -> Entry:
    """The entry for one file; one that cannot be looked at gets size 0, and scan says why."""
    if uri.startswith("s3://"):
        storage = Storage.at(uri)
        info = storage.filesystem.get_file_info(storage.path(""))
        size = int(info.size or 0) if info.type == fs.FileType.File else 0
        return Entry(uri, size, _time(info), extra)
    try:
        status = os.stat(uri)
        size, modified = status.st_size, str(status.st_mtime_ns)
    except OSError:
        size, modified = 0, ""
    return Entry(uri, size, modified, extra)


def _time(info: fs.FileInfo) -> str:
    return str(info.mtime_ns) if info.mtime_ns is not None else ""
