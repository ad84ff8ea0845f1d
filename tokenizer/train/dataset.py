"""Making the packed crops from the rendered clips of an output.

Crops are drawn from every clip in turn, a random place, scale and stride each, until the file is
full. Each group of the split gets the same number of turns, so that a long source does not drown a
short one. Which groups are for validation is fixed in a JSON file; groups are the values of a
column of the input list (`dup_group`, say, so that copies of one recording never lie on both
sides), or sources.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curation import records
from curation.dataset import Dataset
from curation.media.clip_reader import ClipReader
from curation.records import Render, Source
from curation.storage import Storage
from tokenizer.models.interface import Video
from tokenizer.train.crops import Facts, Part, deflated, write
from tokenizer.train.renders import encoded

_STRIDES = (1, 1, 1, 2, 3)
_SHARE = {"train": 0.92, "validation": 0.08}


@dataclass(frozen=True, slots=True)
class Packing:
    """What goes into a packed file."""

    frames: int = 17
    """Frames of a crop."""
    side: int = 96
    """Height and width of a crop in pixels."""
    size_mib: float = 48.0
    """About how large the file becomes."""
    short_sides: tuple[int, ...] = (128, 192, 256)
    """To which a clip's short side is reduced before a crop is cut from it."""
    by: str = "source_id"
    """Column of the input list, or of `sources`, whose values are the groups."""
    licence: str = "licence"
    """Column that states a source's licence."""
    allowed: str = "."
    """Regular expression that a licence has to match somewhere."""
    held_out: float = 0.1
    """Share of the groups that a new split holds out."""
    seed: int = 0
    """Of every draw."""
    selection: str | None = None
    """Whose kept clips: None for the newest selection's, `all` for every rendered clip."""


@dataclass(frozen=True, slots=True)
class _Clip:
    render: Render
    group: str
    licence: str


def new_split(groups: list[str], held_out: float) -> dict[str, list[str]]:
    """A split by the digests of the groups' names: adding groups moves none to the other side."""
    ranked = sorted(groups, key=lambda g: hashlib.sha256(g.encode()).digest())
    held = {g for g in groups if hashlib.sha256(g.encode()).digest()[0] < 256 * held_out}
    held = held or set(ranked[:1])
    return {"train": sorted(set(groups) - held), "validation": sorted(held)}


def read_split(path: Path) -> dict[str, list[str]]:
    """A split as JSON: `{"train": [...], "validation": [...]}`; `ValueError` for anything else."""
    try:
        split = json.loads(path.read_text())
        parts = {part: [str(group) for group in split[part]] for part in ("train", "validation")}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no split: needs lists train and validation ({error})"
        ) from error
    both = set(parts["train"]) & set(parts["validation"])
    if both:
        raise ValueError(f"{path} has {', '.join(sorted(both))} on both sides")
    return parts


def pack(dataset: Dataset, path: Path, split: Path, packing: Packing) -> Facts:
    """Writes the crops of an output to `path`; `split` is read, or made if it is not there.

    Raises `ValueError` if no clip is large and long enough, or a part of the split gets none.
    """
    clips = _clips(dataset, packing)
    if not clips:
        raise ValueError(
            f"no encoded clip has {packing.frames} frames and a licence that matches"
            f" {packing.allowed!r}; run `reelmill render` first, or allow more"
        )
    if not split.exists():
        made = new_split(sorted({clip.group for clip in clips}), packing.held_out)
        split.write_text(json.dumps(made, indent=1) + "\n")
    groups = read_split(split)
    parts: dict[Part, list[bytes]] = {"train": [], "validation": []}
    licences: Counter[str] = Counter()
    for part, crops in parts.items():
        mine = [clip for clip in clips if clip.group in groups[part]]
        room = packing.size_mib * 2**20 * _SHARE[part]
        for licence, crop in _turns(mine, dataset.catalog.storage, packing):
            crops.append(deflated(crop))
            room -= len(crops[-1])
            licences[licence] += part == "train"
            if room <= 0:
                break
        if not crops:
            raise ValueError(
                f"no clip of {packing.frames} frames lies in the groups for {part}: {split} has"
                f" {', '.join(groups[part]) or 'none'}"
            )
    present = {clip.group for clip in clips}
    kept = {part: [group for group in names if group in present] for part, names in groups.items()}
    facts = Facts(packing.frames, packing.side, kept, dict(+licences))
    write(path, parts, facts)
    return facts


def _clips(dataset: Dataset, packing: Packing) -> list[_Clip]:
    """Encoded clips, long enough and under an allowed licence, in an order that repeats."""
    sources = {s.source_id: s for s in records.records(Source, dataset.sources())}
    clips = []
    for render in encoded(dataset, packing.selection):
        columns = sources[render.source_id].extra or {}
        licence = columns.get(packing.licence, "not stated")
        group = columns.get(packing.by) or render.source_id
        long_enough = (render.frames or 0) >= packing.frames
        if long_enough and re.search(packing.allowed, licence, re.IGNORECASE):
            clips.append(_Clip(render, group, licence))
    return clips


def _turns(clips: list[_Clip], storage: Storage, packing: Packing) -> Iterator[tuple[str, Video]]:
    """Licence and crop, one of each group in turn, for ever; nothing if no clip gives any."""
    random = np.random.default_rng(packing.seed)
    groups = defaultdict(list)
    for clip in clips:
        groups[clip.group].append(clip)
    while groups:
        for name in sorted(groups):
            clip = groups[name][int(random.integers(len(groups[name])))]
            yield clip.licence, _crop(clip.render, storage, packing, random)


def _crop(render: Render, storage: Storage, packing: Packing, random: np.random.Generator) -> Video:
    width, height, frames = render.width or 0, render.height or 0, render.frames or 0
    short = max(packing.side, int(random.choice(packing.short_sides)))
    scale = short / min(width, height)
    width, height = (max(packing.side, round(length * scale)) for length in (width, height))
    stride = min(int(random.choice(_STRIDES)), (frames - 1) // (packing.frames - 1))
    start = int(random.integers(frames - (packing.frames - 1) * stride))
    with storage.local(render.path or "") as path:
        reader = ClipReader(path, width=width, height=height, frames=frames)
        video = reader.read(range(start, start + (packing.frames - 1) * stride + 1, stride))
    y = int(random.integers(height - packing.side + 1))
    x = int(random.integers(width - packing.side + 1))
    return video[:, y : y + packing.side, x : x + packing.side]
