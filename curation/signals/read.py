"""Finds the signals of a video, and reads them in a confined child.

Beside `drive.mp4` lie `drive.signals.parquet` (`.csv`, `.tsv`), `drive.mcap`, `drive.bag`,
`drive.gpx`; a video below a LeRobot data set belongs to that. A list's column `signals` names
another file.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from curation import web_files
from curation.errors import MediaError
from curation.listing import Entry, is_below
from curation.media import sandbox
from curation.media.confinement import FileAccess
from curation.object_stores import store_scheme
from curation.signals.clock import MAX_OFFSET, check_offset
from curation.signals.recording import Recording, from_bytes
from curation.signals.signal import KINDS, Kind, SignalError
from curation.storage import Storage

SUFFIXES = (
    ".signals.parquet", ".signals.csv", ".signals.tsv", ".mcap", ".bag", ".gpx",
)  # fmt: skip
"""Of files beside a video, in the order in which they are looked for."""
SIGNALS, CAMERA, SESSION, OFFSET, DRIFT = "signals", "camera", "session", "offset_s", "drift_ppm"
"""Columns of an input list."""
_PLAIN = (*SUFFIXES, ".parquet", ".csv", ".tsv")
_LEROBOT, _BAG = "meta/info.json", "metadata.yaml"
_MAX_DEPTH = 6
"""Folders between a video and the root of its LeRobot data set."""
_OUTPUT_BYTES = 1 << 30
_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class SignalSettings:
    """How signals are read. Raises `SignalError` for an unknown kind."""

    read: bool = True
    """Whether what lies beside videos is read."""
    kinds: dict[str, Kind] = field(default_factory=dict)
    """Kinds by signal or pattern, where the usual ones are wrong: `{"action*": delta}`."""
    offset_s: float = 0.0
    """Added to the time of each frame; a column `offset_s` of a list states it for one video."""
    drift_ppm: float = 0.0
    """Millionths by which signals' clocks run faster; a column `drift_ppm` states it for one."""

    def __post_init__(self) -> None:
        for name, kind in self.kinds.items():
            if kind not in KINDS:
                raise SignalError(f"signals.kinds: {name} is {kind!r}, none of {', '.join(KINDS)}")
        for name in (OFFSET, DRIFT):
            if not abs(getattr(self, name)) < MAX_OFFSET:
                raise SignalError(f"signals.{name} is {getattr(self, name)}, out of range")


def find_recording(entry: Entry, settings: SignalSettings) -> tuple[str | None, str] | None:
    """Where the signals of a video are, and a key that changes when they do, or what is declared.

    None where neither signals nor a session are stated. Raises `SignalError` as `find_signals`.
    """
    place = find_signals(entry)
    if place is None and not entry.extra.get(SESSION):
        return None
    stated = [entry.extra.get(name, "") for name in (SESSION, CAMERA, OFFSET, DRIFT)]
    declared = [stated, sorted(settings.kinds.items()), settings.offset_s, settings.drift_ppm]
    digest = hashlib.sha256(json.dumps(declared).encode()).hexdigest()[:8]
    return place, f"{_file_key(place) if place else ''}|{digest}"


def find_signals(entry: Entry) -> str | None:
    """Where the signals of a video are: a file, or the folder of a data set; None without any.

    Raises `SignalError` for what lies outside of the place that was named as an input: a list or a
    link could otherwise choose which files are read.
    """
    if entry.signals:
        return entry.signals
    place = _find(entry)
    if place is None:
        return None
    root = entry.root or entry.uri
    is_folder = os.path.isdir(root) or (store_scheme(root) and root != entry.uri)
    folder = root if is_folder else os.path.dirname(root)
    if entry.columns_from and not os.path.isdir(root):
        folder = entry.columns_from
    if not is_below(place, folder):
        raise SignalError(f"{place} lies outside of {folder}: name it with --signals")
    return place


def _find(entry: Entry) -> str | None:
    """The place that a list states, or one beside the video or above it."""
    uri = entry.uri
    if stated := entry.extra.get(SIGNALS):
        folder = entry.columns_from or os.path.dirname(uri)
        if web_files.is_web(folder):
            return web_files.relative(folder, stated)
        if "://" not in stated and not os.path.isabs(stated):
            stated = f"{folder}/{stated}"
        scheme = store_scheme(stated)
        return scheme + posixpath.normpath(stated.removeprefix(scheme)) if scheme else stated
    if "://" in uri:
        return None
    folder, name = os.path.split(uri)
    stem = os.path.splitext(name)[0]
    names = _names(folder)
    beside = (f"{stem}{suffix}" for suffix in SUFFIXES if f"{stem}{suffix}" in names)
    found = next(beside, None)
    return _lerobot_root(uri) if found is None else f"{folder}/{found}"


def _names(folder: str) -> frozenset[str]:
    """The names in a folder, read once while it does not change: it may hold a million videos."""
    try:
        return _names_at(folder, os.stat(folder).st_mtime_ns)
    except OSError:
        return frozenset()


@functools.lru_cache(maxsize=64)
def _names_at(folder: str, _modified: int) -> frozenset[str]:
    return frozenset(os.listdir(folder))


def assign_signals(entries: Sequence[Entry], place: str) -> list[Entry]:
    """The entries with the signals that a file or folder has for them; those named stay.

    In a folder `drive.csv` is that of `drive.mp4`. Raises `SignalError` for a file that several
    videos would share, and for a place that has none.
    """
    if os.path.isfile(place) or _is_recording(place):
        if len(entries) != 1:
            raise SignalError(
                f"{place} is one recording for {len(entries)} videos: name a folder with one for"
                " each, or a list with the column signals"
            )
        found = {entries[0].uri: os.path.abspath(place)}
    elif os.path.isdir(place):
        stems = {e.uri: os.path.splitext(os.path.basename(e.uri))[0] for e in entries}
        paths = {
            uri: [os.path.join(os.path.abspath(place), stem + suffix) for suffix in _PLAIN]
            for uri, stem in stems.items()
        }
        existing = {
            uri: [p for p in options if os.path.isfile(p)] for uri, options in paths.items()
        }
        found = {uri: options[0] for uri, options in existing.items() if options}
    else:
        raise SignalError(f"{place}: there is no such file or folder of signals")
    if not found:
        raise SignalError(f"{place} has signals for none of the videos: {', '.join(_PLAIN)}")
    return [
        replace(entry, signals=found[entry.uri])
        if entry.uri in found and SIGNALS not in entry.extra
        else entry
        for entry in entries
    ]


def _is_recording(place: str) -> bool:
    """Whether a folder is one recording: a bag of ROS 2, or a LeRobot data set."""
    return any(os.path.isfile(f"{place}/{name}") for name in (_BAG, _LEROBOT))


def _lerobot_root(uri: str) -> str | None:
    """The folder of the LeRobot data set that a video is part of."""
    path = PurePosixPath(uri)
    if "videos" not in path.parts:
        return None
    for parent in list(path.parents)[:_MAX_DEPTH]:
        if os.path.isfile(f"{parent}/{_LEROBOT}"):
            return str(parent)
    return None


def _file_key(place: str) -> str:
    """Changes when the file of signals does."""
    names = [f"{place}/{name}" for name in (_LEROBOT, _BAG)] if os.path.isdir(place) else []
    path = next((name for name in names if os.path.isfile(name)), place)
    try:
        status = os.stat(path)
    except OSError:
        return place
    return f"{place}|{status.st_size}|{status.st_mtime_ns}"


def read_signals(
    place: str, uri: str, extra: Mapping[str, str], settings: SignalSettings,
    limits: sandbox.Limits,
) -> Recording:  # fmt: skip
    """The recording of a video; raises `SignalError` where it cannot be used."""
    with _local(place) as path:
        video = os.path.relpath(uri, path) if os.path.isdir(path) else uri
        request = {
            "path": path, "video": video, "kinds": settings.kinds,
            "offset_s": stated_number(extra, OFFSET, settings.offset_s),
            "drift_ppm": stated_number(extra, DRIFT, settings.drift_ppm),
            "camera": extra.get(CAMERA, ""),
        }  # fmt: skip
        child = str(Path(__file__).with_name("read_child.py"))
        command = sandbox.child_command(child, request)
        access = FileAccess(reads=(path,), folders=(str(_PACKAGE), *_folders(path)))
        try:
            out, _ = sandbox.run(command, limits, files=access, max_output_bytes=_OUTPUT_BYTES)
        except sandbox.ChildFailedError as error:
            text = sandbox.printable(error.text.strip()[-400:], 400)
            raise SignalError(text or "its reader failed") from error
        except sandbox.ChildKilledError as error:
            raise SignalError(f"its reader died: {error}") from error
        except MediaError as error:
            raise SignalError(str(error)) from error
    return from_bytes(out)


@contextmanager
def _local(place: str) -> Iterator[str]:
    """A local path of the file; a folder as it is."""
    if os.path.isdir(place):
        yield place
        return
    try:
        with Storage.at(place).local_path() as path:
            if not os.path.isfile(path):
                raise SignalError(f"{place}: there is no such file")
            yield path
    except FileNotFoundError as error:
        raise SignalError(f"{place}: there is no such file") from error


def stated_number(extra: Mapping[str, str], name: str, otherwise: float) -> float:
    """The number that a list states in a column, else another; raises `SignalError`."""
    return check_offset(extra[name], name) if extra.get(name) else otherwise


def _folders(path: str) -> Sequence[str]:
    """Folders that the reader may list: those of a data set that hold no pictures."""
    if not os.path.isdir(path):
        return ()
    parts = [os.path.join(path, name) for name in ("meta", "data")]
    return [part for part in parts if os.path.isdir(part)] or [path]
