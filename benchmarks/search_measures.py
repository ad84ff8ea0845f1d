"""What is measured of a search index: recall and time, plain, filtered, and as it grows."""

import time

import faiss
import numpy as np

from curation.search import Search, Vector
from curation.search.mask import Mask
from search_stored import TABLE, numbers

APPENDED = 20_000
SHARES = (0.5, 0.2, 0.1, 0.05, 0.01, 0.001)


def asked(ask, queries):
    """The answers, and the median milliseconds."""
    answers, took = [], []
    for query in queries:
        start = time.perf_counter()
        answers.append(ask(query))
        took.append(time.perf_counter() - start)
    return answers, 1e3 * float(np.median(took))


def recall(answers, truth):
    hits = sum(len(np.intersect1d(a, t[t >= 0])) for a, t in zip(answers, truth, strict=True))
    return hits / max(1, int((truth >= 0).sum()))


def by_faiss(search):
    """The same lists, read into memory and asked by faiss alone at the same number of lists."""
    vectors = search.index.vector_index(TABLE)
    listed = [s for s in search.index.manifest.vectors[TABLE].segments if s.ivf is not None]
    raw = [faiss.read_index(search.index.store.path(s.ivf)) for s in listed]
    for each in raw:
        each.nprobe = vectors.probes
    return lambda query: np.concatenate([each.search(query[None], 10)[1][0] for each in raw])


def unfiltered(search, truth, number):
    """The index, the whole query and faiss alone, in turns, one thread each.

    Each answers all queries once before, so that none waits for the disk.
    """
    vectors = search.index.vector_index(TABLE)
    ways = {
        "faiss": by_faiss(search),
        "index": lambda query: vectors.search(query, 10).rows,
        "query": lambda query: search.query(like=Vector(query, "generated"), k=10, collapse=False),
    }
    for ask in ways.values():
        asked(ask, truth.queries)
    took, found = {name: [] for name in ways}, {name: [] for name in ways}
    for query in truth.queries:
        for name, ask in ways.items():
            start = time.perf_counter()
            found[name].append(ask(query))
            took[name].append(time.perf_counter() - start)
    nearest = truth.nearest()
    p50 = {name: 1e3 * float(np.median(each)) for name, each in took.items()}
    return {
        "recall": recall([number[a] for a in found["index"]], nearest),
        "probes": vectors.probes,
        "faiss_recall": recall([number[a[a >= 0]] for a in found["faiss"]], nearest),
        "p50_ms": p50["index"], "faiss_p50_ms": p50["faiss"], "query_p50_ms": p50["query"],
        "of_faiss": p50["index"] / p50["faiss"],
        "of_faiss_in_turn": float(np.median(np.divide(took["index"], took["faiss"]))),
    }  # fmt: skip


def filtered(search, truth, number):
    """Recall and time with filters, one after the other."""
    starts, clusters = np.concatenate(truth.starts), np.concatenate(truth.clusters)
    for share in SHARES:
        yield _filtered(
            search, truth, number, starts < share * 1e6, f"start_frame < {share * 1e6}"
        ) | {"filter": "random"}
        among = clusters <= np.quantile(clusters, share, method="higher")
        if share < 0.01:  # a part of the cluster
            among &= starts < 1e6 * share / among.mean()
        yield _filtered(search, truth, number, among) | {"filter": "correlated"}


def _filtered(search, truth, number, allowed, where=None):
    vectors, mask = search.index.vector_index(TABLE), Mask(allowed[number])
    nearest = truth.nearest(allowed)
    answers, p50 = asked(lambda query: vectors.search(query, 10, mask).rows, truth.queries)
    found = {
        "share": float(allowed.mean()), "p50_ms": p50,
        "recall": recall([number[a] for a in answers], nearest),
        "all_hits": [len(a) for a in answers] == (nearest >= 0).sum(axis=1).tolist(),
    }  # fmt: skip
    if where is not None:
        _, found["query_p50_ms"] = asked(
            lambda query: search.query(like=Vector(query, "generated"), k=10, where=where),
            truth.queries,
        )
    return found


def appended(search, reader, truth, generator):
    """Seconds until the last of some new vectors is found by another reader, and until all is tidy.

    And the CPU seconds of this process until it is found.
    """
    vectors, clusters = generator.draw(APPENDED)
    reader.query(where="true", k=1)  # it takes up what was tidied since
    truth.add(search.dataset, vectors, clusters)
    seen = []
    start, worked = time.perf_counter(), time.process_time()

    def published(words):
        if words == "published":
            hit = reader.query(like=Vector(vectors[-1], "generated"), k=1)
            if hit["score"][0].as_py() < 0.999:
                raise SystemExit("the new vector is not found")
            seen.extend((time.perf_counter() - start, time.process_time() - worked))

    search.update(published)
    return *seen, time.perf_counter() - start


def doubled(search, truth, generator, count):
    """Seconds of each of many appends, and recall after them."""
    reader = Search(search.dataset.catalog.storage.root, refresh=False)
    steps = range(-(-count // APPENDED))
    took = np.array([appended(search, reader, truth, generator) for _ in steps])
    vectors, number = search.index.vector_index(TABLE), numbers(search)
    answers, p50 = asked(lambda query: vectors.search(query, 10).rows, truth.queries)
    seen, worked, whole = took.T
    return {
        "vectors": APPENDED, "median_s": float(np.median(seen)), "slowest_s": float(seen.max()),
        "median_cpu_s": float(np.median(worked)),
        "vectors_per_s": APPENDED / float(np.median(seen)),
        "tidied_vectors_per_s": APPENDED * len(whole) / float(whole.sum()),
        "doubled_recall": recall([number[a] for a in answers], truth.nearest()),
        "doubled_p50_ms": p50, "segments": len(vectors.segments), "probes": vectors.probes,
    }  # fmt: skip
