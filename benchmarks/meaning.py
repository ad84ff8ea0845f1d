"""Whether a search by words finds the videos that show what the words mean, without a model hub.

    python benchmarks/meaning.py FOLDER [--queries benchmarks/meaning_queries.csv]

FOLDER holds videos and a MANIFEST.csv with the columns `file`, `content` (a description, the query)
and `dup_group` or `group` (videos that a description fits as well). `--queries` adds queries of
one's own with the names of the videos that answer them. The folder is scanned into an output, or
into `--out`, which is used again. A video ranks where the best of its clips does. Printed are the
means over queries, in percent of what is possible, of

- recall@5: the right videos among the first five;
- nDCG@10: the same ten deep, the first places counting more (Järvelin and Kekäläinen 2002);

for the words (captions, file names, tags), for the things that clips show, for which no name is
read, and for both, with that of random order beside them.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

import numpy as np

from curation.search import Search

ROOT = Path(__file__).parents[1]
PROFILE = """
scan:
  shots: {ContentChange: {}}
  embedders: [Things]
execution: {executor: in_process}
"""
WAYS = {"words": "words", "things": "vectors", "both": "both"}
_DISCOUNT = 1 / np.log2(np.arange(2, 12))


def scan(videos, out):
    profile = out.with_name(f"{out.name}.yaml")
    profile.write_text(PROFILE)
    for step in (["scan", str(videos), "--out", str(out)], ["select", str(out)]):
        command = [sys.executable, "-m", "pipelines", *step]
        config = ["--config", str(profile)] if step[0] == "scan" else []
        subprocess.run([*command, *config], cwd=ROOT, check=True)


def described(folder):
    """Queries of the manifest, and the videos that answer each."""
    with open(folder / "MANIFEST.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups = {row["file"]: row.get("dup_group") or row.get("group") or row["file"] for row in rows}
    return [
        (row["content"], {file for file, group in groups.items() if group == groups[row["file"]]})
        for row in rows
        if not row["content"].startswith("same")
    ]


def by_hand(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [(row["query"], set(row["videos"].split())) for row in csv.DictReader(file)]


def ranked(search, query, by, videos):
    """Videos in the order of their best clips, the others after them by name."""
    hits = search.query(query, by=by, k=10_000, collapse=False)
    found = [PurePosixPath(uri).name for uri in hits["uri"].to_pylist()]
    return list(dict.fromkeys([*found, *sorted(videos)]))


def recall(order, right):
    return len(right.intersection(order[:5])) / min(5, len(right))


def ndcg(order, right):
    gains = np.array([video in right for video in order[:10]])
    return float((gains * _DISCOUNT[: len(gains)]).sum() / _DISCOUNT[: len(right)].sum())


def say(name, orders, queries):
    for label, measure in (("recall@5", recall), ("nDCG@10", ndcg)):
        each = [measure(order, right) for order, (_, right) in zip(orders, queries, strict=True)]
        print(f"  {name:8s} {label:9s} {100 * np.mean(each):5.1f}", end="")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=Path, help="CSV of queries and their videos")
    parser.add_argument("--out", type=Path, help="an output of these videos, or where to put it")
    parser.add_argument("--worst", action="store_true", help="list the queries that find nothing")
    options = parser.parse_args()
    sets = {"descriptions": described(options.folder)}
    if options.queries:
        sets["by hand"] = by_hand(options.queries)
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch) / "out"
        if not out.exists():
            scan(options.folder, out)
        search = Search(out)
        videos = {PurePosixPath(uri).name for uri in search.dataset.clips()["uri"].to_pylist()}
        for title, queries in sets.items():
            print(f"{len(queries)} queries, {title}, {len(videos)} videos")
            rng = np.random.default_rng(0)
            say("random", [rng.permutation(sorted(videos)).tolist() for _ in queries], queries)
            for name, by in WAYS.items():
                orders = [ranked(search, query, by, videos) for query, _ in queries]
                say(name, orders, queries)
                if options.worst and by == "both":
                    for (query, right), order in zip(queries, orders, strict=True):
                        if not right.intersection(order[:5]):
                            print(f"    {query!r}: {', '.join(order[:3])}")


if __name__ == "__main__":
    main()
