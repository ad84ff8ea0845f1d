"""Writes an export: first its plan, then shard by shard, each whole under its name or not at all.

`export.json` states what the export is made of and which shards it has; it is complete once all of
those exist. The plan and the bytes of the shards follow from the tables, so that an export that was
stopped can be resumed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from pyarrow import fs

from curation.storage import Storage, storage_faults
from tokenizer.export import fiftyone, huggingface, webdataset
from tokenizer.export.clip_rows import ExportError, ExportRows
from tokenizer.export.lerobot import LeRobotExport

Format = Literal["webdataset", "hf", "lerobot", "fiftyone"]
PLAN = "export.json"
CARD = "README.md"
_QUOTED = 80
"""Characters of a value in a message."""
_CLIP_BYTES = 16384
"""Reserved for a clip's row and the gaps between its files."""


@dataclass(frozen=True)
class ExportResult:
    """Counts of an export."""

    clips: int
    """In all shards."""
    shards: int
    written: int
    """Shards that this run wrote."""
    size_bytes: int
    """Of all shards."""
    licences: dict[str, int]
    """Clips by licence."""


def export(
    rows: ExportRows,
    destination: str,
    export_format: Format,
    shard_bytes: int,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> ExportResult:
    """Writes the missing shards; `progress` receives clips done and clips in all.

    A shard holds clips of up to `shard_bytes`, at least one. Raises `ExportError` for a destination
    that holds something else, and for rendered files that are missing or changed.
    """
    if export_format not in get_args(Format):
        raise ExportError(f"format {export_format!r} is none of {', '.join(get_args(Format))}")
    if export_format == "lerobot":
        return _export_lerobot(rows, destination, progress)
    texts = _texts(rows, export_format)
    write_shard, shards = _shards(rows, export_format, shard_bytes)
    storage = Storage.at(destination)
    plan = {
        "format": export_format,
        "selection": rows.selection,
        "tables": rows.versions,
        "shard_bytes": shard_bytes,
        "licences": rows.licences(),
        "left_out": dict(rows.left_out),
        "clips": rows.table.num_rows,
        "shards": {name: stop - start for name, (start, stop) in shards.items()},
    }
    _write_plan(storage, plan)
    for name, text in texts.items():
        _write_text(storage, name, text)
    missing = {name: span for name, span in shards.items() if storage.size(name) is None}
    clips = rows.table.num_rows
    done = clips - sum(stop - start for start, stop in missing.values())
    progress(done, clips)
    for name, (start, stop) in missing.items():
        with storage.atomic_write(name) as temporary:
            write_shard(temporary, rows, start, stop)
        done += stop - start
        progress(done, clips)
    size_bytes = sum(storage.size(name) or 0 for name in shards)
    return ExportResult(clips, len(shards), len(missing), size_bytes, rows.licences())


def _export_lerobot(
    rows: ExportRows, destination: str, progress: Callable[[int, int], None]
) -> ExportResult:
    """A LeRobot data set: complete once `meta/info.json` is there."""
    data_set, storage = LeRobotExport(rows), Storage.at(destination)
    rows.left_out.update(data_set.left_out)
    clips = sum(len(episode.cameras) for episode in data_set.episodes)
    plan = {
        "format": "lerobot", "selection": rows.selection, "tables": rows.versions,
        "licences": rows.licences(), "left_out": dict(rows.left_out), "clips": clips,
        "episodes": len(data_set.episodes), "fps": data_set.fps,
    }  # fmt: skip
    _write_plan(storage, plan)
    sizes = data_set.write(storage, progress)
    return ExportResult(clips, len(sizes), len(sizes), sum(sizes), rows.licences())


def _texts(rows: ExportRows, export_format: Format) -> dict[str, str]:
    """What is written beside the shards, by name."""
    if export_format == "fiftyone":
        return fiftyone.texts(rows)
    return {CARD: huggingface.card(rows)} if export_format == "hf" else {}


def _shards(
    rows: ExportRows, export_format: Format, shard_bytes: int
) -> tuple[Callable[[str, ExportRows, int, int], None], dict[str, tuple[int, int]]]:
    """What writes a shard, and the rows of each by its name; FiftyOne has a file a clip."""
    if export_format == "fiftyone":
        names = map(fiftyone.media_name, rows.table["clip_id"].to_pylist())
        return fiftyone.write_media, {name: (n, n + 1) for n, name in enumerate(names)}
    writer = webdataset if export_format == "webdataset" else huggingface
    bounds = _shard_bounds(rows.sizes, shard_bytes)
    spans = enumerate(pairwise(bounds))
    return writer.write_shard, {writer.shard_name(n, len(bounds) - 1): span for n, span in spans}


def _write_plan(storage: Storage, plan: dict[str, Any]) -> None:
    """Writes the plan unless it exists; `ExportError` if something else does."""
    storage.remove_partial_files("")
    if storage.size(PLAN) is not None:
        with storage.filesystem.open_input_stream(storage.path(PLAN)) as stream:
            saved = json.loads(stream.read())
        changed = [name for name in plan if saved.get(name) != plan[name]]
        if changed:
            name = changed[0]
            raise ExportError(
                f"{storage.root} holds another export: {name} {_quote(saved.get(name))}, now"
                f" {_quote(plan[name])}; choose an empty destination"
            )
        return
    selector = fs.FileSelector(storage.path(""), allow_not_found=True)
    with storage_faults():
        files = storage.filesystem.get_file_info(selector)
    if files:
        raise ExportError(
            f"{storage.root} is not empty and holds no export: choose an empty destination"
        )
    _write_text(storage, PLAN, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")


def _write_text(storage: Storage, name: str, text: str) -> None:
    with storage.atomic_write(name) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def _quote(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


def _shard_bounds(sizes: list[int], limit: int) -> list[int]:
    """The first row of each shard, and the end of the last."""
    bounds, free = [0], limit - _CLIP_BYTES
    for index, size in enumerate(sizes):
        if index > bounds[-1] and size + _CLIP_BYTES > free:
            bounds.append(index)
            free = limit - _CLIP_BYTES
        free -= size + _CLIP_BYTES
    return [*bounds, len(sizes)]
