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
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage
from curation.caption_tables import one_each
from curation.catalog import Catalog
from curation.dataset import ALL, Dataset, source_rows
from curation.errors import ReelmillError
from curation.lineage import LineageError
from curation.records import Render
from curation.scores import SCORES, columns
from tokenizer.export.token_arrays import TokenIndex
from tokenizer.feed.snapshot import Snapshot

NONE = "none"
"""In place of a table: leaves that part out."""
_LICENCE = ("licence", "license")
"""Columns of an input list that state a licence, whatever their case."""
_SPAN = ("start_frame", "end_frame", "start_s", "end_s", "start_pts", "end_pts", "time_base")
_RENDER = ("width", "height", "fps", "frames", "codec", "audio", "size_bytes", "sha256", "path")

Columns = dict[str, Any]
"""Arrow arrays of one length."""


class ExportError(ReelmillError, ValueError):
    """There is nothing to export, or nowhere to; the message says what to do."""


@dataclass(frozen=True)
class Parts:
    """The tables to export from; `none` leaves a part out.

    None stands for the renders that were last asked for, and for the tokens and captions that were
    made from these last, or captions that look at no render.
    """

    clips: str | None = None
    """Table of renders, such as `renders/encode-1a2b3c4d`."""
    captions: str | None = None
    """Table of captions, such as `captions/facts-1a2b3c4d`."""
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
        """The newest selection unless one is named, or `all` clips; raises `ExportError`."""
        dataset = Dataset(place)
        self.storage = dataset.catalog.storage
        """Where the output lies."""
        self._selection = _selection(dataset, selection)
        renders, captions, tokens = _tables(dataset.catalog, parts, self._selection)
        if self._selection is None and selection != ALL:
            raise ExportError(
                f"{self.storage.root} has no selection: run `reelmill select` first, or take all"
                " clips with --selection all"
            )
        self.selection = self._selection or ALL
        """Id of the selection, or `all`."""
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
        self._check(catalog, renders, captions, clips["clip_id"])
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

    def _check(
        self, catalog: Catalog, renders: str | None, captions: str | None, clip_ids: Any
    ) -> None:
        """Raises `ExportError` if a clip's tokens or caption are not of its render."""
        try:
            if captions is not None:
                lineage.check(catalog, captions, clip_ids)
            if self.tokens is None:
                return
            if renders is None:
                lineage.check(catalog, self.tokens.table, clip_ids)
                return
            places = pc.index_in(clip_ids, self.tokens.clip_ids).combine_chunks()
            made = self.tokens.made_from(places)
            found = list(lineage.differences(catalog, renders, made))
            lineage.refuse(self.tokens.table, found)
        except LineageError as error:
            raise ExportError(str(error)) from error

    def _complete(self, dataset: Dataset) -> pa.Table:
        """The kept clips that have all parts."""
        order = [(name, "ascending") for name in ("source_id", "start_frame", "clip_id")]
        verdict = None if self._selection is None else "kept"
        clips = dataset.clips(verdict, self._selection).sort_by(order)
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


def _taken(rows: pa.Table, places: Any) -> Columns:
    taken = rows.take(places)
    return {name: taken[name] for name in taken.column_names}


def _licence(extra: dict[str, str]) -> str | None:
    stated = [value for name, value in extra.items() if name.lower() in _LICENCE]
    return stated[0] if stated else None


def _tables(
    catalog: Catalog, parts: Parts, selection_id: str | None
) -> tuple[str | None, str | None, str | None]:
    """The tables of renders, captions and tokens, None for each that is left out."""
    renders = _renders(catalog, parts.clips, selection_id)
    others = [
        _others(catalog, "captions", parts.captions, selection_id, renders),
        _others(catalog, "tokens", parts.tokens, selection_id, renders),
    ]
    captions, tokens = others
    try:
        lineage.check_same(catalog, [name for name in others if name is not None])
    except LineageError as error:
        raise ExportError(str(error)) from error
    return renders, captions, tokens


def _renders(catalog: Catalog, wanted: str | None, selection_id: str | None) -> str | None:
    """The table of renders to read, or None to leave files out."""
    if wanted == NONE:
        return None
    there = catalog.names("renders")
    if not there:
        raise ExportError(
            f"{catalog.storage.root} has no renders: run `reelmill render` first, or leave them out"
            " with --clips none"
        )
    if wanted is None:
        found = lineage.renders(catalog, selection_id)
        if found in there:
            return found
    try:
        return lineage.named(catalog, "renders", wanted or "")
    except LineageError as error:
        raise ExportError(f"name one table with --clips; there are {', '.join(there)}") from error


def _others(
    catalog: Catalog, kind: Literal["tokens", "captions"], wanted: str | None,
    selection_id: str | None, renders: str | None,
) -> str | None:  # fmt: skip
    """The table of tokens or captions that goes with the renders; None to leave it out."""
    if wanted == NONE:
        return None
    try:
        if wanted is None:
            return lineage.default(catalog, kind, selection_id, renders)
        name = lineage.named(catalog, kind, wanted)
        lineage.check_of(catalog, name, renders)
        return name
    except LineageError as error:
        raise ExportError(f"{error}; or leave them out with --{kind} none") from error


def _selection(dataset: Dataset, wanted: str | None) -> str | None:
    """The id of a selection or subset; None for all clips, or where there is no selection."""
    try:
        return dataset.selected(wanted)
    except ValueError as error:
        raise ExportError(str(error)) from error
