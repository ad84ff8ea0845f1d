"""Going back to a source after its scan: the same bytes, or a clear word that they are not."""

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
    """A local path under which the scanned bytes of a source can be read.

    Raises `MediaError` (`changed`) if the file holds other bytes now, and `OutOfReachError` if it
    is not there or cannot be read: a disk may only be unplugged.
    """
    now = entry_at(source.uri, {})
    with _at_hand(source.uri) as path:
        listed = (source.size_bytes, source.modified)
        if (now.size_bytes, now.modified) != listed and file_sha256(path) != source.source_id:
            raise MediaError("changed", "the file holds other bytes than when it was scanned")
        yield path


@contextlib.contextmanager
def _at_hand(uri: str) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(Storage.at(uri).local_path())
            check_readable(path)
        except (FileNotFoundError, MediaError) as error:
            raise UnavailableError(f"{uri}: {error}") from error
        yield path
