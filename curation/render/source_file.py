"""Reads a source again after its scan, if it still has the same bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from curation.errors import MediaError, UnavailableError
from curation.listing import entry_at
from curation.media.probe import check_readable
from curation.records import Source
from curation.storage import Storage, file_sha256


@contextlib.contextmanager
def open_scanned_source(source: Source) -> Iterator[str]:
    """A local path of the scanned bytes of a source.

    Raises `MediaError` (`changed`) if the file has other bytes now, and `UnavailableError` if it is
    missing or cannot be read: its disk may only be unplugged.
    """
    current = entry_at(source.uri, {})
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(Storage.at(source.uri).local_path())
            check_readable(path)
        except (FileNotFoundError, MediaError) as error:
            raise UnavailableError(f"{source.uri}: {error}") from error
        state = (current.size_bytes, current.modified)
        unchanged = any(state) and state == (source.size_bytes, source.modified)
        if not unchanged and file_sha256(path) != source.source_id:
            raise MediaError("changed", "the file holds other bytes than when it was scanned")
        yield path
