"""Near-duplicates: pairs of clips are found once and stored; a selection then runs over the pairs.

Pairs above a floor come from a faiss range search over unit vectors (exact up to 50,000 clips, in
inverted lists above). A selection walks the clips from the best to the worst and drops each one
that is too similar to a clip it has *kept*, so every dropped clip has a kept one that stands for
it. Windows of one shot are never each other's duplicates: they show one event at different times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.policy import SIMILARITY_FLOOR
from curation.records import Neighbour

Vectors = npt.NDArray[np.float32]

_EXACT_UP_TO = 50_000
_PROBES = 8


def unpack(vectors: Sequence[bytes], dim: int) -> Vectors:
    """Stored float16 vectors as float32 [n, dim], of unit length again (or zero)."""
    packed = np.frombuffer(b"".join(vectors), "<f2").astype(np.float32).reshape(-1, dim)
    lengths = np.linalg.norm(packed, axis=1, keepdims=True)
    return np.asarray(packed / np.maximum(lengths, 1e-6), np.float32)


def neighbours(new: Sequence[str], ids: Sequence[str], vectors: Vectors) -> list[Neighbour]:
    """All pairs with a clip of `new` above the floor, and for each new clip the pair with itself.

    `ids` names the rows of `vectors` [n, dim] and contains `new`. A zero vector has no neighbours.
    """
    rows = {clip: row for row, clip in enumerate(ids)}
    fresh = set(new)
    found = {(clip, clip): 1.0 for clip in fresh}
    index = _index(vectors)
    queries = sorted(fresh)
    for start in range(0, len(queries), 1024):
        part = queries[start : start + 1024]
        bounds, similar, hits = index.range_search(
            np.ascontiguousarray(vectors[[rows[c] for c in part]]), SIMILARITY_FLOOR
        )
        for position, clip in enumerate(part):
            for hit in range(bounds[position], bounds[position + 1]):
                other = ids[hits[hit]]
                if other != clip:
                    pair = (max(clip, other), min(clip, other))
                    found[pair] = round(min(1.0, float(similar[hit])), 5)
    return [Neighbour(*pair, similarity) for pair, similarity in sorted(found.items())]


def _index(vectors: Vectors) -> Any:
    """A faiss index over the vectors, by inner product."""
    import faiss

    faiss.omp_set_num_threads(1)
    index: Any
    count, dim = vectors.shape
    if count <= _EXACT_UP_TO:
        index = faiss.IndexFlatIP(dim)
    else:
        lists = int(4 * np.sqrt(count))
        index = faiss.index_factory(dim, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(1, count // (40 * lists))])
        index.nprobe = _PROBES
    index.add(vectors)
    return index


def greedy(
    order: Iterable[str],
    pairs: Iterable[tuple[str, str, float]],
    shots: Mapping[str, object],
    threshold: float,
) -> dict[str, tuple[str, float]]:
    """The duplicates among `order` (best first): the kept clip that stands for each, and how near.

    `pairs` are (clip, other, similarity); `shots` tells which shot a clip lies in.
    """
    near: dict[str, list[tuple[str, float]]] = {}
    for clip, other, similarity in pairs:
        if similarity >= threshold and clip != other and shots.get(clip) != shots.get(other):
            near.setdefault(clip, []).append((other, similarity))
            near.setdefault(other, []).append((clip, similarity))
    kept: set[str] = set()
    duplicates = {}
    for clip in order:
        standing = [(s, other) for other, s in near.get(clip, ()) if other in kept]
        if standing:
            similarity, other = max(standing)
            duplicates[clip] = (other, similarity)
        else:
            kept.add(clip)
    return duplicates
