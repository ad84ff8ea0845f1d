"""What no version in use names: files that merges and dropped rows left, and old entries of logs.

A version of a table is in use if it is the newest, was the newest at some time within the period
that is asked for or since the oldest running job began, or is pinned by a feed (`curation.pins`). A
file is garbage if no such version names it and it is older than the period and an hour: what is
younger may be part of a commit that is still to come. So old files that no version names at all,
because their writer was killed, are garbage too. No writer uses a name twice
(`curation.data_file`): what is garbage now is never part of a later commit.

Of a log the entries go that lie before the newest checkpoint from which all versions in use can be
read. Every file is removed on its own, in no order, as each is needed by no version in use: a
collection that is killed leaves a smaller one for the next. Times are those of the storage.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyarrow import fs

from curation import pins
from curation.catalog import Catalog
from curation.errors import InfrastructureError, ReelmillError
from curation.lease import hold_lease, live_leases, storage_time_ns
from curation.storage import Storage, storage_faults

LEAST_S = 3600.0
"""The shortest period, and how long before its commit a file may have been written."""
_NS = 1_000_000_000
_RESOLUTION_NS = _NS
"""Stores say to the second before when a file was written."""
_DATA_FILE = re.compile(r"[^.].*\.parquet|\.[0-9a-f]{8}-.*")
"""Files of a table, and what a writer that was killed left of one."""
_LOG_ENTRY = re.compile(r"(\d{20})(\.checkpoint)?\.(json|parquet)")
_THREADS = 8


class PeriodError(ReelmillError, ValueError):
    """The period is too short."""


@dataclass(frozen=True)
class GarbageFile:
    """A file that no version in use names."""

    path: str
    """Relative to the output."""
    size_bytes: int


def collect_garbage(
    catalog: Catalog, older_than_s: float, *, delete: bool, now_ns: int | None = None
) -> Iterator[tuple[str, list[GarbageFile]]]:
    """Each table and its garbage, which is removed on request before the next is looked at.

    `now_ns` is the time that the period ends at; by default that of the storage. Raises
    `PeriodError`, `LeaseHeldError` while another collection runs, and `InfrastructureError`.
    """
    if older_than_s < LEAST_S:
        raise PeriodError(
            f"files have to be at least an hour old: younger ones may be part of a commit that is"
            f" still to come (asked for {older_than_s:g} s)"
        )
    storage = catalog.storage
    names = catalog.table_names()
    with hold_lease(storage, "gc", names):
        now_ns = storage_time_ns(storage) if now_ns is None else now_ns
        started_ns = [job.since_ns for job in live_leases(storage) if job.app != "gc"]
        cutoff_ns = min(now_ns - int(older_than_s * _NS), *started_ns, now_ns)
        period_ns = int(max(older_than_s, pins.EXPIRY_S) * _NS)
        pinned = pins.read_pins(storage, now_ns - period_ns)
        for name in names:
            table = _TableGarbage(catalog, name, cutoff_ns, pinned.get(name, {}))
            files = [*table.data_files(), *table.log_entries()]
            if delete:
                _remove(storage, files)
            yield name, files


class _TableGarbage:
    """The garbage of one table. What is there is listed before the log is read."""

    def __init__(
        self, catalog: Catalog, name: str, cutoff_ns: int, pins: Mapping[int, str]
    ) -> None:
        self._catalog = catalog
        self._name = name
        self._latest_ns = cutoff_ns - int(LEAST_S * _NS)
        self._data = _list(catalog.storage, name)
        log = _list(catalog.storage, f"{name}/_delta_log")
        entries = [(match, file) for file in log if (match := _LOG_ENTRY.fullmatch(file.base_name))]
        self._log = [(int(match[1]), bool(match[2]), file) for match, file in entries]
        committed_ns = {
            v: int(f.mtime_ns) for v, is_checkpoint, f in self._log if not is_checkpoint
        }
        before = [v for v, at_ns in committed_ns.items() if at_ns + _RESOLUTION_NS <= cutoff_ns]
        self._pins = pins
        self._in_use = {catalog.version(name), *pins, *([max(before)] if before else [])}
        self._is_young = not before

    def data_files(self) -> list[GarbageFile]:
        """Files of rows; raises `InfrastructureError` where a pinned version cannot be read."""
        kept: set[str] = set()
        for version in self._in_use:
            kept |= self._files(version)
        return [
            self._garbage(self._name, file)
            for file in self._data
            if _DATA_FILE.fullmatch(file.base_name) and self._is_old(file)
            if file.base_name not in kept
        ]

    def _files(self, version: int) -> set[str]:
        """The files that a version names."""
        try:
            return {path for path, _ in self._catalog.files(self._name, version)}
        except InfrastructureError as error:
            if version not in self._pins:
                raise
            raise InfrastructureError(
                f"{error}. {self._catalog.storage.uri(self._pins[version])} pins it: remove that"
                " file, and start its feed again"
            ) from error

    def log_entries(self) -> list[GarbageFile]:
        """Entries of the log, the oldest first."""
        least = min(self._in_use)
        checkpoints = [v for v, is_checkpoint, _ in self._log if is_checkpoint and v <= least]
        if self._is_young or not checkpoints:
            return []
        return [
            self._garbage(f"{self._name}/_delta_log", file)
            for version, _, file in sorted(self._log, key=lambda entry: entry[0])
            if version < max(checkpoints) and self._is_old(file)
        ]

    def _is_old(self, file: fs.FileInfo) -> bool:
        return int(file.mtime_ns) <= self._latest_ns

    def _garbage(self, folder: str, file: fs.FileInfo) -> GarbageFile:
        return GarbageFile(f"{folder}/{file.base_name}", int(file.size))


def _list(storage: Storage, folder: str) -> list[fs.FileInfo]:
    with storage_faults(folder):
        infos = storage.filesystem.get_file_info(fs.FileSelector(storage.path(folder)))
    return [info for info in infos if info.type == fs.FileType.File]


def _remove(storage: Storage, files: Sequence[GarbageFile]) -> None:
    """Removes files, in no order."""

    def remove(file: GarbageFile) -> None:
        with storage_faults(file.path), contextlib.suppress(FileNotFoundError):
            storage.filesystem.delete_file(storage.path(file.path))

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(remove, files))
