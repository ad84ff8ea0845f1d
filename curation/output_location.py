"""Checks that an output can be written at an address, before any work is done there."""

from __future__ import annotations

import errno
import os
import re
import secrets
import tempfile

from curation.errors import InfrastructureError
from curation.object_stores import STORES
from curation.storage import AddressError, Storage, storage_faults, utf8_path

_FORBIDDEN = r"%[0-9A-Fa-f]{2}|[\x00-\x1f\x7f]"
_FORBIDDEN_LOCALLY = rf"{_FORBIDDEN}|[\[\]^|\\]"
"""What the Delta library misreads, escaped or not: measured on 1.6.6."""
_DESCRIPTION = "control characters or % before two hexadecimal digits"
_PROBE_BYTES = 1 << 16
_MIN_FREE_BYTES = 1 << 20
"""Free space below which a local disk counts as full."""


def check_address(storage: Storage) -> None:
    """Raises `AddressError` where the Delta library would write tables elsewhere, or fail."""
    if storage.is_web:
        raise AddressError(f"{storage.root}: an output is a folder, or lies in {STORES}")
    if storage.is_remote:
        if any(part in ("", ".", "..") for part in storage.path("").split("/")):
            raise AddressError(f"{storage.root}: a part of the address is empty, '.' or '..'")
        match, forbidden = re.search(_FORBIDDEN, storage.path("")), _DESCRIPTION
    else:
        real = os.path.realpath(storage.root)
        if os.path.lexists(real) and not os.path.isdir(real):
            raise AddressError(f"{storage.root} is a file, not a folder")
        if utf8_path(real) != real:
            raise AddressError(f"{utf8_path(real)}: its name is no UTF-8 text; choose another")
        match = re.search(_FORBIDDEN_LOCALLY, real)
        forbidden = f"[ ] ^ | \\, {_DESCRIPTION}"
    if match:
        raise AddressError(
            f"{storage.root}: no tables can be written below {match[0]!r}; choose an output whose "
            f"whole path has no {forbidden}"
        )


def check_writable(storage: Storage) -> None:
    """Raises `InfrastructureError` unless files can be written there; leaves nothing behind."""
    if storage.is_remote:
        name = f".{secrets.token_hex(8)}-probe"
        with storage.atomic_write(name) as path, open(path, "wb") as file:
            file.write(bytes(1))
        with storage_faults():
            storage.filesystem.delete_file(storage.path(name))
        return
    try:
        with tempfile.TemporaryFile(dir=existing_folder(storage.root)) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError as error:
        raise InfrastructureError(f"{storage.root} cannot be written: {error.strerror}") from error
    check_free_space(storage)


def check_free_space(storage: Storage, size_bytes: int = 0) -> None:
    """Raises `InfrastructureError` if the local disk has no room for so many more bytes.

    Called before a commit: the Delta library panics if the disk fills up during one.
    """
    if storage.is_remote:
        return
    with storage_faults():
        disk = os.statvfs(existing_folder(storage.root))
        if disk.f_blocks and disk.f_bavail * disk.f_frsize < size_bytes + _MIN_FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), storage.root)


def existing_folder(root: str) -> str:
    """The folder, or the nearest one above it that exists."""
    while not os.path.isdir(root):
        root = os.path.dirname(root)
    return root
