"""Keeping an index fast as it grows: inverted lists where vectors are many, and few segments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pyarrow as pa

from curation.search import ivf, metadata
from curation.search.manifest import Manifest, VectorSegment, VectorTable
from curation.search.segment import Segment
from curation.search.store import IndexStore

_REBUILD_GROWTH = 4
"""Lists are rebuilt at so many times the vectors that they were trained on."""
_RETUNE_GROWTH = 1.5
"""And tuned again at so many times those that they were tuned on."""
_MAX_SEGMENTS = 8
"""More segments than this are merged."""
_MERGE_RATIO = 2
"""A segment is merged with smaller ones if it has no more than so many times the vectors of all."""
_MIN_LISTED = 2048
"""Fewer vectors stay without lists until segments are merged."""
_MAX_CLIP_SEGMENTS = 64


def compact(store: IndexStore, manifest: Manifest, on_progress: Callable[[str], None]) -> Manifest:
    """The same index, faster; the same manifest if there is nothing to do."""
    vectors = {
        name: _compact_vectors(store, name, table, on_progress)
        for name, table in manifest.vectors.items()
    }
    clips = manifest.clips
    if len(clips) > _MAX_CLIP_SEGMENTS:
        parts = [metadata.read_mapped(store.path(segment.metadata)) for segment in clips]
        table = pa.concat_tables(parts, promote_options="default")
        clips = (metadata.write_segment(store, table),)
    return dataclasses.replace(manifest, vectors=vectors, clips=clips)


def _compact_vectors(
    store: IndexStore, name: str, table: VectorTable, on_progress: Callable[[str], None]
) -> VectorTable:
    tuning, count = table.tuning, table.count
    if count > ivf.FLAT_UP_TO and (tuning is None or count >= _REBUILD_GROWTH * tuning.trained_on):
        on_progress(f"sorting {count:,} vectors of {name} into lists")
        flat = tuple(dataclasses.replace(segment, ivf=None) for segment in table.segments)
        flat_table = dataclasses.replace(table, segments=flat, lists=None)
        return ivf.rebuild_lists(store, _merge_segments(store, flat_table))
    table = _add_lists(store, _merge_segments(store, table))
    if tuning is not None and count >= _RETUNE_GROWTH * tuning.vectors:
        on_progress(f"tuning {name}")
        table = ivf.retune(store, table, tuning.trained_on)
    return table


def _merge_segments(store: IndexStore, table: VectorTable) -> VectorTable:
    """The smallest segments as one, if there are too many; a far larger one is left as it is."""
    if len(table.segments) <= _MAX_SEGMENTS:
        return table
    by_size = sorted(table.segments, key=lambda segment: segment.count)
    total, num_merged = by_size[0].count, 1
    for segment in by_size[1:]:
        is_similar = num_merged < 2 or segment.count <= _MERGE_RATIO * total
        if not is_similar or total + segment.count > ivf.LARGEST_SEGMENT:
            break
        total, num_merged = total + segment.count, num_merged + 1
    if num_merged < 2:
        return table
    small = [segment for segment in table.segments if segment in by_size[:num_merged]]
    large = [segment for segment in table.segments if segment not in small]
    empty_lists = None if table.lists is None else faiss.read_index(store.path(table.lists))
    return dataclasses.replace(table, segments=(*large, _concat(store, small, empty_lists)))


def _add_lists(store: IndexStore, table: VectorTable) -> VectorTable:
    """With lists for all segments that are not small, if the table has lists."""
    if table.lists is None or not any(_needs_lists(segment) for segment in table.segments):
        return table
    empty_lists = faiss.read_index(store.path(table.lists))
    segments = []
    for segment in table.segments:
        lists = segment.ivf
        if _needs_lists(segment):
            lists = ivf.write_lists(store, empty_lists, Segment(segment, store.path).fp16)
        segments.append(dataclasses.replace(segment, ivf=lists))
    return dataclasses.replace(table, segments=tuple(segments))


def _needs_lists(segment: VectorSegment) -> bool:
    return segment.ivf is None and segment.count >= _MIN_LISTED


def _concat(
    store: IndexStore, segments: list[VectorSegment], empty_lists: Any | None
) -> VectorSegment:
    """One segment of several; lists are copied, and vectors without lists are sorted into them."""
    opened = [Segment(segment, store.path) for segment in segments]
    rows = np.concatenate([vectors.rows_of(np.arange(vectors.count)) for vectors in opened])
    merged = ivf.write_segment(store, rows, np.concatenate([vectors.fp16 for vectors in opened]))
    if empty_lists is None:
        return merged
    first = 0
    for segment, vectors in zip(segments, opened, strict=True):
        if segment.ivf is None:
            empty_lists.add_with_ids(
                np.asarray(vectors.fp16, np.float32), np.arange(first, first + vectors.count)
            )
        else:
            empty_lists.merge_from(faiss.read_index(store.path(segment.ivf)), first)
        first += vectors.count
    lists = store.write(".ivf", lambda path: faiss.write_index(empty_lists, path))
    return dataclasses.replace(merged, ivf=lists)
