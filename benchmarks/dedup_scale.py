"""Search for pairs among many vectors, for `benchmarks/dedup.py`."""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.dedup.greedy import DuplicateGraph, greedy_duplicates
from curation.dedup.pair_search import similar_pairs
from curation.dedup.pairs import Pairs, concat_sorted, exact_pairs, with_similarity

Vectors = npt.NDArray[np.float32]
_QUERIES = 2000
_MORE_UP_TO = 100_000
_PARTS = 4
_LISTS = 16
"""Lists that faiss looks into for each query."""


def clustered(count: int, dim: int) -> Vectors:
    """Unit vectors: topics of uneven size, scenes in them, clips of scenes, and copies of clips."""
    rng = np.random.default_rng(0)
    spectrum = (np.arange(1, dim + 1) ** -0.4).astype(np.float32)

    def some(number: int) -> Vectors:
        return unit(rng.standard_normal((number, dim), dtype=np.float32) * spectrum)

    scenes = max(2, count // 30)
    topics = some(400)[rng.zipf(1.3, scenes) % 400]
    scene = unit(0.7 * topics + 0.7 * some(scenes))
    made = np.empty((count, dim), np.float32)
    for start in range(0, count, 65536):
        which = rng.integers(0, scenes, min(65536, count - start))
        apart = rng.uniform(0.3, 1.2, (len(which), 1)).astype(np.float32)
        made[start : start + len(which)] = unit(scene[which] + apart * some(len(which)))
    copies = rng.permutation(count)[: count // 5]
    for start in range(0, len(copies), 65536):
        part = copies[start : start + 65536]
        apart = rng.uniform(0.05, 0.6, (len(part), 1)).astype(np.float32)
        made[part] = unit(made[rng.integers(0, count, len(part))] + apart * some(len(part)))
    return made


def unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def measured_scale(count: int, dim: int, floor: float) -> dict[str, Any]:
    """Times, memory, and what is found of what is there."""
    vectors = clustered(count, dim)
    rng = np.random.default_rng(5)
    asked = np.zeros(count, bool)
    asked[rng.permutation(count)[:_QUERIES]] = True
    began = clocks()
    exact = concat_sorted(with_similarity(exact_pairs(vectors, floor, asked), vectors, floor))
    # A search for all pairs makes each comparison once, so half of all queries times all vectors.
    exact_s = (clocks() - began) * count / asked.sum() / 2
    began = clocks()
    found = similar_pairs(vectors, floor)
    search_s = clocks() - began
    print(f"{count:,}: exact {exact_s.round()} s, ours {search_s.round()} s, wall and CPU; recall "
          f"{held(exact, found, count):.5f} of {len(exact):,}", flush=True)  # fmt: skip
    began = clocks()
    order = rng.permutation(count)
    dropped = greedy_duplicates(order.tolist(), [relation(found, count)])
    greedy_s = clocks() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    kept = np.ones(count, bool)
    kept[list(dropped)] = False
    ones = np.array(list(dropped), np.int64)
    others = np.array([standing.row for standing in dropped.values()], np.int64)
    return {
        "vectors": count, "dim": dim, "floor": floor,
        "pairs": len(found),
        f"exact search, s ({_QUERIES} queries, scaled)": exact_s[0],
        "ours, s": search_s[0],
        "times as fast": exact_s[0] / search_s[0],
        "exact search, CPU s (scaled)": exact_s[1],
        "ours, CPU s": search_s[1],
        "times as little CPU": exact_s[1] / search_s[1],
        "peak memory, vectors and selection too, GiB": peak,
        "pairs of the sample": len(exact),
        "recall of the sample's pairs": held(exact, found, count),
        "selection over the pairs, s": greedy_s[0],
        "removed": len(dropped) / count,
        "orphans": int((~kept[others]).sum() + (others == ones).sum()),
        **semdedup(vectors, floor, exact, found),
        **(smaller(vectors, floor, exact, found, order) if count <= _MORE_UP_TO else {}),
    }  # fmt: skip


def clocks() -> npt.NDArray[np.float64]:
    """Seconds on the wall, and of all cores in this process."""
    return np.array([time.perf_counter(), time.process_time()])


def relation(pairs: Pairs, count: int) -> DuplicateGraph:
    one = np.concatenate([pairs.first, pairs.second])
    other = np.concatenate([pairs.second, pairs.first])
    similarity = np.concatenate([pairs.similarity, pairs.similarity])
    return DuplicateGraph("near_duplicate", np.arange(count), one, other, similarity)


def held(exact: Pairs, found: Pairs, count: int) -> float:
    """The share of exact pairs that were found."""
    there = np.isin(exact.first * count + exact.second, found.first * count + found.second)
    return float(there.mean()) if len(there) else 1.0


def semdedup(vectors: Vectors, floor: float, exact: Pairs, found: Pairs) -> dict[str, float]:
    """The published rule: within a cell, from the centroid outwards, against all before."""
    home, distance = homes(vectors, max(2, len(vectors) // 250))
    same = home[exact.first] == home[exact.second]
    inside = home[found.first] == home[found.second]
    first, second = found.first[inside], found.second[inside]
    # Of a pair the one nearer to its centroid is removed; its representative may be removed too.
    nearer = np.where(distance[first] >= distance[second], first, second)
    removed = np.zeros(len(vectors), bool)
    removed[nearer] = True
    stands = np.zeros(len(vectors), bool)
    for one, other in ((found.first, found.second), (found.second, found.first)):
        stands[one[~removed[other]]] = True
    return {
        "SemDeDup: recall of the sample's pairs": float(same.mean()) if len(same) else 1.0,
        "SemDeDup: removed": float(removed.mean()),
        "SemDeDup: orphans, share of the removed": float((removed & ~stands).sum())
        / max(1, int(removed.sum())),
    }


def homes(vectors: Vectors, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The k-means cell of each vector, and its similarity to the centroid."""
    import faiss

    rng = np.random.default_rng(0)
    picked = np.sort(rng.permutation(len(vectors))[: 40 * count])
    kmeans = faiss.Kmeans(vectors.shape[1], count, niter=8, seed=0, spherical=True,
                          min_points_per_centroid=1)  # fmt: skip
    kmeans.train(np.ascontiguousarray(vectors[picked]))
    similar, nearest = kmeans.index.search(vectors, 1)
    return nearest[:, 0], similar[:, 0]


def smaller(
    vectors: Vectors, floor: float, exact: Pairs, found: Pairs, order: npt.NDArray[np.int64]
) -> dict[str, float]:
    """What only fewer vectors are asked for: faiss's own search, and vectors added in parts."""
    parts = []
    for part in np.array_split(np.arange(len(vectors)), _PARTS):
        new = np.arange(part[-1] + 1) >= part[0]
        parts.append(similar_pairs(vectors[: len(new)], floor, new))
    ends = [
        greedy_duplicates(order.tolist(), [relation(pairs, len(vectors))]).keys()
        for pairs in (found, concat_sorted(parts))
    ]
    return {
        f"vectors that end otherwise if added in {_PARTS} parts": len(ends[0] ^ ends[1])
        / len(vectors),
        **ranged(vectors, floor, exact),
    }


def ranged(vectors: Vectors, floor: float, exact: Pairs) -> dict[str, float]:
    """Range search of faiss over as many inverted lists, query by query."""
    import faiss

    count, dim = vectors.shape
    index: Any = faiss.index_factory(dim, f"IVF{int(4 * np.sqrt(count))},Flat",
                                     faiss.METRIC_INNER_PRODUCT)  # fmt: skip
    index.cp.niter, index.cp.max_points_per_centroid = 6, 30
    began = clocks()
    index.train(vectors)
    index.add(vectors)
    index.nprobe = _LISTS
    bounds, similar, other = index.range_search(vectors, floor)
    took = clocks() - began
    one = np.repeat(np.arange(count), np.diff(bounds.astype(np.int64)))
    found = Pairs(np.minimum(one, other), np.maximum(one, other), similar.astype(np.float64))
    return {
        f"faiss range search, {_LISTS} lists, s": took[0],
        f"faiss range search, {_LISTS} lists, CPU s": took[1],
        "faiss range search: recall of the sample's pairs": held(exact, found, count),
    }
