"""Keeping an index quick as it grows: lists where vectors became many, and few segments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pyarrow as pa

from curation.search import ivf, metadata
from curation.search.manifest import ClipSegment, Manifest, VectorSegment, VectorTable
from curation.search.segment import Segment
from curation.search.store import Folder

_GROWN = 4
"""Lists are made anew for so many times the vectors that they were made for."""
_RETUNED = 1.5
"""And tuned again for so many times those that they were tuned on."""
_SEGMENTS = 8
"""More segments than this are merged."""
_ALIKE = 2
"""A segment is merged with smaller ones if it is no more than so many times all of them."""
_LISTED_FROM = 2048
"""Fewer vectors stay without lists until segments are merged."""
_CLIP_SEGMENTS = 64


def tidied(folder: Folder, manifest: Manifest, watch: Callable[[str], None]) -> Manifest:
    """The same index, quicker; the same manifest if there is nothing to do."""
    vectors = {name: _tidied(folder, name, t, watch) for name, t in manifest.vectors.items()}
    found = dataclasses.replace(manifest, vectors=vectors)
    if len(found.clips) > _CLIP_SEGMENTS:
        found = dataclasses.replace(found, clips=(_merged_clips(folder, found.clips),))
    return found


def _tidied(
    folder: Folder, name: str, table: VectorTable, watch: Callable[[str], None]
) -> VectorTable:
    tuning = table.tuning
    needed = table.count > ivf.FLAT_UP_TO
    if needed and (tuning is None or table.count >= _GROWN * tuning.trained_on):
        watch(f"sorting {table.count:,} vectors of {name} into lists")
        table = _merged(folder, dataclasses.replace(table, segments=_unlisted(table), lists=None))
        return ivf.relisted(folder, table)
    table = _listed(folder, _merged(folder, table))
    if tuning is not None and table.count >= _RETUNED * tuning.vectors:
        watch(f"tuning {name}")
        table = ivf.retuned(folder, table, tuning.trained_on)
    return table


def _unlisted(table: VectorTable) -> tuple[VectorSegment, ...]:
    return tuple(dataclasses.replace(segment, ivf=None) for segment in table.segments)


def _merged(folder: Folder, table: VectorTable) -> VectorTable:
    """The smallest segments as one, if there are too many; a far larger one is left as it is."""
    if len(table.segments) <= _SEGMENTS:
        return table
    segments = sorted(table.segments, key=lambda segment: segment.count)
    total, room = segments[0].count, 1
    for segment in segments[1:]:
        is_alike = room < 2 or segment.count <= _ALIKE * total
        if not is_alike or total + segment.count > ivf.LARGEST_SEGMENT:
            break
        total, room = total + segment.count, room + 1
    if room < 2:
        return table
    small = [segment for segment in table.segments if segment in segments[:room]]
    others = [segment for segment in table.segments if segment not in small]
    empty = None if table.lists is None else faiss.read_index(folder.path(table.lists))
    return dataclasses.replace(table, segments=(*others, _one(folder, small, empty)))


def _listed(folder: Folder, table: VectorTable) -> VectorTable:
    """With lists for all segments that are not small, if the table has lists."""
    if table.lists is None:
        return table
    wanted = [s.ivf is None and s.count >= _LISTED_FROM for s in table.segments]
    if not any(wanted):
        return table
    empty = faiss.read_index(folder.path(table.lists))
    segments = tuple(
        _with_lists(folder, segment, empty) if is_wanted else segment
        for segment, is_wanted in zip(table.segments, wanted, strict=True)
    )
    return dataclasses.replace(table, segments=segments)


def _with_lists(folder: Folder, said: VectorSegment, empty: Any) -> VectorSegment:
    opened = Segment(said, folder.path)
    return dataclasses.replace(said, ivf=ivf.filled(folder, empty, opened.half))


def _one(folder: Folder, small: list[VectorSegment], empty: Any | None) -> VectorSegment:
    """One segment of several; what was in lists is copied, what was not is sorted into them."""
    opened = [Segment(said, folder.path) for said in small]
    rows = np.concatenate([one.rows(np.arange(one.count)) for one in opened])
    made = ivf.segment(folder, rows, np.concatenate([one.half for one in opened]))
    if empty is None:
        return made
    first = 0
    for said, one in zip(small, opened, strict=True):
        if said.ivf is None:
            empty.add_with_ids(
                np.asarray(one.half, np.float32), np.arange(first, first + one.count)
            )
        else:
            empty.merge_from(faiss.read_index(folder.path(said.ivf)), first)
        first += one.count
    return dataclasses.replace(
        made, ivf=folder.write(".ivf", lambda path: faiss.write_index(empty, path))
    )


def _merged_clips(folder: Folder, clips: tuple[ClipSegment, ...]) -> ClipSegment:
    parts = [metadata.mapped(folder.path(segment.facts)) for segment in clips]
    return metadata.segment(folder, pa.concat_tables(parts, promote_options="default"))
