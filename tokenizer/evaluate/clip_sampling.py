"""Which clips of an output to evaluate on: held-out ones, spread evenly."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from curation.dataset import Dataset, source_rows
from curation.errors import ReelmillError
from curation.records import Render, Source
from tokenizer.tokenize.clip_windows import ClipFile
from tokenizer.train.renders import encoded

_SHOWN = 5


class NoClipsError(ReelmillError, ValueError):
    """There is nothing to evaluate on; the message says why and what to do."""


def read_held_out(path: Path) -> list[str]:
    """The groups that a split holds out: the list `validation` of a JSON object.

    Raises `ValueError` for any other content, and `OSError` if the file cannot be read.
    """
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))["validation"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no split: needs a JSON list validation ({error})") from error
    if not isinstance(groups, list) or not groups:
        raise ValueError(f"{path} is no split: its validation is no list, or is empty")
    return [str(group) for group in groups]


def rendered_clips(
    dataset: Dataset,
    groups: Collection[str] | None = None,
    by: str = "source_id",
    selection: str | None = None,
) -> list[ClipFile]:
    """The newest selection's clips that were encoded, by group and then by id; each once.

    `selection` names another one, as `Dataset.selected` takes it.
    Only those whose source's `by` is one of `groups`, if groups are given: `by` is a column of the
    input list, `source_id`, or `name` for the file name without its suffix; a source without that
    column is a group of its own. Raises `NoClipsError` if there are none.
    """
    renders = encoded(dataset, selection)
    if not renders:
        raise NoClipsError(
            "no rendered clips; run `reelmill render` first, with render.mode=encode, or choose"
            " another selection, such as all"
        )
    sources = source_rows(dataset.catalog)
    group_of = {name: _group(source, by) for name, source in sources.items()}
    found = [
        (group_of[render.source_id], _file(dataset, render))
        for render in renders
        if groups is None or group_of[render.source_id] in groups
    ]
    if not found:
        raise NoClipsError(_strangers(group_of, groups or (), by))
    return [clip for _, clip in sorted(found, key=lambda pair: (pair[0], pair[1].clip_id))]


def evenly(clips: Sequence[ClipFile], most: int) -> list[ClipFile]:
    """At most so many of the clips, at even distances."""
    count = min(most, len(clips))
    return [clips[(2 * place + 1) * len(clips) // (2 * count)] for place in range(count)]


def _group(source: Source, by: str) -> str:
    if by == "name":
        return Path(source.uri).stem
    return (source.extra or {}).get(by) or str(source.source_id)


def _file(dataset: Dataset, render: Render) -> ClipFile:
    return ClipFile(
        clip_id=render.clip_id,
        source_id=render.source_id,
        uri=dataset.catalog.storage.uri(render.path or ""),
        frames=render.frames or 0,
        width=render.width or 0,
        height=render.height or 0,
        fps=render.fps or 25.0,
        start_frame=0,
        start_s=0.0,
    )


def _strangers(group_of: Mapping[str, str], wanted: Collection[str], by: str) -> str:
    there = sorted(set(group_of.values()))
    return (
        f"no rendered clip is of the groups held out ({_some(sorted(wanted))}); by {by} there are"
        f" {_some(there)}: give another --split, or the column that it was made by as --by"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name[:32] for name in names[:_SHOWN]) + more
