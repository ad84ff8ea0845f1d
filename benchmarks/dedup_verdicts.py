"""Scans clips whose duplicates are known, and compares what is found with what is there.

For `benchmarks/dedup.py`.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curation.dataset import Dataset
from curation.dedup.neighbours import Signatures
from curation.dedup.pair_search import similar_pairs
from curation.dedup.pairs import NEAR_DUPLICATE_FLOOR, Pairs
from curation.embed.descriptor import FrameDct
from curation.listing import entry_at
from curation.records import Neighbour, Signature
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem, ScanResult
from curation.scan.step import ScanStep
from curation.select.policy import Policy
from curation.select.selection import select
from curation.stage import Done
from curation.step import open_ledger
from dedup_descriptors import CLASSICS, compared
from dedup_truth import MUST, TRANSFORMS, Made

_ALONE = ("mirror", "crop 10 %", "concat", "all at once")
"""Not counted as lost where two copies of them are not found as a pair."""

_STAGE = Scan(
    shots=FixedWindows(1000.0), max_clip_s=1000.0, scores=(), embedders=(FrameDct(), *CLASSICS)
)
_TIMED = 1000
"""Candidates that are timed."""
_work: dict[str, Any] = {}


def _load() -> None:
    _work["scan"] = _STAGE.setup()


def _scan(path: str) -> tuple[ScanItem, ScanResult]:
    item = ScanItem(entry_at(path, {}))
    return item, _work["scan"](item)


def scanned(place: Path, made: Sequence[Made], workers: int) -> Dataset:
    """Scans each file, the whole of it as one clip, and commits what was found."""
    dataset = Dataset(place)
    step = ScanStep(dataset.catalog, _STAGE, ())
    with multiprocessing.get_context("spawn").Pool(workers, _load) as pool:
        results = pool.map(_scan, [str(each.path) for each in made], chunksize=4)
    with open_ledger(step) as ledger:
        ledger.commit([(item, Done(item.key, result, {})) for item, result in results])
    return dataset


def judged(dataset: Dataset, made: Sequence[Made], threshold: float) -> dict[str, Any]:
    """Selects, and compares pairs and groups with the truth."""
    select(dataset, Policy({}, NEAR_DUPLICATE_FLOOR))
    chosen = select(dataset, Policy({}, threshold))
    clips = dataset.clips(selection_id=chosen.selection_id)
    by_path = {str(each.path): each for each in made}
    of = {c: by_path[u] for c, u in zip(clips["clip_id"].to_pylist(), clips["uri"].to_pylist(),
                                        strict=True)}  # fmt: skip
    found = stored(dataset)
    pairs = {pair: s for pair, s in found.items() if s >= threshold}
    right = sum(alike(*(of[c] for c in pair)) for pair in pairs)
    wrong = sorted(((s, sorted(of[c].path.name for c in p)) for p, s in pairs.items()
                    if not alike(*(of[c] for c in p))), reverse=True)  # fmt: skip
    recall = recalls(of, pairs.keys())
    must = [sum(recall[name][at] for name in MUST) for at in (0, 1)]
    verdicts = clips["verdict"].to_pylist()
    kept = {c for c, v in zip(clips["clip_id"].to_pylist(), verdicts, strict=True) if v == "kept"}
    stands = [c for c in clips["duplicate_of"].to_pylist() if c is not None]
    groups = dict(zip(clips["clip_id"].to_pylist(), clips["group_id"].to_pylist(), strict=True))
    return {
        "recall": recall,
        "must": (*must, *wilson(*must)),
        "precision": (right, len(pairs), *wilson(right, len(pairs))),
        "false": [(round(s, 3), names) for s, names in wrong[:6]],
        "bcubed": bcubed(groups, of),
        "removed": verdicts.count("duplicate") / len(verdicts),
        "orphans": sum(c not in kept for c in stands),
        "candidates": candidates(dataset, of),
        "descriptors": compared(dataset, of, found),
    }


def stored(dataset: Dataset) -> dict[frozenset[str], float]:
    """The pairs of copies that were found, and their similarity."""
    rows = dataset.catalog.read("neighbours/copies", Neighbour).to_pylist()
    return {
        frozenset((r["clip_id"], r["neighbour_id"])): r["similarity"]
        for r in rows
        if r["clip_id"] != r["neighbour_id"]
    }


def among_real(dataset: Dataset, made: Sequence[Made]) -> dict[str, Any]:
    """Pairs of files that are known to be copies, 0 where not found, and others, the best first."""
    select(dataset, Policy({}, NEAR_DUPLICATE_FLOOR))
    clips = dataset.clips()
    uris = dict(zip(clips["clip_id"].to_pylist(), clips["uri"].to_pylist(), strict=True))
    found = {tuple(sorted(Path(uris[c]).name for c in p)): s for p, s in stored(dataset).items()}
    group = {each.path.name: each.base for each in made}
    same = [p for p in itertools.combinations(sorted(group), 2) if group[p[0]] == group[p[1]]]
    others = [(similarity, *pair) for pair, similarity in found.items() if pair not in same]
    return {
        "copies": sorted(((found.get(pair, 0.0), *pair) for pair in same), reverse=True),
        "others": sorted(others, reverse=True),
    }


def alike(one: Made, other: Made) -> bool:
    """Whether two files hold the same footage."""
    return bool({one.base, one.also or one.base} & {other.base, other.also or other.base})


def recalls(of: dict[str, Made], pairs: Iterable[frozenset[str]]) -> dict[str, Any]:
    """By transform: copies found as a pair with their original, of how many, and confidence."""
    there = set(pairs)
    original = {m.base: clip for clip, m in of.items() if m.transform == "original"}
    hits: dict[str, list[bool]] = defaultdict(list)
    for clip, each in of.items():
        if each.transform != "original":
            for base in filter(None, (each.base, each.also)):
                hits[each.transform].append(frozenset((clip, original[base])) in there)
    return {
        name: (sum(hits[name]), len(hits[name]), *wilson(sum(hits[name]), len(hits[name])))
        for name in (*TRANSFORMS, "concat")
    }


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / 4 / count**2)
    return max(0.0, middle - half), min(1.0, middle + half)


def candidates(dataset: Dataset, of: dict[str, Made]) -> tuple[float, float]:
    """The share of pairs of different videos that are looked at closely, and CPU ms for each."""
    content = Signatures(dataset.catalog.read("signatures", Signature).sort_by("clip_id"))
    video = np.array([of[clip].base.rsplit(" ", 1)[0] for clip in content.ids])
    plain = np.array([not of[clip].also for clip in content.ids])
    vectors, owners = content.descriptors
    found = similar_pairs(vectors, content.floor)
    one, other = owners[found.first], owners[found.second]
    kept = (video[one] != video[other]) & plain[one] & plain[other]
    apart = len(np.unique(one[kept] * len(video) + other[kept]))
    pairs = plain.sum() ** 2 - sum(np.unique(video[plain], return_counts=True)[1] ** 2)
    some = np.random.default_rng(0).permutation(len(found))[:_TIMED]
    began = time.process_time()
    content.compare(Pairs(one[some], other[some], found.similarity[some]))
    return apart / (pairs / 2), (time.process_time() - began) / len(some) * 1000


def bcubed(groups: dict[str, str], of: dict[str, Made]) -> float:
    """B-cubed F1 of the groups, over originals and those copies that have to be found."""
    clips = [c for c, m in of.items() if m.transform not in (*_ALONE, "trim", "crop 4 %", "grey")]
    precision = recall = 0.0
    for clip in clips:
        same = {c for c in clips if groups[c] == groups[clip]}
        truth = {c for c in clips if of[c].base == of[clip].base}
        precision += len(same & truth) / len(same) / len(clips)
        recall += len(same & truth) / len(truth) / len(clips)
    return 2 * precision * recall / (precision + recall)
