"""What a user points at: folders, files, lists of paths, S3 prefixes. No byte of video is read.

In a folder, what is no video by its name is passed over, and counted by why.
"""

from __future__ import annotations

import csv
import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from curation.errors import ReelmillError
from curation.media.allowlist import VIDEO_SUFFIXES
from curation.storage import PlaceError, Storage, address, storage_faults

_LIST_SUFFIXES = (".txt", ".csv", ".parquet")
_PATH_COLUMNS = ("uri", "path", "file", "video", "url")
_SCHEMES = ("s3://", "file://")
NO_ENDING, HIDDEN, LINKED, OTHER = "no ending", "hidden", "linked folder", "other endings"
_LONGEST_ENDING = 16
_MOST_KINDS = 50
"""Endings that are counted apart, the most frequent; a numbered sequence has one a file."""


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
    place: str = field(default="", compare=False)
    """The folder, list or file that was pointed at."""

    @property
    def key(self) -> str:
        """Changes when the file does, so that a rerun can skip it unread."""
        return f"{self.uri}|{self.size_bytes}|{self.modified}"


class ListingError(ReelmillError, ValueError):
    """What was pointed at cannot be listed."""


@dataclass(frozen=True)
class Listing:
    """What lay under the places that were pointed at."""

    entries: list[Entry]
    """Every input once, sorted by address."""
    passed_over: Mapping[str, Counter[str]]
    """For each place how many files were no input: by ending, such as `.txt`, or `no ending`,
    `hidden` (the name starts with a dot), `other endings`; and folders, `linked folder`."""


def list_inputs(places: Iterable[str], outside: str = "") -> list[Entry]:
    """The entries of `listing`."""
    return listing(places, outside).entries


def listing(places: Iterable[str], outside: str = "") -> Listing:
    """Every input under the given places, each once, sorted by address.

    A folder gives the files in it whose names end like a video's, at any depth. Links to folders
    are not followed, for they may lead out of what was pointed at, or round in a circle; to have
    what lies behind one, point at it. A text file gives one path a line, but for lines that start
    with `#`; a CSV or Parquet file the column `uri` (or `path`, `file`, `video`, `url`), and its
    other columns as `extra`. Anything else is an input itself. Relative paths in a list are looked
    up beside the list. What lies under `outside`, the output folder, is no input. Raises
    `ListingError`.
    """
    own = Storage.at(outside).root + "/" if outside else ""
    found: dict[str, Entry] = {}
    passed: dict[str, Counter[str]] = {}
    for place in places:
        storage = _storage(place)
        root = address(storage.root)
        over = passed.setdefault(root, Counter())
        for entry in _entries(storage, own, over):
            if not own or not entry.uri.startswith(own):
                found.setdefault(entry.uri, replace(entry, place=root))
        passed[root] = _fewer(over)
    return Listing([found[uri] for uri in sorted(found)], passed)


def _fewer(over: Counter[str]) -> Counter[str]:
    """The most frequent kinds, and the others as one."""
    kept = Counter(dict(over.most_common(_MOST_KINDS)))
    others = over.total() - kept.total()
    return kept + Counter({OTHER: others})


def _storage(place: str) -> Storage:
    try:
        storage = Storage.at(place)
    except PlaceError as error:
        raise ListingError(str(error)) from error
    if problem := _s3_problem(storage.root):
        raise ListingError(f"{storage.root}: {problem}")
    return storage


def _entries(storage: Storage, own: str, over: Counter[str]) -> Iterator[Entry]:
    kind = _kind(storage)
    if kind == fs.FileType.Directory:
        folder = _folder_s3 if storage.is_s3 else _folder
        yield from folder(storage, own, over)
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


def _folder_s3(storage: Storage, own: str, over: Counter[str]) -> Iterator[Entry]:
    with storage_faults():
        listed = storage.filesystem.get_file_info(fs.FileSelector(storage.path(""), recursive=True))
    for info in listed:
        uri = f"s3://{info.path}"
        if info.type == fs.FileType.File and not (own and uri.startswith(own)):
            if why := _no_video(info.base_name):
                over[why] += 1
            elif _s3_problem(uri):
                yield entry_at(uri, {})
            else:
                yield Entry(uri, int(info.size), _time(info))


def _folder(storage: Storage, own: str, over: Counter[str]) -> Iterator[Entry]:
    def refuse(error: OSError) -> None:
        raise ListingError(f"cannot list {error.filename}: {error.strerror}")

    for folder, names, files in os.walk(storage.root, onerror=refuse):
        if own and f"{folder}/".startswith(own):
            names.clear()
            continue
        names.sort()
        shown = {name for name in names if not _no_video(name)}
        over[LINKED] += sum(os.path.islink(os.path.join(folder, n)) for n in set(names) - shown)
        for name in sorted([*shown, *files]):
            if why := _no_video(name):
                over[why] += 1
            else:
                yield entry_at(os.path.join(folder, name), {})


def _no_video(name: str) -> str:
    """Why a name is not that of a video; empty if it is."""
    if name.startswith("."):
        return HIDDEN
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return ""
    plain = address(suffix) == suffix and len(suffix) <= _LONGEST_ENDING
    return (suffix or NO_ENDING) if plain else OTHER


def _s3_problem(uri: str) -> str:
    """Why an object cannot be opened, though it can be listed; empty if it can."""
    parts = uri.removeprefix("s3://").split("/") if uri.startswith("s3://") else []
    if any(part in ("", ".", "..") for part in parts):
        return "a part of its key is empty, '.' or '..'; copy it to another key"
    return ""


def _list_file(storage: Storage) -> Iterator[Entry]:
    base, name = storage.root.rsplit("/", 1)
    with storage.local() as path:
        try:
            rows = list(_rows(path, name))
        except (csv.Error, OSError, pa.ArrowException, ListingError) as error:
            raise ListingError(f"{address(storage.root)}: {error}") from error
    for place, extra in rows:
        yield _row(base, place, extra)


def _row(base: str, place: str, extra: dict[str, str]) -> Entry:
    """The entry for one path of a list."""
    if "://" in place and not place.startswith(_SCHEMES):
        words = "only local paths and s3:// addresses can be read"
        return Entry(address(place), extra=extra, problem=words)
    try:
        whole = place.startswith(_SCHEMES) or os.path.isabs(place)
        return entry_at(Storage.at(place).root if whole else _beside(base, place), extra)
    except PlaceError as error:
        return Entry(address(place), extra=extra, problem=str(error))


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
    if problem := _s3_problem(uri):
        return Entry(uri, extra=extra, problem=problem)
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
