"""Scans clips whose duplicates are known, and compares what is found with what is there.

For `benchmarks/dedup.py`.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.dataset import Dataset
from curation.dedup import unpack
from curation.descriptor import FrameDct
from curation.listing import entry_at
from curation.policy import COPIES_FLOOR, Policy
from curation.records import Embedding, Neighbour
from curation.scan import Scan, ScanItem, ScanResult
from curation.scan_step import ScanStep
from curation.scores.look import Floats, Look
from curation.select import select
from curation.shots import FixedWindows
from curation.stage import Done
from dedup_truth import MUST, Made

_ALONE = ("mirror", "crop 10 %", "concat", "all at once")
"""Not counted as lost where two copies of them are not found as a pair."""


@dataclass
class Segments:
    """Values of each frame, averaged within eight segments of the clip and laid side by side."""

    of: Callable[[Look, Look | None], Floats]
    pooled: bool = False
    seen: list[Floats] = field(default_factory=list)
    before: Look | None = None

    def see(self, look: Look) -> None:
        self.seen.append(self.of(look, self.before))
        self.before = look

    def vector(self, first: int, last: int, times_s: Floats, span_s: tuple[float, float]) -> bytes:
        frames = np.stack(self.seen[first:last])
        parts = [frames] if self.pooled else np.array_split(frames, 8)
        vector = np.concatenate([p.mean(axis=0) if len(p) else 0 * frames[0] for p in parts])
        return bytes((vector / max(1e-9, float(np.linalg.norm(vector)))).astype("<f2").tobytes())


@dataclass(frozen=True)
class Classic:
    """A descriptor of one vector a clip, to compare with."""

    name: str
    of: Callable[[Look, Look | None], Floats]
    dim: int
    pooled: bool = False
    gpus: float = 0.0

    def load(self) -> Callable[[], Segments]:
        return lambda: Segments(self.of, self.pooled)


def _small(look: Look, side: int) -> Floats:
    picture = Image.fromarray(look.small).resize((side, side), Image.Resampling.BOX)
    return np.asarray(picture, np.float64)


def hash_bits(look: Look, before: Look | None) -> Floats:
    """As PDQ: signs of a 16×16 cosine transform about their median, of one frame."""
    k, n = np.mgrid[1:17, :64]
    cosines = np.cos(np.pi * (n + 0.5) * k / 64)
    spectrum = (cosines @ look.small.astype(np.float64) @ cosines.T).ravel()
    return np.where(spectrum > np.median(spectrum), 1.0, -1.0)


def gist(look: Look, before: Look | None) -> Floats:
    """Energy of gradients in eight directions on a 4×4 grid (after Oliva and Torralba 2001)."""
    down, across = np.gradient(look.small.astype(np.float64))
    strength = np.hypot(down, across)
    turned = (np.arctan2(down, across) / np.pi % 1 * 8).astype(int).clip(0, 7)
    found = [np.where(turned == way, strength, 0).reshape(4, 16, 4, 16).mean((1, 3)).ravel()
             for way in range(8)]  # fmt: skip
    return np.concatenate(found)


def colour_layout(look: Look, before: Look | None) -> Floats:
    """Means of colour on an 8×8 grid, without the overall mean (after MPEG-7)."""
    picture = Image.fromarray(look.rgb).convert("YCbCr").resize((8, 8), Image.Resampling.BOX)
    values = np.asarray(picture, np.float64).reshape(64, 3)
    return np.asarray((values - values.mean(axis=0)).ravel())


def block_motion(look: Look, before: Look | None) -> Floats:
    """How much each cell of an 8×8 grid changes from frame to frame."""
    if before is None:
        return np.zeros(64)
    return np.asarray(np.abs(_small(look, 8) - _small(before, 8)).ravel())


CLASSICS = (
    Classic("hash-bits", hash_bits, 8 * 256),
    Classic("gist", gist, 8 * 128),
    Classic("colour-layout", colour_layout, 8 * 192),
    Classic("block-motion", block_motion, 8 * 64),
)
_STAGE = Scan(
    shots=FixedWindows(1000.0), max_clip_s=1000.0, scores=(), embedders=(FrameDct(), *CLASSICS)
)
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
    with step.ledger() as ledger:
        ledger.commit([(item, Done(item.key, result, {})) for item, result in results])
    return dataset


def judged(dataset: Dataset, made: Sequence[Made], threshold: float) -> dict[str, Any]:
    """Selects, and compares pairs and groups with the truth."""
    select(dataset, Policy({}, COPIES_FLOOR))
    chosen = select(dataset, Policy({}, threshold))
    clips = dataset.clips(selection_id=chosen.selection_id)
    by_path = {str(each.path): each for each in made}
    of = {c: by_path[u] for c, u in zip(clips["clip_id"].to_pylist(), clips["uri"].to_pylist(),
                                        strict=True)}  # fmt: skip
    rows = dataset.catalog.read("neighbours/copies", Neighbour).to_pylist()
    found = {
        frozenset((r["clip_id"], r["neighbour_id"])): r["similarity"]
        for r in rows
        if r["clip_id"] != r["neighbour_id"]
    }
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
        "descriptors": descriptors(dataset, of),
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
        name: (sum(found), len(found), *wilson(sum(found), len(found)))
        for name, found in hits.items()
    }


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / 4 / count**2)
    return max(0.0, middle - half), min(1.0, middle + half)


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


def descriptors(dataset: Dataset, of: dict[str, Made]) -> dict[str, tuple[float, float, float]]:
    """For each one-vector descriptor the threshold of its best F1, precision and recall there.

    Over pairs of originals and copies that have to be found.
    """
    wanted = [c for c, m in of.items() if m.transform in ("original", *MUST)]
    found = {}
    for name in (FrameDct.name, *(each.name for each in CLASSICS)):
        rows = dataset.catalog.read(f"embeddings/{name}", Embedding)
        vectors = dict(zip(rows["clip_id"].to_pylist(), unpack(rows["vector"].to_pylist(),
                           rows["dim"][0].as_py()), strict=True))  # fmt: skip
        found[name] = best(np.stack([vectors[c] for c in wanted]), [of[c].base for c in wanted])
    return found


def best(vectors: npt.NDArray[np.float32], bases: list[str]) -> tuple[float, float, float]:
    """Threshold, precision and recall where F1 is largest."""
    one, other = np.array(list(itertools.combinations(range(len(bases)), 2))).T
    similar = np.einsum("ij,ij->i", vectors[one], vectors[other])
    named = np.array(bases)
    same = (named[one] == named[other])[np.argsort(-similar, kind="stable")]
    hits = same.cumsum()
    precision, recall = hits / np.arange(1, len(same) + 1), hits / max(1, hits[-1])
    at = int((2 * precision * recall / np.maximum(precision + recall, 1e-9)).argmax())
    return float(np.sort(similar)[::-1][at]), float(precision[at]), float(recall[at])
