"""Lists the inputs that a user names: folders, files, lists of paths, S3 prefixes.

No video is read. In a folder, files without a video's ending are skipped, and counted by kind.
"""

from __future__ import annotations

import contextlib
import csv
import json
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
from curation.storage import AddressError, Storage, storage_faults, utf8_path

LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".parquet")
"""Of files that are read as lists of inputs."""
_PATH_COLUMNS = ("uri", "path", "file", "video", "url", "file_name")
_METADATA = tuple(f"metadata{suffix}" for suffix in (".csv", ".jsonl", ".parquet"))
"""Lists inside a folder that describe its files, as in video folders of Hugging Face."""
_COLUMN_OF_METADATA = "file_name"
_SCHEMES = ("s3://", "file://")
NO_ENDING, HIDDEN, LINKED, OTHER = "no ending", "hidden", "linked folder", "other endings"
OUTSIDE = "links leading outside"
_MAX_ENDING = 16
_MAX_KINDS = 50
"""Endings that are counted apart, the most frequent; a numbered sequence has one per file."""


@dataclass(frozen=True)
class Entry:
    """One listed input."""

    uri: str
    """Absolute local path or `s3://` address; a path that is no UTF-8 as an escaped `file://`."""
    size_bytes: int = 0
    modified: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    """Why it cannot be read, where its name already shows it."""
    root: str = field(default="", compare=False)
    """The folder, list or file that was named."""

    @property
    def key(self) -> str:
        """Changes when the file does, so that a rerun can skip it unread."""
        return f"{self.uri}|{self.size_bytes}|{self.modified}"


class ListingError(ReelmillError, ValueError):
    """An address that cannot be listed."""


class NoPathColumnError(ListingError):
    """A list without a column of paths."""


@dataclass(frozen=True)
class Listing:
    """The inputs under the roots that were named."""

    entries: list[Entry]
    """Every input once, sorted by address."""
    skipped: Mapping[str, Counter[str]]
    """By root, how many files are no input: by ending, such as `.txt`, or `no ending`, `hidden`
    (the name starts with a dot), `other endings`; and folders, `linked folder`."""
    repeated: Sequence[str] = ()
    """Addresses that were listed more than once; the first listing counts, with its columns."""


def list_videos(
    addresses: Iterable[str], exclude: str = "", *, follow_links: bool = True
) -> Listing:
    """Every input under the addresses, each once, sorted by address.

    A folder gives the files in it whose names end like a video's, at any depth. Links to folders
    are not followed, since they may lead outside or in a circle; name their target instead. Its
    `metadata.csv`, `.jsonl` or `.parquet` with a column `file_name` gives the other columns as
    `extra` of its files. A text file gives one path per line, except lines that start with `#`; a
    CSV, TSV, JSON lines or Parquet file gives the column `uri` (or `path`, `file`, `video`, `url`,
    `file_name`), and its other columns as `extra`. Any other file is an input itself. Relative
    paths in a list are relative to the list's folder. What is under `exclude`, the output folder,
    is no input. Without `follow_links` neither is a file that links lead out of its folder, and an
    address that leads through a link is refused. Raises `ListingError`.
    """
    excluded = Storage.at(exclude).root + "/" if exclude else ""
    entries: dict[str, Entry] = {}
    skipped: dict[str, Counter[str]] = {}
    repeated: dict[str, None] = {}
    for address in addresses:
        storage = _open(address)
        if not follow_links:
            _refuse_link(storage)
        root = utf8_path(storage.root)
        counts = skipped.setdefault(root, Counter())
        for entry in _list_root(storage, excluded, counts, follow_links):
            if not excluded or not entry.uri.startswith(excluded):
                if entry.uri in entries:
                    repeated[entry.uri] = None
                else:
                    entries[entry.uri] = replace(entry, root=root)
        skipped[root] = Counter(dict(counts.most_common(_MAX_KINDS)))
        skipped[root] += Counter({OTHER: counts.total() - skipped[root].total()})
    return Listing([entries[uri] for uri in sorted(entries)], skipped, tuple(repeated))


def is_below(uri: str, root: str) -> bool:
    """Whether a file or object is the root or lies below it, once links are resolved."""
    if uri.startswith("s3://") or root.startswith("s3://"):
        return f"{uri}/".startswith(f"{root.rstrip('/')}/")
    real_path, real_root = os.path.realpath(uri), os.path.realpath(root)
    return os.path.commonpath([real_path, real_root]) == real_root


def _open(address: str) -> Storage:
    try:
        storage = Storage.at(address)
    except AddressError as error:
        raise ListingError(str(error)) from error
    if problem := _s3_problem(storage.root):
        raise ListingError(f"{storage.root}: {problem}")
    return storage


def _refuse_link(storage: Storage) -> None:
    """Whoever could put a link in the place of a folder could otherwise choose what is read."""
    if not storage.is_s3 and (target := os.path.realpath(storage.root)) != storage.root:
        raise ListingError(
            f"{utf8_path(storage.root)} leads through a link to {utf8_path(target)}: name that, or"
            " follow links (--follow-links)"
        )


def _list_root(
    storage: Storage, excluded: str, skipped: Counter[str], follow_links: bool
) -> Iterator[Entry]:
    file_type = _file_type(storage)
    if file_type == fs.FileType.Directory:
        if storage.is_s3:
            yield from _list_s3_folder(storage, excluded, skipped)
        else:
            yield from _list_local_folder(storage, excluded, skipped, follow_links)
    elif file_type == fs.FileType.NotFound:
        message = "nothing at" if storage.is_s3 else "no such file or folder:"
        raise ListingError(f"{message} {utf8_path(storage.root)}")
    elif PurePosixPath(storage.root).suffix.lower() in LIST_SUFFIXES:
        yield from _read_list(storage)
    else:
        yield entry_at(storage.root, {})


def _file_type(storage: Storage) -> fs.FileType:
    if storage.is_s3:
        with storage_faults():
            return storage.filesystem.get_file_info(storage.path("")).type
    if os.path.isdir(storage.root):
        return fs.FileType.Directory
    return fs.FileType.File if os.path.lexists(storage.root) else fs.FileType.NotFound


def _list_s3_folder(storage: Storage, excluded: str, skipped: Counter[str]) -> Iterator[Entry]:
    with storage_faults():
        files = storage.filesystem.get_file_info(fs.FileSelector(storage.path(""), recursive=True))
    for file in files:
        uri = f"s3://{file.path}"
        if file.type == fs.FileType.File and not (excluded and uri.startswith(excluded)):
            if kind := _non_video_kind(file.base_name):
                skipped[kind] += 1
            elif _s3_problem(uri):
                yield entry_at(uri, {})
            else:
                yield Entry(uri, int(file.size), _mtime(file))


def _list_local_folder(
    storage: Storage, excluded: str, skipped: Counter[str], follow_links: bool
) -> Iterator[Entry]:
    def fail(error: OSError) -> None:
        raise ListingError(f"cannot list {error.filename}: {error.strerror}")

    columns: dict[str, dict[str, str]] = {}
    for folder, folders, files in os.walk(storage.root, onerror=fail):
        if excluded and f"{folder}/".startswith(excluded):
            folders.clear()
            continue
        folders.sort()
        videos = {name for name in folders if not _non_video_kind(name)}
        links = (os.path.islink(os.path.join(folder, name)) for name in set(folders) - videos)
        skipped[LINKED] += sum(links)
        described = _metadata_columns(folder, files, follow_links)
        columns |= described
        lists = _METADATA if described else ()
        for name in sorted([*videos, *files]):
            if name in lists:
                continue
            path = os.path.join(folder, name)
            if kind := _non_video_kind(name):
                skipped[kind] += 1
            elif not follow_links and os.path.islink(path) and not is_below(path, storage.root):
                skipped[OUTSIDE] += 1
            else:
                yield entry_at(path, columns.get(os.path.normpath(path), {}))


def _metadata_columns(
    folder: str, files: Sequence[str], follow_links: bool
) -> dict[str, dict[str, str]]:
    """By path, the columns that a folder's own list has of its files; empty without one."""
    columns: dict[str, dict[str, str]] = {}
    for name in files:
        if name in _METADATA:
            path = os.path.join(folder, name)
            if not follow_links and os.path.islink(path):
                continue
            with contextlib.suppress(NoPathColumnError), _list_problems(path):
                for file, extra in _list_rows(path, name, (_COLUMN_OF_METADATA,)):
                    columns[os.path.normpath(os.path.join(folder, file))] = extra
    return columns


def _non_video_kind(name: str) -> str:
    """The kind of a name that is not a video's; empty for a video's."""
    if name.startswith("."):
        return HIDDEN
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return ""
    is_countable = utf8_path(suffix) == suffix and len(suffix) <= _MAX_ENDING
    return (suffix or NO_ENDING) if is_countable else OTHER


def _s3_problem(uri: str) -> str:
    """Why an object cannot be opened, though it can be listed; empty if it can."""
    parts = uri.removeprefix("s3://").split("/") if uri.startswith("s3://") else []
    if any(part in ("", ".", "..") for part in parts):
        return "a part of its key is empty, '.' or '..'; copy it to another key"
    return ""


def _read_list(storage: Storage) -> Iterator[Entry]:
    folder, name = storage.root.rsplit("/", 1)
    with storage.local_path() as path, _list_problems(storage.root):
        rows = list(_list_rows(path, name))
    for address, extra in rows:
        yield _list_entry(folder, address, extra)


@contextlib.contextmanager
def _list_problems(address: str) -> Iterator[None]:
    """Turns what is wrong with a list into a `ListingError` that names it."""
    try:
        yield
    except NoPathColumnError as error:
        raise NoPathColumnError(f"{utf8_path(address)}: {error}") from error
    except (csv.Error, OSError, pa.ArrowException, ListingError) as error:
        raise ListingError(f"{utf8_path(address)}: {error}") from error


def _list_entry(folder: str, address: str, extra: dict[str, str]) -> Entry:
    """The entry of one path of a list in this folder."""
    if "://" in address and not address.startswith(_SCHEMES):
        problem = "only local paths and s3:// addresses can be read"
        return Entry(utf8_path(address), extra=extra, problem=problem)
    try:
        if address.startswith(_SCHEMES) or os.path.isabs(address):
            uri = Storage.at(address).root
        elif folder.startswith("s3://"):
            uri = "s3://" + posixpath.normpath(f"{folder.removeprefix('s3://')}/{address}")
        else:
            uri = Storage.at(f"{folder}/{address}").root
        return entry_at(uri, extra)
    except AddressError as error:
        return Entry(utf8_path(address), extra=extra, problem=str(error))


def _list_rows(
    path: str, name: str, path_columns: Sequence[str] = _PATH_COLUMNS
) -> Iterator[tuple[str, dict[str, str]]]:
    """The path in each row of a list file, and the other columns as text."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".parquet":
        table = pq.read_table(path)
        rows = enumerate(table.to_pylist(), 1)
        yield from _path_column(rows, table.column_names, path_columns)
        return
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        if "\0" in file.read():
            raise ListingError("holds zero bytes; a list has to be UTF-8 text")
        file.seek(0)
        if suffix in (".csv", ".tsv"):
            reader = csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",")
            numbered = ((reader.line_num, row) for row in reader)
            yield from _path_column(numbered, reader.fieldnames or [], path_columns)
            return
        if suffix == ".jsonl":
            objects = dict(_json_rows(file))
            names = dict.fromkeys(name for row in objects.values() for name in row)
            yield from _path_column(objects.items(), list(names), path_columns)
            return
        for line in file.read().split("\n"):
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip(), {}


def _json_rows(file: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with one on each line, by the number of the line."""
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            text = line.strip()
            raise ListingError(f"line {number} is not JSON: {text!r:.60}") from error
        if not isinstance(row, dict):
            raise ListingError(f"line {number} is no JSON object")
        yield number, row


def _path_column(
    rows: Iterable[tuple[int, dict[str, Any]]], names: Sequence[str], path_columns: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    column = next((name for name in path_columns if name in names), None)
    if column is None:
        raise NoPathColumnError(
            f"needs a column named one of {', '.join(path_columns)}; it has"
            f" {', '.join(names) or 'none'}"
        )
    for number, row in rows:
        if None in row:
            raise ListingError(f"line {number} has more cells than the header")
        address = row.pop(column, None)
        if address is not None and not isinstance(address, str):
            raise ListingError(f"row {number} has no path under {column!r}, but {address!r:.60}")
        if not address:
            raise ListingError(f"row {number} has nothing under {column!r}")
        extra = {name: value for name, value in row.items() if value or value == 0}
        yield str(address), {name: _utf8_text(value) for name, value in extra.items()}


def _utf8_text(value: Any) -> str:
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def entry_at(uri: str, extra: dict[str, str]) -> Entry:
    """The entry of one file; one without readable metadata gets size 0, and scan reports why."""
    if problem := _s3_problem(uri):
        return Entry(uri, extra=extra, problem=problem)
    if uri.startswith("s3://"):
        storage = Storage.at(uri)
        with storage_faults():
            file = storage.filesystem.get_file_info(storage.path(""))
        size_bytes = int(file.size or 0) if file.type == fs.FileType.File else 0
        return Entry(uri, size_bytes, _mtime(file), extra)
    try:
        status = os.stat(uri)
        size_bytes, modified = status.st_size, str(status.st_mtime_ns)
    except (OSError, ValueError):
        size_bytes, modified = 0, ""
    path = utf8_path(uri)
    problem = "" if path == uri else "its name is no UTF-8 text; rename it"
    return Entry(path, size_bytes, modified, extra, problem)


def _mtime(file: fs.FileInfo) -> str:
    return str(file.mtime_ns) if file.mtime_ns is not None else ""
