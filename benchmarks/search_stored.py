"""Many vectors as a scan would have stored them, and their true nearest neighbours."""

import hashlib

import numpy as np
import pyarrow as pa

from curation import records
from curation.records import Clip, Embedding, Source

TABLE = "embeddings/generated"
DIM, INTRINSIC = 512, 24
SPREAD, NOISE = 0.8, 0.1
BLOCK = 50_000
_SPREAD_OUT = 0x9E3779B97F4A7C15


class Generator:
    """Draws vectors."""

    def __init__(self, clusters, seed=0):
        self.rng = np.random.default_rng(seed)
        centres = self.rng.standard_normal((clusters, DIM)).astype(np.float32)
        # One end of a direction first, so that a range of clusters is a side of the space.
        centres = centres[np.argsort(centres[:, 0])]
        self.centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        self.bases = self.rng.standard_normal((clusters, INTRINSIC, DIM), np.float32) / DIM**0.5
        sizes = 1 / np.sqrt(1 + self.rng.permutation(clusters))
        self.sizes = sizes / sizes.sum()

    def draw(self, count):
        """Vectors, float32 [count, DIM], and the cluster of each."""
        of = np.sort(self.rng.choice(len(self.sizes), count, p=self.sizes))
        inside = self.rng.standard_normal((count, INTRINSIC), np.float32) / INTRINSIC**0.5
        found = self.rng.standard_normal((count, DIM), np.float32) * (NOISE / DIM**0.5)
        for cluster in np.unique(of):
            own = slice(*np.searchsorted(of, (cluster, cluster + 1)))
            found[own] += self.centres[cluster] + SPREAD * (inside[own] @ self.bases[cluster])
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        order = self.rng.permutation(count)
        return found[order], of[order]


def store(dataset, vectors, clusters, first):
    """Commits clips with these vectors, as one source that a scan announces.

    `start_frame` is random, 0 to 999,999; `shot_start_frame` is the cluster.
    """
    count = len(vectors)
    source = hashlib.sha256(f"source {first}".encode()).hexdigest()
    ids = [f"{(first + n) * _SPREAD_OUT % 2**128:032x}" for n in range(count)]
    starts = starts_of(first, count)
    columns = {
        "clip_id": pa.array(ids), "source_id": pa.array([source] * count),
        "start_frame": starts, "end_frame": starts + 48, "start_s": starts / 24,
        "end_s": starts / 24 + 2, "shot_start_frame": clusters, "shot_end_frame": clusters + 1,
    }  # fmt: skip
    form = records.arrow_schema(Clip)
    arrays = [
        pa.array(columns[n]) if n in columns else pa.nulls(count, form.field(n).type)
        for n in form.names
    ]
    dataset.catalog.append("clips", Clip, pa.table(arrays, schema=form))
    packed = pa.py_buffer(np.ascontiguousarray(vectors, "<f2"))
    offsets = pa.py_buffer(np.arange(0, (count + 1) * 2 * DIM, 2 * DIM, dtype=np.int32))
    held = pa.Array.from_buffers(pa.binary(), count, [None, offsets, packed])
    rows = [columns["clip_id"], columns["source_id"], pa.array([DIM] * count), held]
    dataset.catalog.append(TABLE, Embedding, pa.table(rows, schema=records.arrow_schema(Embedding)))
    facts = {"source_id": source, "width": 640, "height": 360, "fps": 24.0}
    row = Source(f"/generated/{first}.mp4", 1, "1", "scanned", **facts)
    dataset.catalog.append("sources", Source, records.to_table(Source, [row]))


def starts_of(first, count):
    """The start frames of the clips from number `first` on."""
    return np.random.default_rng(first).integers(0, 1_000_000, count)


class Truth:
    """The stored vectors, as they are stored, and the true nearest of some queries."""

    def __init__(self, queries):
        self.queries = queries
        self.parts = []
        self.starts = []
        self.clusters = []

    def add(self, dataset, vectors, clusters):
        first = sum(map(len, self.parts))
        store(dataset, vectors, clusters, first)
        self.parts.append(np.asarray(vectors, np.float16))
        self.starts.append(starts_of(first, len(vectors)))
        self.clusters.append(clusters)

    def nearest(self, allowed=None, k=10):
        """The `k` nearest that are allowed, int64 [queries, k]; −1 where there are no more."""
        best = np.full((len(self.queries), k), -np.inf, np.float32)
        rows = np.full((len(self.queries), k), -1)
        first = 0
        for part in self.parts:
            for at in range(0, len(part), BLOCK):
                some = np.arange(first + at, first + min(at + BLOCK, len(part)))
                own = some if allowed is None else some[allowed[some]]
                if len(own):
                    near = self.queries @ part[own - first].astype(np.float32).T
                    near = np.concatenate([best, near], axis=1)
                    named = np.concatenate([rows, np.tile(own, (len(near), 1))], axis=1)
                    top = np.argpartition(-near, k - 1, axis=1)[:, :k]
                    best, rows = np.take_along_axis(near, top, 1), np.take_along_axis(named, top, 1)
            first += len(part)
        return rows


def numbers(search):
    """For each row of the index which vector it is, in the order in which they were stored."""
    ids = search.index.metadata["clip_id"].to_pylist()
    inverse = pow(_SPREAD_OUT, -1, 2**128)
    return np.array([int(name, 16) * inverse % 2**128 for name in ids])


def intrinsic(vectors, k=20):
    """The intrinsic dimension by maximum likelihood, from neighbours of 200 of the vectors."""
    some = vectors[:: max(1, len(vectors) // 200)][:200].astype(np.float32)
    near = np.concatenate(
        [some @ vectors[a : a + BLOCK].astype(np.float32).T for a in range(0, len(vectors), BLOCK)],
        axis=1,
    )
    top = -np.sort(-near, axis=1)[:, 1 : k + 1]
    gaps = np.sqrt(np.maximum(2 - 2 * top, 1e-9))
    return float(1 / np.mean(np.log(gaps[:, -1:] / gaps[:, :-1])))
