"""How well and how fast an index of many vectors answers, beside the same faiss lists and others.

    python benchmarks/search.py [--vectors N] [--peers NAME …] [--environments DIR] [--json FILE]

The generator: 200 clusters of sizes that fall as 1/rank^½. A vector is its cluster's centre (a
random direction of unit length), plus 0.8 times a Gaussian in the cluster's own random 24
dimensions, plus 0.1 times one in all dimensions, scaled to unit length. The intrinsic dimension of
what comes out is estimated from the distances to the 20 nearest (Levina and Bickel 2005) and
printed. Queries are further draws.

The vectors are stored as an output of a scan would be, and indexed and asked by `Search`. Printed:

- recall@10 and the median time of a query, of the index, of the whole `Search.query`, and of the
  same faiss index asked directly at the same number of lists, in turns;
- the same with filters that leave 50 % to 0.1 %: random ones, and ones that leave whole clusters on
  one side of the space, asked from everywhere;
- how long 20,000 appended vectors take to be found;
- recall after as many vectors again were appended in such steps;
- with `--peers hnswlib usearch lancedb` those, each in an environment of its own below DIR.

    python benchmarks/search.py --captioned OUT --questions FILE

asks an output of captioned clips. FILE is JSON: a list of {"text", "relevant": {clip id: gain}}.
Printed is nDCG@10 (Järvelin and Kekäläinen 2002) by words, by vectors and by both.

Run on an otherwise idle machine; trust the ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa

from curation import records
from curation.dataset import Dataset
from curation.records import Clip, Embedding, Source
from curation.search import Search, Vector
from curation.search.mask import Mask

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers" / "search.py"
TABLE = "embeddings/generated"
DIM, CLUSTERS, INTRINSIC = 512, 200, 24
SPREAD, NOISE = 0.8, 0.1
BLOCK = 50_000
APPENDED = 20_000
SHARES = (0.5, 0.2, 0.1, 0.05, 0.01, 0.001)


class Generator:
    """Draws vectors."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        centres = self.rng.standard_normal((CLUSTERS, DIM)).astype(np.float32)
        # One end of a direction first, so that a range of clusters is a side of the space.
        centres = centres[np.argsort(centres[:, 0])]
        self.centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        self.bases = self.rng.standard_normal((CLUSTERS, INTRINSIC, DIM), np.float32) / DIM**0.5
        sizes = 1 / np.sqrt(1 + self.rng.permutation(CLUSTERS))
        self.sizes = sizes / sizes.sum()

    def draw(self, count: int) -> tuple[Any, Any]:
        """Vectors, float32 [count, DIM], and the cluster of each."""
        of = np.sort(self.rng.choice(CLUSTERS, count, p=self.sizes))
        inside = self.rng.standard_normal((count, INTRINSIC), np.float32) / INTRINSIC**0.5
        found = self.rng.standard_normal((count, DIM), np.float32) * (NOISE / DIM**0.5)
        for cluster in np.unique(of):
            own = slice(*np.searchsorted(of, (cluster, cluster + 1)))
            found[own] += self.centres[cluster] + SPREAD * (inside[own] @ self.bases[cluster])
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        order = self.rng.permutation(count)
        return found[order], of[order]


def store(dataset: Dataset, vectors: Any, clusters: Any, first: int) -> None:
    """Commits clips with these vectors, as one source that a scan announces.

    `start_frame` is random, 0 to 999,999; `shot_start_frame` is the cluster.
    """
    count = len(vectors)
    source = hashlib.sha256(f"source {first}".encode()).hexdigest()
    ids = [f"{(first + n) * 0x9E3779B97F4A7C15 % 2**128:032x}" for n in range(count)]
    starts = np.random.default_rng(first).integers(0, 1_000_000, count)
    columns: dict[str, Any] = {
        "clip_id": pa.array(ids), "source_id": pa.array([source] * count),
        "start_frame": starts, "end_frame": starts + 48, "start_s": starts / 24,
        "end_s": starts / 24 + 2, "shot_start_frame": clusters, "shot_end_frame": clusters + 1,
    }  # fmt: skip
    form = records.schema(Clip)
    arrays = [
        pa.array(columns[n]) if n in columns else pa.nulls(count, form.field(n).type)
        for n in form.names
    ]
    dataset.catalog.append("clips", Clip, pa.table(arrays, schema=form))
    packed = pa.py_buffer(np.ascontiguousarray(vectors, "<f2"))
    offsets = pa.py_buffer(np.arange(0, (count + 1) * 2 * DIM, 2 * DIM, dtype=np.int32))
    held = pa.Array.from_buffers(pa.binary(), count, [None, offsets, packed])
    rows = [columns["clip_id"], columns["source_id"], pa.array([DIM] * count), held]
    dataset.catalog.append(TABLE, Embedding, pa.table(rows, schema=records.schema(Embedding)))
    row = Source(
        f"/generated/{first}.mp4",
        1,
        "1",
        "scanned",
        source_id=source,
        width=640,
        height=360,
        fps=24.0,
    )
    dataset.catalog.append("sources", Source, records.table(Source, [row]))


class Truth:
    """The stored vectors, as they are stored, and the true nearest of some queries."""

    def __init__(self, queries: Any) -> None:
        self.queries = queries
        self.parts: list[Any] = []
        self.starts: list[Any] = []
        self.clusters: list[Any] = []

    def add(self, dataset: Dataset, vectors: Any, clusters: Any) -> None:
        first = sum(map(len, self.parts))
        store(dataset, vectors, clusters, first)
        self.parts.append(np.asarray(vectors, np.float16))
        self.starts.append(np.random.default_rng(first).integers(0, 1_000_000, len(vectors)))
        self.clusters.append(clusters)

    def nearest(self, allowed: Any = None, k: int = 10) -> Any:
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


def numbers(search: Search) -> Any:
    """For each row of the index which vector it is, in the order in which they were stored."""
    ids = search.index.facts["clip_id"].to_pylist()
    inverse = pow(0x9E3779B97F4A7C15, -1, 2**128)
    return np.array([int(name, 16) * inverse % 2**128 for name in ids])


def asked(ask: Callable[[Any], Any], queries: Any) -> tuple[list[Any], float]:
    """The answers, and the median milliseconds."""
    answers, took = [], []
    for query in queries:
        start = time.perf_counter()
        answers.append(ask(query))
        took.append(time.perf_counter() - start)
    return answers, 1e3 * float(np.median(took))


def recall(answers: Sequence[Any], truth: Any) -> float:
    hits = sum(len(np.intersect1d(a, t[t >= 0])) for a, t in zip(answers, truth, strict=True))
    return hits / max(1, int((truth >= 0).sum()))


def intrinsic(vectors: Any, k: int = 20) -> float:
    """The intrinsic dimension by maximum likelihood, from neighbours of 200 of the vectors."""
    some = vectors[:: max(1, len(vectors) // 200)][:200].astype(np.float32)
    near = np.concatenate(
        [some @ vectors[a : a + BLOCK].astype(np.float32).T for a in range(0, len(vectors), BLOCK)],
        axis=1,
    )
    top = -np.sort(-near, axis=1)[:, 1 : k + 1]
    gaps = np.sqrt(np.maximum(2 - 2 * top, 1e-9))
    return float(1 / np.mean(np.log(gaps[:, -1:] / gaps[:, :-1])))


def unfiltered(search: Search, truth: Truth, number: Any) -> dict[str, float]:
    """The index, the whole query and faiss alone, in turns."""
    vectors = search.index.vectors(TABLE)
    listed = [s for s in search.index.manifest.vectors[TABLE].segments if s.ivf is not None]
    raw = [faiss.read_index(search.index.folder.path(s.ivf)) for s in listed]
    for each in raw:
        each.nprobe = vectors.probes
    took: dict[str, list[float]] = {"index": [], "query": [], "faiss": []}
    found: dict[str, list[Any]] = {name: [] for name in took}

    def by_faiss(query: Any) -> Any:
        return np.concatenate([each.search(query[None], 10)[1][0] for each in raw])

    ways = {
        "faiss": by_faiss,
        "index": lambda query: vectors.search(query, 10).rows,
        "query": lambda query: search.query(like=Vector(query, "generated"), k=10, collapse=False),
    }
    for query in truth.queries:
        for name, ask in ways.items():
            start = time.perf_counter()
            found[name].append(ask(query))
            took[name].append(time.perf_counter() - start)
    nearest = truth.nearest()
    p50 = {name: 1e3 * float(np.median(each)) for name, each in took.items()}
    ratios = np.array(took["index"]) / np.array(took["faiss"])
    said = {
        "recall": recall([number[a] for a in found["index"]], nearest),
        "probes": vectors.probes,
    }
    if len(raw) == 1:
        said["faiss_recall"] = recall([number[a[a >= 0]] for a in found["faiss"]], nearest)
    return {
        **said, "p50_ms": p50["index"], "faiss_p50_ms": p50["faiss"], "query_p50_ms": p50["query"],
        "of_faiss": float(np.median(ratios)),
    }  # fmt: skip


def by_index(search: Search) -> Callable[[Any], Any]:
    vectors = search.index.vectors(TABLE)
    return lambda query: vectors.search(query, 10).rows


def filtered(search: Search, truth: Truth, number: Any) -> list[dict[str, Any]]:
    """Recall and time with filters."""
    starts, clusters = np.concatenate(truth.starts), np.concatenate(truth.clusters)
    vectors, found = search.index.vectors(TABLE), []
    for share in SHARES:
        edge = np.quantile(clusters, share, method="higher")
        among = (
            clusters <= edge
            if share >= 0.01
            else (clusters <= edge) & (starts < 1e6 * share / (clusters <= edge).mean())
        )
        for kind, allowed, where in (
            ("random", starts < share * 1e6, f"start_frame < {share * 1e6}"),
            ("correlated", among, None),
        ):
            nearest = truth.nearest(allowed)
            mask = Mask(allowed[number])
            answers, p50 = asked(
                lambda query, mask=mask: vectors.search(query, 10, mask).rows, truth.queries
            )
            one = {
                "filter": kind, "share": float(allowed.mean()), "p50_ms": p50,
                "recall": recall([number[a] for a in answers], nearest),
                "all_hits": [len(a) for a in answers] == (nearest >= 0).sum(axis=1).tolist(),
            }  # fmt: skip
            if where is not None:
                _, one["query_p50_ms"] = asked(
                    lambda query, where=where: search.query(
                        like=Vector(query, "generated"), k=10, where=where
                    ),
                    truth.queries,
                )
            found.append(one)
    return found


def appended(search: Search, truth: Truth, generator: Generator) -> float:
    """Seconds until the last of some new vectors is found by another reader."""
    dataset = search.dataset
    reader = Search(dataset.catalog.storage.root, refresh=False)
    vectors, clusters = generator.draw(APPENDED)
    truth.add(dataset, vectors, clusters)
    seen: list[float] = []
    start = time.perf_counter()

    def published(words: str) -> None:
        if words == "published":
            hit = reader.query(like=Vector(vectors[-1], "generated"), k=1)
            assert hit["score"][0].as_py() > 0.999, "the new vector is not found"
            seen.append(time.perf_counter() - start)

    search.update(published)
    return seen[0]


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    generator = Generator()
    queries, _ = generator.draw(arguments.queries)
    dataset, truth = Dataset(folder / "out"), Truth(queries)
    for start in range(0, arguments.vectors, BLOCK):
        truth.add(dataset, *generator.draw(min(BLOCK, arguments.vectors - start)))
    stored = np.concatenate(truth.parts)
    found: dict[str, Any] = {
        "vectors": arguments.vectors,
        "dim": DIM,
        "intrinsic": intrinsic(stored),
    }
    if arguments.peers:
        np.save(folder / "vectors.npy", stored)
        np.save(folder / "queries.npy", queries)
        np.save(folder / "truth.npy", truth.nearest())
    del stored
    start = time.perf_counter()
    search = Search(folder / "out")
    found["build_s"] = time.perf_counter() - start
    number = numbers(search)
    tuning = search.index.manifest.vectors[TABLE].tuning
    found["tuning"] = None if tuning is None else vars(tuning)
    if tuning is not None:
        found["unfiltered"] = unfiltered(search, truth, number)
        say("unfiltered", found["unfiltered"])
    found["filtered"] = filtered(search, truth, number)
    for one in found["filtered"]:
        say(f"{one['filter']} {one['share']:.2%}", one)
    seconds = [appended(search, truth, generator) for _ in range(-(-arguments.vectors // APPENDED))]
    nearest, number = truth.nearest(), numbers(search)
    answers, p50 = asked(by_index(search), queries)
    found["appended"] = {
        "vectors": APPENDED, "median_s": float(np.median(seconds)), "slowest_s": max(seconds),
        "vectors_per_s": APPENDED / float(np.median(seconds)),
        "doubled_recall": recall([number[a] for a in answers], nearest), "doubled_p50_ms": p50,
        "segments": len(search.index.manifest.vectors[TABLE].segments),
    }  # fmt: skip
    say("appended", found["appended"])
    found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    del search
    for name in arguments.peers:
        found[name] = peer(name, arguments.environments, folder)
        say(name, found[name])
    return found


def say(name: str, figures: dict[str, Any]) -> None:
    words = (
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in figures.items()
    )
    print(f"{name}: {', '.join(words)}", flush=True)


def peer(name: str, environments: Path, folder: Path) -> dict[str, Any]:
    """What another index came to."""
    place = environments / f"search-{name}"
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        packages = runpy.run_path(str(PEERS))["PACKAGES"][name]
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (place / "ready").touch()
    command = [str(python), str(PEERS), name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            found: dict[str, Any] = json.loads(line[7:])
            return found
    raise SystemExit(f"{' '.join(command)}\n{done.stdout[-500:]}\n{done.stderr[-2000:]}")


def gain(hits: Sequence[str], relevant: dict[str, float]) -> float:
    """nDCG@10 of one answer."""
    weights = 1 / np.log2(np.arange(2, 12))
    got = np.array([relevant.get(clip, 0.0) for clip in hits[:10]])
    best = np.sort(list(relevant.values()))[::-1][:10]
    return float((got * weights[: len(got)]).sum() / (best * weights[: len(best)]).sum())


def captioned(arguments: argparse.Namespace) -> dict[str, Any]:
    """nDCG@10 by words, by vectors and by both."""
    search = Search(arguments.captioned, model=arguments.model)
    questions = json.loads(arguments.questions.read_text())
    found: dict[str, Any] = {"questions": len(questions)}
    for by in ("words", "vectors", "both"):
        gains = []
        for one in questions:
            hits = search.query(
                one["text"], by=by, k=10, collapse=False, embeddings=arguments.embeddings
            )
            gains.append(gain(hits["clip_id"].to_pylist(), one["relevant"]))
        found[by] = float(np.mean(gains))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--peers", nargs="*", default=[], choices=["hnswlib", "usearch", "lancedb"])
    parser.add_argument("--environments", type=Path, default=ROOT / ".peers")
    parser.add_argument(
        "--folder", type=Path, help="Where to work; a temporary folder if left out."
    )
    parser.add_argument("--captioned", help="An output whose captioned clips to ask.")
    parser.add_argument("--questions", type=Path, help="Questions and the clips that answer them.")
    parser.add_argument("--embeddings", help="The table of embeddings to ask.")
    parser.add_argument("--model", help="The open_clip model that made it.")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    if given.captioned:
        results = captioned(given)
    else:
        with tempfile.TemporaryDirectory(prefix="reelmill-", dir=given.folder) as scratch:
            results = measure(given, Path(scratch))
    print(json.dumps(results, indent=1))
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))
