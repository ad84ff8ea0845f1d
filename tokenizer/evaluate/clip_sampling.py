"""Samples the clips of an output to evaluate on: held-out ones, at even distances."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from curation.dataset import Dataset, sources_by_id
from curation.records import Source
from curation.render.rendered_clip import RenderedClip
from tokenizer.evaluate.errors import EvaluationError, NoClipsError
from tokenizer.train.renders import encoded_renders

_LISTED = 5
"""Groups that a message lists."""


def read_held_out(path: Path) -> list[str]:
    """The groups that a split holds out: the list `validation` of a JSON object.

    Raises `EvaluationError` for any other content, and `OSError` if the file cannot be read.
    """
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))["validation"]
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"{path} is no split: needs a JSON list validation ({error})"
        ) from error
    if not isinstance(groups, list) or not groups:
        raise EvaluationError(f"{path} is no split: its validation is no list, or is empty")
    return [str(group) for group in groups]


def rendered_clips(
    dataset: Dataset,
    groups: Collection[str] | None = None,
    by: str = "source_id",
    selection: str | None = None,
) -> list[RenderedClip]:
    """The newest selection's clips that were encoded, by group and then by id; each once.

    `selection` is another one, as in `Dataset.resolve_selection`.
    `groups` restricts the clips to those whose source's `by` is one of them: `by` is a column of
    the input list, `source_id`, or `name` for the file name without its suffix; a source without
    that column is a group of its own. Raises `NoClipsError` if there are none.
    """
    renders = encoded_renders(dataset, selection)
    if not renders:
        raise NoClipsError(
            "no rendered clips; run `reelmill render` first, with render.mode=encode, or choose"
            " another selection, such as all"
        )
    sources = sources_by_id(dataset.catalog)
    group_of = {source_id: _group(source, by) for source_id, source in sources.items()}
    clips = [
        RenderedClip(
            clip_id=render.clip_id,
            source_id=render.source_id,
            uri=dataset.catalog.storage.uri(render.path or ""),
            frames=render.frames or 0,
            width=render.width or 0,
            height=render.height or 0,
            fps=render.fps or 25.0,
            start_frame=0,
            start_s=0.0,
            sha256=render.sha256,
            size_bytes=render.size_bytes,
        )
        for render in renders
        if groups is None or group_of[render.source_id] in groups
    ]
    if not clips:
        raise NoClipsError(
            f"no rendered clip is of the groups held out ({_list(groups or ())}); by {by} there are"
            f" {_list(set(group_of.values()))}: give another --split, or the column that it was"
            " made by as --by"
        )
    return sorted(clips, key=lambda clip: (group_of[clip.source_id], clip.clip_id))


def sample_evenly(clips: Sequence[RenderedClip], limit: int) -> list[RenderedClip]:
    """At most `limit` of the clips, at even distances."""
    count = min(limit, len(clips))
    return [clips[(2 * index + 1) * len(clips) // (2 * count)] for index in range(count)]


def coarse_to_fine(clips: Sequence[RenderedClip]) -> list[RenderedClip]:
    """The same clips in an order of which every beginning is spread over all of them.

    Positions are ordered by their reversed bits: van der Corput (1935).
    """
    bits = max(1, (len(clips) - 1).bit_length())
    order = (int(f"{index:0{bits}b}"[::-1], 2) for index in range(1 << bits))
    return [clips[index] for index in order if index < len(clips)]


def _group(source: Source, by: str) -> str:
    if by == "name":
        return Path(source.uri).stem
    return (source.extra or {}).get(by) or str(source.source_id)


def _list(groups: Collection[str]) -> str:
    more = f" and {len(groups) - _LISTED} more" if len(groups) > _LISTED else ""
    return ", ".join(group[:32] for group in sorted(groups)[:_LISTED]) + more
