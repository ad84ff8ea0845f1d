"""What is known of each exported clip: one row, the same in every format.

    clip_id, source_id         what it is
    uri, licence, extra        where it comes from: the address of its source, its licence, and
                               every column of the input list
    start_frame … time_base    its span of the source
    width … sha256             the rendered file
    caption                    what a captioner says of it
    tokenizer … windows        how its tokens were made, and the windows they come in
    black_share … bars         every score

Rows lie in the order of their sources and in time, as tokens do, so that an export reads them once.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import subset
from curation.captions import one_each
from curation.catalog import Catalog
from curation.dataset import Dataset, source_rows
from curation.records import Render, Verdict
from curation.scores import SCORES, columns
from tokenizer.export.tokens import TokenIndex
from tokenizer.feed.snapshot import Snapshot

NONE = "none"
"""In place of a table: leaves that part out."""
_LICENCE = ("licence", "license")
"""Columns of an input list that state a licence, whatever their case."""
_SPAN = ("start_frame", "end_frame", "start_s", "end_s", "start_pts", "end_pts", "time_base")
_RENDER = ("width", "height", "fps", "frames", "codec", "audio", "size_bytes", "sha256", "path")

Columns = dict[str, Any]
"""Arrow arrays of one length."""


class ExportError(ValueError):
    """There is nothing to export, or nowhere to; the message says what to do."""


@dataclass(frozen=True)
class Parts:
    """The tables to export from; None for the only one there is, `none` to leave the part out."""

    clips: str | None = None
    """Table of renders, such as `renders/encode-1a2b3c4d`."""
    captions: str | None = None
    """Table of captions, such as `captions/facts-1a2b3c4d`; None for the one filled last."""
    tokens: str | None = None
    """Table of tokens, such as `tokens/pca-8x8x8-1a2b3c4d`."""


@dataclass(frozen=True)
class _Side:
    """One part: the clips that have it, and what it tells of those at some places among them."""

    step: str
    """The command that makes it."""
    clip_ids: Any
    columns: Callable[[Any], Columns]


class Facts:
    """The clips that one selection keeps and that have all parts, each table at one version."""

    def __init__(self, place: str | os.PathLike[str], selection: str | None, parts: Parts) -> None:
        """The newest selection unless one is named; raises `ExportError`."""
        dataset = Dataset(place)
        self.storage = dataset.catalog.storage
        """Where the output lies."""
        renders = _table(dataset.catalog, "renders", parts.clips, "render")
        captions = _table(dataset.catalog, "captions", _newest(dataset, parts.captions), "caption")
        tokens = _table(dataset.catalog, "tokens", parts.tokens, "tokenize")
        self.selection = _selection(dataset, selection)
        """Id of the selection."""
        dataset.catalog = catalog = Snapshot(self.storage, {})
        self.tokens = None if tokens is None else TokenIndex(dataset, tokens)
        """Where tokens lie, if they take part."""
        self._sides: dict[str, _Side] = {}
        if renders is not None:
            self._sides["render"] = _rendered(catalog, renders)
        if captions is not None:
            self._sides["caption"] = _captioned(catalog, captions)
        if self.tokens is not None:
            self._sides["tokens"] = _Side("tokenize", self.tokens.clip_ids, self.tokens.columns)
        self.left_out: Counter[str] = Counter()
        """Kept clips that lack a part, by the first that they lack."""
        clips = self._complete(dataset)
        told = pa.table({**self._of_clips(dataset, clips), **_scores(clips)})
        self.sizes = self._sizes(told)
        """About how many bytes each clip's parts take."""
        self.has_media = "path" in told.column_names
        """Whether rendered files take part."""
        self.paths: list[str] = told["path"].to_pylist() if self.has_media else []
        """The rendered file of each clip, relative to the output."""
        self.rows = told.drop_columns(["path"] if self.has_media else [])
        """One row a clip."""
        names = [name for name in (renders, captions, tokens) if name is not None]
        self.versions = {name: catalog.versions[name] for name in names}
        """Version of each table that parts are read from."""

    def _sizes(self, told: pa.Table) -> list[int]:
        sizes = np.zeros(len(told), np.int64)
        if "size_bytes" in told.column_names:
            sizes += told["size_bytes"].to_numpy()
        if self.tokens is not None:
            sizes += self.tokens.sizes(pc.index_in(told["clip_id"], self.tokens.clip_ids))
        found: list[int] = sizes.tolist()
        return found

    def _complete(self, dataset: Dataset) -> pa.Table:
        """The kept clips that have all parts."""
        order = [(name, "ascending") for name in ("source_id", "start_frame", "clip_id")]
        clips = dataset.clips("kept", self.selection).sort_by(order)
        for part, side in self._sides.items():
            there = pc.is_in(clips["clip_id"], side.clip_ids)
            lacking = clips.num_rows - (pc.sum(there).as_py() or 0)
            self.left_out += Counter({f"without {part}": lacking})
            clips = clips.filter(there)
            if not clips.num_rows:
                raise ExportError(
                    f"selection {self.selection} keeps no clip with a {part}:"
                    f" run `reelmill {side.step}` first"
                )
        if not clips.num_rows:
            raise ExportError(f"selection {self.selection} keeps no clip: choose another")
        return clips

    def _of_clips(self, dataset: Dataset, clips: pa.Table) -> Columns:
        told: Columns = {name: clips[name] for name in ("clip_id", "source_id", "uri")}
        sources = source_rows(dataset.catalog)
        extra = [sources[name].extra or {} for name in clips["source_id"].to_pylist()]
        told["licence"] = pa.array([_licence(each) for each in extra], pa.string())
        names = sorted({name for each in extra for name in each})
        if names:
            told["extra"] = pa.array(extra, pa.struct([(name, pa.string()) for name in names]))
        told |= {name: clips[name] for name in _SPAN}
        for side in self._sides.values():
            told |= side.columns(pc.index_in(clips["clip_id"], side.clip_ids).combine_chunks())
        return told


def _scores(clips: pa.Table) -> Columns:
    names = [field.name for score in SCORES.values() for field in columns(score)]
    return {name: _known(clips[name]) for name in names}


def _known(values: Any) -> Any:
    """Numbers with null for those that are none; words as they are."""
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_nan(values), None, values)


def _rendered(catalog: Catalog, table: str) -> _Side:
    rows = catalog.read(table, Render, where=pc.field("outcome") == "rendered")
    if rows["path"].null_count:
        raise ExportError(
            f"{table} holds spans of sources, not files: choose --clips none, or render again with"
            " render.mode=encode"
        )
    return _Side("render", rows["clip_id"], lambda at: _taken(rows.select(_RENDER), at))


def _captioned(catalog: Catalog, table: str) -> _Side:
    rows = one_each(catalog, table)
    texts = rows.select(["text"]).rename_columns(["caption"])
    return _Side("caption", rows["clip_id"], lambda at: _taken(texts, at))


def _newest(dataset: Dataset, wanted: str | None) -> str | None:
    """The table of captions that was filled last, if none is named."""
    filled = dataset.caption_tables() if wanted is None else []
    return filled[0] if filled else wanted


def _taken(rows: pa.Table, places: Any) -> Columns:
    taken = rows.take(places)
    return {name: taken[name] for name in taken.column_names}


def _licence(extra: dict[str, str]) -> str | None:
    stated = [value for name, value in extra.items() if name.lower() in _LICENCE]
    return stated[0] if stated else None


def _table(catalog: Catalog, kind: str, wanted: str | None, step: str) -> str | None:
    """The table to read, or None to leave that part out."""
    if wanted == NONE:
        return None
    names = catalog.names(kind)
    fitting = [name for name in names if wanted is None or name in (wanted, f"{kind}/{wanted}")]
    if len(fitting) == 1:
        return fitting[0]
    option = {"renders": "clips"}.get(kind, kind)
    if not names:
        raise ExportError(
            f"{catalog.storage.root} has no {kind}: run `reelmill {step}` first, or leave them out"
            f" with --{option} none"
        )
    raise ExportError(f"name one table with --{option}; there are {', '.join(names)}, and none")


def _selection(dataset: Dataset, wanted: str | None) -> str:
    """The id of a selection by its id or first digits, or of a subset by its id or name."""
    if wanted is not None and (found := subset.read(dataset.catalog, wanted)).num_rows:
        return str(found["subset_id"][0].as_py())
    there: list[str] = sorted(dataset.catalog.values("selection", Verdict, "selection_id"))
    chosen = wanted or dataset.latest_selection()
    if chosen is None or not there:
        raise ExportError(
            f"{dataset.catalog.storage.root} has no selection: run `reelmill select` first"
        )
    fitting = [name for name in there if name.startswith(chosen)]
    if len(fitting) != 1:
        raise ExportError(f"there is no selection {chosen!r}; there are {', '.join(there)}")
    return fitting[0]
