"""Recall and speed of an index of many vectors, beside the same faiss lists and other indexes.

    python benchmarks/search.py [--vectors N] [--clusters N] [--peers NAME …] [--environments DIR]

The generator: clusters of sizes that fall as 1/rank^½. A vector is its cluster's centre (a random
direction of unit length), plus 0.8 times a Gaussian in the cluster's own random 24 dimensions, plus
0.1 times one in all 512, scaled to unit length. The intrinsic dimension of what comes out is
estimated from the distances to the 20 nearest (Levina and Bickel 2005) and printed. Queries are
further draws.

The vectors are stored as a scan would store them, and indexed and queried by `Search`. Printed:

- recall@10 and the median time of a query, of the index, of the whole `Search.query`, and of the
  same faiss lists queried directly at the same number of lists, in turns, one thread each;
- the same with filters that leave 50 % to 0.1 %: random ones, and ones that leave whole clusters on
  one side of the space, with queries from everywhere;
- how long 20,000 appended vectors take to be found, and recall after as many vectors again were
  appended in such steps;
- with `--peers hnswlib usearch lancedb` those, each in an environment of its own below DIR.

Run on an otherwise idle machine; trust the ratios. `ndcg.py` and `hybrid.py` query by words.
"""

import argparse
import json
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np

from curation.dataset import Dataset
from curation.search import Search
from search_measures import doubled, filtered, unfiltered
from search_stored import BLOCK, DIM, TABLE, Generator, Truth, intrinsic, numbers

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers" / "search.py"


def measure(arguments, folder, found):
    """All figures, each printed and put into `found` as soon as it is there."""
    generator = Generator(arguments.clusters)
    queries, _ = generator.draw(arguments.queries)
    dataset, truth = Dataset(folder / "out"), Truth(queries)
    for start in range(0, arguments.vectors, BLOCK):
        truth.add(dataset, *generator.draw(min(BLOCK, arguments.vectors - start)))
    found["generated"] = {
        "vectors": arguments.vectors, "clusters": arguments.clusters, "dim": DIM,
        "intrinsic": intrinsic_of(truth, folder, arguments.peers),
    }  # fmt: skip
    say("generated", found["generated"])
    start = time.perf_counter()
    search = Search(folder / "out")
    tuning = search.index.manifest.vectors[TABLE].tuning
    found["built"] = {"seconds": time.perf_counter() - start, **(vars(tuning) if tuning else {})}
    say("built", found["built"])
    number = numbers(search)
    if tuning is not None:
        found["unfiltered"] = unfiltered(search, truth, number)
        say("unfiltered", found["unfiltered"])
    found["filtered"] = []
    for one in filtered(search, truth, number):
        found["filtered"].append(one)
        say(f"{one['filter']} {one['share']:.2%}", one)
    found["appended"] = doubled(search, truth, generator, arguments.vectors)
    found["appended"]["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    say("appended", found["appended"])
    del search, truth
    for name in arguments.peers:
        found[name] = peer(name, arguments.environments, folder)
        say(name, found[name])


def intrinsic_of(truth, folder, peers):
    """The intrinsic dimension; on the way, files for the others."""
    stored = np.concatenate(truth.parts)
    if peers:
        np.save(folder / "vectors.npy", stored)
        np.save(folder / "queries.npy", truth.queries)
        np.save(folder / "truth.npy", truth.nearest())
    return intrinsic(stored)


def say(name, figures):
    words = (
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in figures.items()
    )
    print(f"{name}: {', '.join(words)}", flush=True)


def peer(name, environments, folder):
    """What another index came to."""
    place = environments / f"search-{name}"
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        packages = runpy.run_path(str(PEERS))["PACKAGES"][name]
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (place / "ready").touch()
    command = [str(python), str(PEERS), name, str(folder)]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
    return {"failed": f"{done.stdout[-500:]}\n{done.stderr[-1000:]}".strip()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--clusters", type=int, default=200)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--peers", nargs="*", default=[], choices=["hnswlib", "usearch", "lancedb"])
    parser.add_argument("--environments", type=Path, default=ROOT / ".peers")
    parser.add_argument("--folder", type=Path, help="where to work, instead of a temporary folder")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    results = {}
    try:
        with tempfile.TemporaryDirectory(prefix="reelmill-", dir=given.folder) as scratch:
            measure(given, Path(scratch), results)
    finally:
        if given.json:
            given.json.write_text(json.dumps(results, indent=1))
