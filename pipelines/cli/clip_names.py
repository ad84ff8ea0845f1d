"""Clips and sources by what people call them: first digits of an id, or the name of a file."""

from __future__ import annotations

import posixpath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.clip_table import visible_sources
from curation.dataset import Dataset
from curation.id_match import one_chunk, to_bools
from curation.storage import Storage
from pipelines.cli.exit import UsageError
from pipelines.cli.rows import short_id

_SHOWN = 5


def clips_named(dataset: Dataset, name: str) -> pc.Expression:
    """A condition: the one clip whose id begins so, or all clips of the file of that name.

    A file is named by its address, by the end of it, or by its name without the suffix. Raises
    `UsageError`.
    """
    ids = dataset.find_clips(name)
    if len(ids) > 1:
        some = ", ".join(short_id(clip_id) for clip_id in ids[:_SHOWN])
        raise UsageError(f"{name}: {len(ids)} clips begin so: {some} …")
    if ids:
        return pc.field("clip_id") == ids[0]
    sources = visible_sources(dataset.catalog, ["clips"])
    sources = sources.filter(pc.greater(sources["clips"], 0))
    rows = rows_of_file(sources, name)
    if not rows:
        raise UsageError(
            f"{name}: there is no such clip, and no file of this name has clips; `reelmill ls`"
            " lists the clips, `reelmill ls --sources` the files"
        )
    return pc.field("source_id").isin(one_chunk(sources["source_id"].take(pa.array(rows))))


def rows_of_file(table: pa.Table, name: str) -> list[int]:
    """The rows whose column `uri` is of the file of this name; of one file alone.

    Raises `UsageError` if several files are called so.
    """
    if not name:
        return []
    uris = one_chunk(table["uri"])
    exact = {name, Storage.at(name).root}
    may_be = pc.match_substring(uris, name.removeprefix("./"))
    may_be = pc.or_(may_be, pc.is_in(uris, pa.array(exact, pa.string())))
    rows = np.flatnonzero(to_bools(may_be)).tolist()
    found = dict(zip(rows, uris.take(pa.array(rows, pa.int64())).to_pylist(), strict=True))
    files = exact & {*found.values()} or {uri for uri in found.values() if _is_called(uri, name)}
    if len(files) > 1:
        some = ", ".join(sorted(files)[:_SHOWN])
        raise UsageError(f"{name}: {len(files)} files are called so: {some} …")
    return [row for row, uri in found.items() if uri in files]


def _is_called(uri: str, name: str) -> bool:
    return uri.endswith(f"/{name.removeprefix('./')}") or (
        posixpath.splitext(posixpath.basename(uri))[0] == name
    )
