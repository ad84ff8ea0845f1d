"""Recall and speed of other indexes on the queries of `benchmarks/search.py`.

Each runs in its own environment.

    python benchmarks/peers/search.py INDEX FOLDER

FOLDER holds `vectors.npy` (float16 [n, dim], unit length), `queries.npy` (float32 [m, dim]) and
`truth.npy` (int64 [m, 10], the true ten nearest by inner product). The index is built with its own
defaults or those that its documentation names; then what widens its search is doubled until
recall@10 reaches 0.95. Two threads build, one queries. Prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = {
    "hnswlib": ["hnswlib==0.8.0", "numpy==2.2.6"],
    "usearch": ["usearch==2.26.6", "numpy==2.2.6"],
    "lancedb": ["lancedb==0.40.0", "pylance==14.0.2", "numpy==2.2.6"],
}
"""What the environment of each holds."""

Ask = Callable[[Any, int], Any]
"""The ids of the ten nearest to a query [dim], given how wide to search."""
BLOCK = 50_000
WANTED = 0.95


def with_hnswlib(vectors: Any, _: Path) -> Ask:
    import hnswlib

    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), M=16, ef_construction=200)
    index.set_num_threads(2)
    for start in range(0, len(vectors), BLOCK):
        some = vectors[start : start + BLOCK].astype(np.float32)
        index.add_items(some, np.arange(start, start + len(some)))
    index.set_num_threads(1)

    def ask(query: Any, width: int) -> Any:
        index.set_ef(10 * width)
        return index.knn_query(query, 10)[0][0]

    return ask


def with_usearch(vectors: Any, _: Path) -> Ask:
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16")
    for start in range(0, len(vectors), BLOCK):
        some = vectors[start : start + BLOCK]
        index.add(np.arange(start, start + len(some)), some, threads=2)

    def ask(query: Any, width: int) -> Any:
        index.expansion_search = 10 * width
        return index.search(query, 10, threads=1).keys

    return ask


def with_lancedb(vectors: Any, folder: Path) -> Ask:
    import lancedb
    import pyarrow as pa

    kind = pa.list_(pa.float16(), vectors.shape[1])
    form = pa.schema([("id", pa.int64()), ("vector", kind)])

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(vectors), BLOCK):
            some = np.ascontiguousarray(vectors[start : start + BLOCK])
            ids = pa.array(np.arange(start, start + len(some)))
            rows = pa.FixedSizeListArray.from_arrays(pa.array(some.ravel()), type=kind)
            yield pa.RecordBatch.from_arrays([ids, rows], schema=form)

    database = lancedb.connect(str(folder / "lance"))
    table = database.create_table("vectors", batches(), schema=form, mode="overwrite")
    # Inverted lists of 8-bit codes, as the index beside it has.
    table.create_index(metric="dot", index_type="IVF_SQ", vector_column_name="vector")

    def ask(query: Any, width: int) -> Any:
        found = table.search(query).metric("dot").nprobes(width).refine_factor(4)
        return found.select(["id", "_distance"]).limit(10).to_arrow()["id"].to_numpy()

    return ask


INDEXES = {"hnswlib": with_hnswlib, "usearch": with_usearch, "lancedb": with_lancedb}


def measured(ask: Ask, queries: Any, truth: Any, width: int) -> tuple[float, float]:
    """Recall@10 and median milliseconds."""
    took, hits = [], 0
    for query, nearest in zip(queries, truth, strict=True):
        start = time.perf_counter()
        found = ask(query, width)
        took.append(time.perf_counter() - start)
        hits += len(np.intersect1d(found, nearest))
    return hits / truth.size, 1e3 * float(np.median(took))


def peak_gb() -> float:
    """Most memory that this program held; what `getrusage` says begins with its parent's."""
    said = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(said["VmHWM"].split()[0]) * 1024 / 1e9


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    start = time.perf_counter()
    ask = INDEXES[name](vectors, folder)
    built = time.perf_counter() - start
    width = 1
    while True:
        recall, p50 = measured(ask, queries, truth, width)
        if recall >= WANTED or width >= 1024:
            break
        width *= 2
    found = {
        "recall": recall,
        "p50_ms": p50,
        "build_s": built,
        "peak_gb": peak_gb(),
        "width": width,
    }
    print("RESULT " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
