"""Whether an output can lie at a place: said in words, before any work is done there."""

from __future__ import annotations

import errno
import os
import re
import secrets
import tempfile

from curation.errors import InfrastructureError
from curation.storage import PlaceError, Storage, address, storage_faults

_REFUSED = r"%[0-9A-Fa-f]{2}|[\x00-\x1f\x7f]"
_REFUSED_LOCALLY = rf"{_REFUSED}|[\[\]^|\\]"
"""What the Delta library takes for something else, escaped or not: measured on 1.6.6."""
_NEVER = "control characters or % before two hexadecimal digits"
_PROBE_BYTES = 1 << 16
_ROOM_BYTES = 1 << 20
"""Free space below which a local disk counts as full."""


def check_tables(storage: Storage) -> None:
    """Raises `PlaceError` where the Delta library would write tables elsewhere, or fail."""
    if storage.is_s3:
        if any(part in ("", ".", "..") for part in storage.path("").split("/")):
            raise PlaceError(f"{storage.root}: a part of the address is empty, '.' or '..'")
        found, never = re.search(_REFUSED, storage.path("")), _NEVER
    else:
        real = os.path.realpath(storage.root)
        if os.path.lexists(real) and not os.path.isdir(real):
            raise PlaceError(f"{storage.root} is a file, not a folder")
        if address(real) != real:
            raise PlaceError(f"{address(real)}: its name is no UTF-8 text; choose another")
        found, never = re.search(_REFUSED_LOCALLY, real), f"[ ] ^ | \\, {_NEVER}"
    if found:
        raise PlaceError(
            f"{storage.root}: no tables can be written below {found[0]!r}; choose an output whose "
            f"whole path has no {never}"
        )


def check_writable(storage: Storage) -> None:
    """Raises `EnvironmentFaultError` unless files can be written there; leaves nothing behind."""
    if storage.is_s3:
        name = f".{secrets.token_hex(8)}-probe"
        with storage.writing(name) as path, open(path, "wb") as file:
            file.write(bytes(1))
        with storage_faults():
            storage.filesystem.delete_file(storage.path(name))
        return
    try:
        with tempfile.TemporaryFile(dir=_nearest(storage.root)) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError as error:
        raise InfrastructureError(f"{storage.root} cannot be written: {error.strerror}") from error
    check_room(storage)


def check_room(storage: Storage, size_bytes: int = 0) -> None:
    """Raises `EnvironmentFaultError` if the local disk has no room for so many bytes more.

    Asked before a commit, for the Delta library panics where the disk fills up amid one.
    """
    if storage.is_s3:
        return
    there = _nearest(storage.root)
    with storage_faults():
        disk = os.statvfs(there)
        if disk.f_blocks and disk.f_bavail * disk.f_frsize < size_bytes + _ROOM_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), storage.root)


def _nearest(root: str) -> str:
    """The folder, or the nearest one above it that exists."""
    while not os.path.isdir(root):
        root = os.path.dirname(root)
    return root
