"""Makes the packed crops from the rendered clips of an output.

Crops are drawn from every group in turn, at a random place, scale and stride each, until the file
is full. Each group of the split gets the same number of turns, so that a long source does not
outweigh a short one. A JSON file fixes which groups are for validation; groups are the values of a
column of the input list (such as `dup_group`, so that near-duplicates are never on both sides), or
sources.
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
from curation.media.clip_reader import ClipReader, read_rendered_file
from curation.records import Render, Source
from curation.storage import Storage
from tokenizer.models.interface import Video
from tokenizer.train.crops import CropsError, CropsMetadata, SplitPart, compress_crop, write_crops
from tokenizer.train.renders import encoded_renders

_STRIDES = (1, 1, 1, 2, 3)
_SIZE_SHARE = {"train": 0.92, "validation": 0.08}


@dataclass(frozen=True, slots=True)
class PackingSettings:
    """Content of a packed file."""

    frames: int = 17
    """Frames of a crop."""
    side: int = 96
    """Height and width of a crop in pixels."""
    size_mib: float = 48.0
    """Approximate size of the file."""
    short_sides: tuple[int, ...] = (128, 192, 256)
    """A clip's short side is reduced to one of these before a crop is cut."""
    group_column: str = "source_id"
    """Column of the input list, or of `sources`, whose values are the groups."""
    licence_column: str = "licence"
    """Column of a source's licence."""
    allowed_licences: str = "."
    """Regular expression that a licence has to match somewhere."""
    validation_share: float = 0.1
    """Share of the groups that a new split holds out."""
    seed: int = 0
    """Of every draw."""
    selection: str | None = None
    """Whose kept clips: None for the newest selection's, `all` for every rendered clip."""


@dataclass(frozen=True, slots=True)
class _LicensedClip:
    render: Render
    group: str
    licence: str


def new_split(groups: list[str], validation_share: float) -> dict[str, list[str]]:
    """A split by the digests of the groups' names: adding groups moves none to the other side."""
    digests = {group: hashlib.sha256(group.encode()).digest() for group in groups}
    validation = {g for g, digest in digests.items() if digest[0] < 256 * validation_share}
    validation = validation or set(sorted(groups, key=lambda group: digests[group])[:1])
    return {"train": sorted(set(groups) - validation), "validation": sorted(validation)}


def read_split(path: Path) -> dict[str, list[str]]:
    """A split as JSON: `{"train": [...], "validation": [...]}`; `CropsError` for anything else."""
    try:
        split = json.loads(path.read_text())
        parts = {part: [str(group) for group in split[part]] for part in ("train", "validation")}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise CropsError(
            f"{path} is no split: needs lists train and validation ({error})"
        ) from error
    overlap = set(parts["train"]) & set(parts["validation"])
    if overlap:
        raise CropsError(f"{path} has {', '.join(sorted(overlap))} on both sides")
    return parts


def pack_crops(
    dataset: Dataset, path: Path, split: Path, settings: PackingSettings
) -> CropsMetadata:
    """Writes the crops of an output to `path`; the file `split` is read, or created if missing.

    Raises `CropsError` if no clip is large and long enough, or a part of the split gets none.
    """
    clips = _licensed_clips(dataset, settings)
    if not clips:
        raise CropsError(
            f"no encoded clip has {settings.frames} frames and a licence that matches"
            f" {settings.allowed_licences!r}; run `reelmill render` first, or allow more"
        )
    clip_groups = {clip.group for clip in clips}
    if not split.exists():
        groups_by_part = new_split(sorted(clip_groups), settings.validation_share)
        split.write_text(json.dumps(groups_by_part, indent=1) + "\n")
    groups_by_part = read_split(split)
    parts: dict[SplitPart, list[bytes]] = {"train": [], "validation": []}
    licences: Counter[str] = Counter()
    for part, crops in parts.items():
        part_clips = [clip for clip in clips if clip.group in groups_by_part[part]]
        remaining_bytes = settings.size_mib * 2**20 * _SIZE_SHARE[part]
        for licence, crop in _draw_crops(part_clips, dataset.catalog.storage, settings):
            crops.append(compress_crop(crop))
            remaining_bytes -= len(crops[-1])
            licences[licence] += part == "train"
            if remaining_bytes <= 0:
                break
        if not crops:
            raise CropsError(
                f"no clip of {settings.frames} frames is in the groups for {part}: {split} has"
                f" {', '.join(groups_by_part[part]) or 'none'}"
            )
    used_groups = {
        part: [group for group in groups if group in clip_groups]
        for part, groups in groups_by_part.items()
    }
    metadata = CropsMetadata(settings.frames, settings.side, used_groups, dict(+licences))
    write_crops(path, parts, metadata)
    return metadata


def _licensed_clips(dataset: Dataset, settings: PackingSettings) -> list[_LicensedClip]:
    """Encoded clips, long enough and under an allowed licence, in a fixed order."""
    sources = {s.source_id: s for s in records.from_table(Source, dataset.sources())}
    clips = []
    for render in encoded_renders(dataset, settings.selection):
        columns = sources[render.source_id].extra or {}
        licence = columns.get(settings.licence_column, "not stated")
        group = columns.get(settings.group_column) or render.source_id
        is_long_enough = (render.frames or 0) >= settings.frames
        if is_long_enough and re.search(settings.allowed_licences, licence, re.IGNORECASE):
            clips.append(_LicensedClip(render, group, licence))
    return clips


def _draw_crops(
    clips: list[_LicensedClip], storage: Storage, settings: PackingSettings
) -> Iterator[tuple[str, Video]]:
    """Licence and crop, one of each group in turn, for ever; nothing without clips."""
    random = np.random.default_rng(settings.seed)
    groups = defaultdict(list)
    for clip in clips:
        groups[clip.group].append(clip)
    while groups:
        for name in sorted(groups):
            clip = groups[name][int(random.integers(len(groups[name])))]
            yield clip.licence, _crop(clip.render, storage, settings, random)


def _crop(
    render: Render, storage: Storage, settings: PackingSettings, random: np.random.Generator
) -> Video:
    width, height, frames = render.width or 0, render.height or 0, render.frames or 0
    short_side = max(settings.side, int(random.choice(settings.short_sides)))
    scale = short_side / min(width, height)
    width, height = (max(settings.side, round(length * scale)) for length in (width, height))
    stride = min(int(random.choice(_STRIDES)), (frames - 1) // (settings.frames - 1))
    start = int(random.integers(frames - (settings.frames - 1) * stride))
    with storage.local_path(render.path or "") as path:
        data = read_rendered_file(path, render.sha256, render.size_bytes)
        reader = ClipReader(data, width=width, height=height, frames=frames)
        video = reader.read(range(start, start + (settings.frames - 1) * stride + 1, stride))
    y = int(random.integers(height - settings.side + 1))
    x = int(random.integers(width - settings.side + 1))
    return video[:, y : y + settings.side, x : x + settings.side]
