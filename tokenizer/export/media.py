"""Rendered files as they are: read, compared with their digest, never decoded."""

from __future__ import annotations

import hashlib

from curation.storage import Storage, storage_faults
from tokenizer.export.clip_rows import ExportError


def read_media(storage: Storage, path: str, sha256: str) -> bytes:
    """The bytes of a rendered file; `ExportError` unless they are those that were recorded."""
    try:
        with storage_faults(), storage.filesystem.open_input_stream(storage.path(path)) as stream:
            content: bytes = stream.read()
    except FileNotFoundError as error:
        raise ExportError(
            f"{storage.uri(path)} is gone; `reelmill verify` says what else"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ExportError(f"{storage.uri(path)} was changed; `reelmill verify` says what else")
    return content
