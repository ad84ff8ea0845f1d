"""Writing an export: first its plan, then shard by shard, each whole under its name or not at all.

`export.json` says what the export is made of and which shards it has; once all of those are there,
it is done. All that it says follows from the tables, as do the bytes of the shards, so that an
export that was stopped goes on where it was.
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
from tokenizer.export import parquet, tar
from tokenizer.export.card import card, licences
from tokenizer.export.clip_rows import ExportError, Facts

Format = Literal["webdataset", "hf"]
PLAN = "export.json"
CARD = "README.md"
_SHOWN = 80
_CLIP_BYTES = 16384
"""Kept free for what a clip takes beside its parts: facts, and the gaps between files."""


@dataclass(frozen=True)
class Exported:
    """What an export came to."""

    clips: int
    """Clips in all shards."""
    shards: int
    """Shards in all."""
    written: int
    """Shards that were not there before."""
    size_bytes: int
    """Bytes of all shards."""
    licences: dict[str, int]
    """Clips by licence."""


def export(
    facts: Facts,
    place: str,
    form: Format,
    shard_bytes: int,
    watch: Callable[[int, int], None] = lambda *_: None,
) -> Exported:
    """Writes what is not there yet; `watch` is told of clips done and clips in all.

    A shard holds clips of up to `shard_bytes`, at least one. Raises `ExportError` for a place that
    holds something else, and for rendered files that are gone or changed.
    """
    if form not in get_args(Format):
        raise ExportError(f"format {form!r} is none of {', '.join(get_args(Format))}")
    writer = tar if form == "webdataset" else parquet
    cuts = _cuts(facts.sizes, shard_bytes)
    shards = {writer.name(at, len(cuts) - 1): span for at, span in enumerate(pairwise(cuts))}
    storage = Storage.at(place)
    _begin(storage, _plan(facts, form, shard_bytes, shards))
    if form == "hf":
        _put(storage, CARD, card(facts, parquet.columns(facts)))
    missing = {name: span for name, span in shards.items() if storage.size(name) is None}
    done = facts.rows.num_rows - sum(stop - start for start, stop in missing.values())
    watch(done, facts.rows.num_rows)
    for name, (start, stop) in missing.items():
        with storage.writing(name) as temporary:
            writer.write(temporary, facts, start, stop)
        done += stop - start
        watch(done, facts.rows.num_rows)
    size = sum(storage.size(name) or 0 for name in shards)
    return Exported(facts.rows.num_rows, len(shards), len(missing), size, licences(facts))


def _plan(
    facts: Facts, form: Format, shard_bytes: int, shards: dict[str, tuple[int, int]]
) -> dict[str, Any]:
    return {
        "format": form,
        "selection": facts.selection,
        "tables": facts.versions,
        "shard_bytes": shard_bytes,
        "licences": licences(facts),
        "left_out": dict(facts.left_out),
        "clips": facts.rows.num_rows,
        "shards": {name: stop - start for name, (start, stop) in shards.items()},
    }


def _begin(storage: Storage, plan: dict[str, Any]) -> None:
    """Writes the plan, unless it is there already; `ExportError` if something else is."""
    storage.drop_partial("")
    if storage.size(PLAN) is not None:
        with storage.filesystem.open_input_stream(storage.path(PLAN)) as stream:
            before = json.loads(stream.read())
        changed = [name for name in plan if before.get(name) != plan[name]]
        if changed:
            name = changed[0]
            raise ExportError(
                f"{storage.root} holds another export: {name} {_short(before.get(name))}, now"
                f" {_short(plan[name])}; give an empty place"
            )
        return
    selector = fs.FileSelector(storage.path(""), allow_not_found=True)
    with storage_faults():
        there = storage.filesystem.get_file_info(selector)
    if there:
        raise ExportError(f"{storage.root} is not empty and holds no export: give an empty place")
    _put(storage, PLAN, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")


def _put(storage: Storage, name: str, text: str) -> None:
    with storage.writing(name) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _cuts(sizes: list[int], limit: int) -> list[int]:
    """Where shards start, and the end of the last."""
    cuts, room = [0], limit - _CLIP_BYTES
    for at, size in enumerate(sizes):
        if at > cuts[-1] and size + _CLIP_BYTES > room:
            cuts.append(at)
            room = limit - _CLIP_BYTES
        room -= size + _CLIP_BYTES
    return [*cuts, len(sizes)]
