"""Pins: which versions of tables a feed reads, so that `reelmill gc` leaves their files.

A feed reads one version of its tables for weeks, while they grow and their files are merged. It
writes a small file that names those versions, under a digest of them, and again every hour while it
reads. A feed that may not write to the output has no pin: its versions are then only as safe as
`--older-than` is long.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pyarrow import fs

from curation.errors import InfrastructureError
from curation.storage import Storage, storage_faults

FOLDER = "_pins"
RENEWAL_S = 3600.0
EXPIRY_S = 86_400.0
"""For how long a pin that is not renewed holds, at least."""


def write_pin(storage: Storage, versions: Mapping[str, int]) -> None:
    """Pins versions of tables, or renews the pin; does nothing where nothing can be written."""
    text = json.dumps({"versions": dict(sorted(versions.items()))})
    name = f"{FOLDER}/{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(InfrastructureError, OSError), storage.atomic_write(name) as path:
        Path(path).write_text(text, encoding="utf-8")


def read_pins(storage: Storage, since_ns: int) -> dict[str, dict[int, str]]:
    """Versions by table that were pinned, or their pins renewed, since a time of the storage.

    Each has the name of a file that pins it.

    Raises `InfrastructureError`, also for a pin that cannot be read.
    """
    with storage_faults():
        files = storage.filesystem.get_file_info(
            fs.FileSelector(storage.path(FOLDER), allow_not_found=True)
        )
    versions: dict[str, dict[int, str]] = {}
    for file in files:
        if not file.base_name.endswith(".json") or int(file.mtime_ns or 0) < since_ns:
            continue
        name = f"{FOLDER}/{file.base_name}"
        try:
            with storage.local_path(name) as path:
                pinned = json.loads(Path(path).read_text(encoding="utf-8"))["versions"]
            for table, version in pinned.items():
                versions.setdefault(table, {})[int(version)] = name
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InfrastructureError(
                f"{storage.uri(name)} is no pin ({error}): remove it, and start the feed that"
                " reads this output again"
            ) from error
    return versions
