"""Lists the inputs that a user names: folders, files, lists of paths, S3 prefixes.

No video is read. In a folder, files without a video's ending are skipped, and counted by kind.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from pyarrow import fs

from curation import web_files
from curation.errors import MediaError, UnavailableError
from curation.input_list import LIST_SUFFIXES, ListingError, NoPathColumnError, read_rows
from curation.media.allowlist import VIDEO_SUFFIXES
from curation.object_stores import SCHEMES, STORES, store_scheme
from curation.storage import AddressError, Storage, storage_faults, utf8_path

_METADATA = frozenset(f"metadata{suffix}" for suffix in (".csv", ".jsonl", ".parquet"))
"""Lists inside a folder that describe its files, as in video folders of Hugging Face."""
_COLUMN_OF_METADATA = "file_name"
_MAX_METADATA_BYTES = 64 << 20
_SCHEMES = (*SCHEMES, "file://", web_files.SCHEME)
NO_ENDING, HIDDEN, LINKED, OTHER = "no ending", "hidden", "linked folder", "other endings"
OUTSIDE = "links leading outside"
_MAX_ENDING = 16
_MAX_KINDS = 50
"""Endings that are counted apart, the most frequent; a numbered sequence has one per file."""


@dataclass(frozen=True)
class Entry:
    """One listed input."""

    uri: str
    """Absolute local path or address in a store; a path that is no UTF-8 as an escaped `file://`."""
    size_bytes: int = 0
    modified: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    """Why it cannot be read, where its name already shows it."""
    root: str = field(default="", compare=False)
    """The folder, list or file that was named."""
    signals: str = field(default="", compare=False)
    """Where its signals are, if whoever named the inputs said so."""
    columns_from: str = field(default="", compare=False)
    """The folder of the list or metadata that has its other columns."""

    @property
    def key(self) -> str:
        """Changes when the file does, so that a rerun can skip it unread."""
        return f"{self.uri}|{self.size_bytes}|{self.modified}"


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
    unread: Sequence[str] = ()
    """Why lists that describe the files of their folder were not read."""


def list_videos(
    addresses: Iterable[str], exclude: str = "", *, follow_links: bool = True
) -> Listing:
    """Every input under the addresses, each once, sorted by address.

    A folder gives the files in it whose names end like a video's, at any depth. Links to folders
    are not followed, since they may lead outside or in a circle; name their target instead. Its
    `metadata.csv`, `.jsonl` or `.parquet` with a column `file_name` gives the other columns as
    `extra` of its files; one that cannot be read is passed over, and `unread` says why. A text
    file gives one path per line, except lines that start with `#`; a CSV, TSV, JSON lines or
    Parquet file gives the column `uri` (or `path`, `file`, `video`, `url`, `file_name`), and its
    other columns as `extra`. Any other file is an input itself. Relative paths in a list are
    relative to the list's folder. What is under `exclude`, the output folder,
    is no input. Without `follow_links` neither is a file that links lead out of its folder, an
    address that leads through a link is refused, and a path of a list that does fails alone. Raises
    `ListingError`.
    """
    excluded = Storage.at(exclude).root + "/" if exclude else ""
    entries: dict[str, Entry] = {}
    skipped: dict[str, Counter[str]] = {}
    repeated: dict[str, None] = {}
    unread: list[str] = []
    for address in addresses:
        storage = _open(address)
        if not follow_links and (problem := _link_problem(storage.root)):
            raise ListingError(f"{utf8_path(storage.root)} {problem}")
        root = utf8_path(storage.root)
        counts = skipped.setdefault(root, Counter())
        for entry in _list_root(storage, excluded, counts, unread, follow_links):
            if not excluded or not entry.uri.startswith(excluded):
                if entry.uri in entries:
                    repeated[entry.uri] = None
                else:
                    entries[entry.uri] = replace(entry, root=root)
        skipped[root] = Counter(dict(counts.most_common(_MAX_KINDS)))
        skipped[root] += Counter({OTHER: counts.total() - skipped[root].total()})
    return Listing(
        [entries[uri] for uri in sorted(entries)], skipped, tuple(repeated), tuple(unread)
    )


def is_below(uri: str, root: str) -> bool:
    """Whether a file or object is the root or lies below it, once links are resolved."""
    if any(store_scheme(address) or web_files.is_web(address) for address in (uri, root)):
        return f"{uri}/".startswith(f"{root.rstrip('/')}/")
    real_path, real_root = os.path.realpath(uri), os.path.realpath(root)
    return os.path.commonpath([real_path, real_root]) == real_root


def _open(address: str) -> Storage:
    try:
        storage = Storage.at(address)
    except AddressError as error:
        raise ListingError(str(error)) from error
    if problem := _store_problem(storage.root):
        raise ListingError(f"{storage.root}: {problem}")
    return storage


def _link_problem(uri: str) -> str:
    """Whoever could put a link in the place of a folder could otherwise choose what is read."""
    is_local = not (store_scheme(uri) or web_files.is_web(uri))
    if not is_local or (target := os.path.realpath(uri)) == uri:
        return ""
    return (
        f"leads through a link to {utf8_path(target)}: name that, or follow links (--follow-links)"
    )


def _list_root(
    storage: Storage,
    excluded: str,
    skipped: Counter[str],
    unread: list[str],
    follow_links: bool,
) -> Iterator[Entry]:
    file_type = _file_type(storage)
    if file_type == fs.FileType.Directory:
        if storage.is_remote:
            yield from _list_stored_folder(storage, excluded, skipped)
        else:
            yield from _list_local_folder(storage, excluded, skipped, unread, follow_links)
    elif file_type == fs.FileType.NotFound:
        message = "nothing at" if storage.is_remote else "no such file or folder:"
        raise ListingError(f"{message} {utf8_path(storage.root)}")
    elif web_files.suffix(storage.root).lower() in LIST_SUFFIXES:
        yield from _read_list(storage, follow_links)
    else:
        yield entry_at(storage.root, {})


def _file_type(storage: Storage) -> fs.FileType:
    if storage.is_web:
        return fs.FileType.File
    if storage.is_remote:
        with storage_faults():
            return storage.filesystem.get_file_info(storage.path("")).type
    if os.path.isdir(storage.root):
        return fs.FileType.Directory
    return fs.FileType.File if os.path.lexists(storage.root) else fs.FileType.NotFound


def _list_stored_folder(storage: Storage, excluded: str, skipped: Counter[str]) -> Iterator[Entry]:
    with storage_faults():
        files = storage.filesystem.get_file_info(fs.FileSelector(storage.path(""), recursive=True))
    for file in files:
        uri = f"{storage.scheme}{file.path}"
        if file.type == fs.FileType.File and not (excluded and uri.startswith(excluded)):
            if kind := _non_video_kind(file.base_name):
                skipped[kind] += 1
            elif _store_problem(uri):
                yield entry_at(uri, {})
            else:
                yield Entry(uri, int(file.size), _mtime(file))


def _list_local_folder(
    storage: Storage,
    excluded: str,
    skipped: Counter[str],
    unread: list[str],
    follow_links: bool,
) -> Iterator[Entry]:
    def fail(error: OSError) -> None:
        raise ListingError(f"cannot list {error.filename}: {error.strerror}")

    columns: dict[str, dict[str, str]] = {}
    columns_from: dict[str, str] = {}
    for folder, folders, files in os.walk(storage.root, onerror=fail):
        if excluded and f"{folder}/".startswith(excluded):
            folders.clear()
            continue
        folders.sort()
        videos = {name for name in folders if not _non_video_kind(name)}
        links = (os.path.islink(os.path.join(folder, name)) for name in set(folders) - videos)
        skipped[LINKED] += sum(links)
        described = _metadata_columns(folder, files, unread, follow_links)
        columns |= described
        columns_from |= dict.fromkeys(described, folder)
        lists = _METADATA if described else frozenset()
        for name in sorted([*videos, *files]):
            if name in lists:
                continue
            path = os.path.join(folder, name)
            if kind := _non_video_kind(name):
                skipped[kind] += 1
            elif not follow_links and os.path.islink(path) and not is_below(path, storage.root):
                skipped[OUTSIDE] += 1
            else:
                known = os.path.normpath(path)
                entry = entry_at(path, columns.get(known, {}))
                yield replace(entry, columns_from=columns_from.get(known, ""))


def _metadata_columns(
    folder: str, files: Sequence[str], unread: list[str], follow_links: bool
) -> dict[str, dict[str, str]]:
    """By path, the columns that a folder's own list has of its files; empty without one."""
    columns: dict[str, dict[str, str]] = {}
    for name in sorted(_METADATA.intersection(files)):
        path = os.path.join(folder, name)
        try:
            rows = read_rows(
                path, path, (_COLUMN_OF_METADATA,), max_bytes=_MAX_METADATA_BYTES,
                follow_links=follow_links,
            )  # fmt: skip
        except NoPathColumnError:
            continue
        except ListingError as error:
            unread.append(str(error))
            continue
        for file, extra in rows:
            columns.setdefault(os.path.normpath(os.path.join(folder, file)), {}).update(extra)
    return columns


def _non_video_kind(name: str) -> str:
    """The kind of a name that is not a video's; empty for a video's."""
    if name.startswith("."):
        return HIDDEN
    if posixpath.splitext(name)[1].lower() in VIDEO_SUFFIXES:
        return ""
    suffix = PurePosixPath(name).suffix.lower()
    is_countable = utf8_path(suffix) == suffix and len(suffix) <= _MAX_ENDING
    return (suffix or NO_ENDING) if is_countable else OTHER


def _store_problem(uri: str) -> str:
    """Why an object cannot be opened, though it can be listed; empty if it can."""
    parts = uri.removeprefix(scheme).split("/") if (scheme := store_scheme(uri)) else []
    if any(part in ("", ".", "..") for part in parts):
        return "a part of its key is empty, '.' or '..'; copy it to another key"
    return ""


def _read_list(storage: Storage, follow_links: bool) -> Iterator[Entry]:
    address = web_files.without_query(storage.root)
    folder = address.rsplit("/", 1)[0]
    try:
        with storage.local_path() as path:
            rows = read_rows(path, address)
    except (FileNotFoundError, UnavailableError, MediaError) as error:
        raise ListingError(str(error)) from error
    for address, extra in rows:
        entry = replace(_list_entry(folder, address, extra), columns_from=folder)
        if not follow_links and not entry.problem:
            entry = replace(entry, problem=_link_problem(entry.uri))
        yield entry


def _list_entry(folder: str, address: str, extra: dict[str, str]) -> Entry:
    """The entry of one path of a list in this folder; a list of the web names no local files."""
    readable: tuple[str, ...] = _SCHEMES
    if web_files.is_web(folder):
        address = web_files.relative(folder, address)
        readable = (*SCHEMES, web_files.SCHEME)
    if "://" in address and not address.startswith(readable):
        problem = f"only local paths, https://, {STORES} addresses can be read"
        return Entry(utf8_path(address), extra=extra, problem=problem)
    try:
        if address.startswith(_SCHEMES) or os.path.isabs(address):
            uri = Storage.at(address).root
        elif scheme := store_scheme(folder):
            uri = scheme + posixpath.normpath(f"{folder.removeprefix(scheme)}/{address}")
        else:
            uri = Storage.at(f"{folder}/{address}").root
        return entry_at(uri, extra)
    except AddressError as error:
        return Entry(utf8_path(address), extra=extra, problem=str(error))


def entry_at(uri: str, extra: dict[str, str]) -> Entry:
    """The entry of one file; one without readable metadata gets size 0, and scan reports why.

    One of the web has size 0 until it is scanned: nothing is requested to list it.
    """
    if web_files.is_web(uri):
        return Entry(uri, extra=extra)
    if problem := _store_problem(uri):
        return Entry(uri, extra=extra, problem=problem)
    if store_scheme(uri):
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
