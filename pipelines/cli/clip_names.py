"""Clips and sources by what people call them: first digits of an id, or the name of a file."""

from __future__ import annotations

import posixpath

import pyarrow as pa

from curation.storage import Storage
from pipelines.cli.exit import UsageError

_SHOWN = 5


def clips_named(clips: pa.Table, name: str) -> pa.Table:
    """The one clip whose id begins so, or all clips of the file of that name.

    `clips` has columns `clip_id` and `uri`. A file is named by its address, by the end of it, or by
    its name without the suffix. Raises `UsageError`.
    """
    ids = clips["clip_id"].to_pylist()
    rows = [row for row, clip_id in enumerate(ids) if name and clip_id.startswith(name)]
    if len(rows) > 1:
        some = ", ".join(ids[row][:12] for row in rows[:_SHOWN])
        raise UsageError(f"{name}: {len(rows)} clips begin so: {some} …")
    rows = rows or rows_of_file(clips, name)
    if not rows:
        raise UsageError(
            f"{name}: there is no such clip, and no file of this name has clips; `reelmill ls`"
            " lists the clips, `reelmill ls --sources` the files"
        )
    return clips.take(pa.array(rows, pa.int64()))


def rows_of_file(table: pa.Table, name: str) -> list[int]:
    """The rows whose column `uri` is of the file of this name; of one file alone.

    Raises `UsageError` if several files are called so.
    """
    uris = table["uri"].to_pylist()
    exact = {name, Storage.at(name).root} if name else set()
    files = exact & set(uris) or {uri for uri in uris if name and _is_called(uri, name)}
    if len(files) > 1:
        some = ", ".join(sorted(files)[:_SHOWN])
        raise UsageError(f"{name}: {len(files)} files are called so: {some} …")
    return [row for row, uri in enumerate(uris) if uri in files]


def _is_called(uri: str, name: str) -> bool:
    return uri.endswith(f"/{name.removeprefix('./')}") or (
        posixpath.splitext(posixpath.basename(uri))[0] == name
    )
