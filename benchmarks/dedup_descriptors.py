"""Classic descriptors of one vector a clip beside the stored signatures, for `dedup_verdicts.py`.

Each gets the threshold at which precision is 0.99 on the copies of one half of the bases, and is
judged at it on the other half; all clips of one video are in the same half.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.dataset import Dataset
from curation.dedup import unpack
from curation.embed.descriptor import FrameDct
from curation.records import Embedding
from curation.scores.base import AnalysisFrame, Float64Array
from dedup_truth import MUST, TRANSFORMS, Made

Similarities = npt.NDArray[np.float64]
_PRECISION = 0.99


@dataclass
class Segments:
    """Values of each frame, averaged within eight segments of the clip and laid side by side."""

    of: Callable[[AnalysisFrame, AnalysisFrame | None], Float64Array]
    pooled: bool = False
    seen: list[Float64Array] = field(default_factory=list)
    previous: AnalysisFrame | None = None

    def add(self, frame: AnalysisFrame) -> None:
        self.seen.append(self.of(frame, self.previous))
        self.previous = frame

    def vector(
        self, first: int, last: int, times_s: Float64Array, span_s: tuple[float, float]
    ) -> bytes:
        frames = np.stack(self.seen[first:last])
        parts = [frames] if self.pooled else np.array_split(frames, 8)
        vector = np.concatenate([p.mean(axis=0) if len(p) else 0 * frames[0] for p in parts])
        return bytes((vector / max(1e-9, float(np.linalg.norm(vector)))).astype("<f2").tobytes())


@dataclass(frozen=True)
class Classic:
    """A descriptor of one vector a clip, to compare with."""

    name: str
    of: Callable[[AnalysisFrame, AnalysisFrame | None], Float64Array]
    dim: int
    pooled: bool = False
    gpus: float = 0.0

    def load(self) -> Callable[[], Segments]:
        return lambda: Segments(self.of, self.pooled)


def _small(frame: AnalysisFrame, side: int) -> Float64Array:
    picture = Image.fromarray(frame.gray64).resize((side, side), Image.Resampling.BOX)
    return np.asarray(picture, np.float64)


def hash_bits(frame: AnalysisFrame, previous: AnalysisFrame | None) -> Float64Array:
    """As PDQ: signs of a 16×16 cosine transform about their median, of one frame."""
    k, n = np.mgrid[1:17, :64]
    cosines = np.cos(np.pi * (n + 0.5) * k / 64)
    spectrum = (cosines @ frame.gray64.astype(np.float64) @ cosines.T).ravel()
    return np.where(spectrum > np.median(spectrum), 1.0, -1.0)


def gist(frame: AnalysisFrame, previous: AnalysisFrame | None) -> Float64Array:
    """Energy of gradients in eight directions on a 4×4 grid (after Oliva and Torralba 2001)."""
    down, across = np.gradient(frame.gray64.astype(np.float64))
    strength = np.hypot(down, across)
    turned = (np.arctan2(down, across) / np.pi % 1 * 8).astype(int).clip(0, 7)
    found = [np.where(turned == way, strength, 0).reshape(4, 16, 4, 16).mean((1, 3)).ravel()
             for way in range(8)]  # fmt: skip
    return np.concatenate(found)


def colour_layout(frame: AnalysisFrame, previous: AnalysisFrame | None) -> Float64Array:
    """Means of colour on an 8×8 grid, without the overall mean (after MPEG-7)."""
    picture = Image.fromarray(frame.rgb).convert("YCbCr").resize((8, 8), Image.Resampling.BOX)
    values = np.asarray(picture, np.float64).reshape(64, 3)
    return np.asarray((values - values.mean(axis=0)).ravel())


def block_motion(frame: AnalysisFrame, previous: AnalysisFrame | None) -> Float64Array:
    """How much each cell of an 8×8 grid changes from frame to frame."""
    if previous is None:
        return np.zeros(64)
    return np.asarray(np.abs(_small(frame, 8) - _small(previous, 8)).ravel())


CLASSICS = (
    Classic("hash-bits", hash_bits, 8 * 256),
    Classic("gist", gist, 8 * 128),
    Classic("colour-layout", colour_layout, 8 * 192),
    Classic("block-motion", block_motion, 8 * 64),
)


def compared(
    dataset: Dataset, of: Mapping[str, Made], found: Mapping[frozenset[str], float]
) -> dict[str, dict[str, float]]:
    """By descriptor: threshold, and on the other half precision and recall by transform.

    `found` are the pairs that signatures found; precision is over originals and the copies that
    have to be found.
    """
    clips = [clip for clip, made in of.items() if not made.also]
    made = [of[clip] for clip in clips]
    similar = {"signatures": _stored(clips, found)}
    for name in (FrameDct.name, *(each.name for each in CLASSICS)):
        rows = dataset.catalog.read(f"embeddings/{name}", Embedding)
        vectors = dict(zip(rows["clip_id"].to_pylist(), unpack(rows["vector"].to_pylist(),
                           rows["dim"][0].as_py()), strict=True))  # fmt: skip
        stacked = np.stack([vectors[clip] for clip in clips])
        similar[name] = (stacked @ stacked.T).astype(np.float64)
    return {name: _halved(each, made) for name, each in similar.items()}


def _stored(clips: list[str], found: Mapping[frozenset[str], float]) -> Similarities:
    made = np.zeros((len(clips), len(clips)))
    place = {clip: at for at, clip in enumerate(clips)}
    for pair, similarity in found.items():
        if pair <= place.keys():
            one, other = (place[clip] for clip in pair)
            made[one, other] = made[other, one] = similarity
    return made


def _halved(similar: Similarities, made: list[Made]) -> dict[str, float]:
    half = np.array([zlib.crc32(each.base.rsplit(" ", 1)[0].encode()) % 2 for each in made])
    listed = np.array([each.transform in ("original", *MUST) for each in made])
    scores, same = _pairs(similar, made, listed & (half == 0))
    order = np.argsort(-scores, kind="stable")
    right = same[order].cumsum() / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((right >= _PRECISION) & (scores[order] > 0))
    threshold = float(scores[order][enough[-1]]) if len(enough) else np.inf
    scores, same = _pairs(similar, made, listed & (half == 1))
    hits = scores >= threshold
    result = {"threshold": threshold, "precision": float(same[hits].mean()) if hits.any() else 1.0}
    original = {each.base: at for at, each in enumerate(made) if each.transform == "original"}
    for name in TRANSFORMS:
        rows = [at for at, each in enumerate(made) if each.transform == name and half[at]]
        with_original = similar[rows, [original[made[at].base] for at in rows]]
        result[name] = float((with_original >= threshold).mean())
    return result


def _pairs(
    similar: Similarities, made: list[Made], among: npt.NDArray[np.bool_]
) -> tuple[Similarities, npt.NDArray[np.bool_]]:
    """Similarities of all pairs among some clips, and whether they are of the same base."""
    rows = np.flatnonzero(among)
    bases = np.array([each.base for each in made])[rows]
    one, other = np.triu_indices(len(rows), 1)
    return similar[rows[one], rows[other]], bases[one] == bases[other]
