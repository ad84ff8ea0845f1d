"""The row of each exported clip, the same in every format.

    clip_id, source_id         what it is
    uri, licence, extra        its source: the address, its licence, and every column of the input
                               list
    start_frame … time_base    its span of the source
    width … sha256             the rendered file
    caption                    its caption
    tokenizer … windows        how its tokens were made, and their windows
    black_share … bars         every score

Rows are in the order of their sources and in time, as tokens are, so that an export reads each
shard once.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage
from curation.caption_tables import read_captions
from curation.catalog import Catalog
from curation.clip_details import licence
from curation.dataset import ALL, Dataset, sources_by_id
from curation.errors import ReelmillError
from curation.lineage import LineageError
from curation.records import Render
from curation.scores import SCORES, columns
from curation.storage import storage_faults
from tokenizer.export.frame_signals import FrameSignals, SignalIndex
from tokenizer.export.token_arrays import TokenIndex
from tokenizer.feed.snapshot import Snapshot

NONE = "none"
"""Instead of a table: leaves that part out."""
_NOT_STATED = "not stated"
_SPAN = ("start_frame", "end_frame", "start_s", "end_s", "start_pts", "end_pts", "time_base")
_RENDER = ("width", "height", "fps", "frames", "codec", "audio", "size_bytes", "sha256", "path")

Columns = dict[str, Any]
"""Arrow arrays of one length."""


class ExportError(ReelmillError, ValueError):
    """An export that cannot be done as requested; the message says why and what to do."""


@dataclass(frozen=True)
class ExportTables:
    """The tables to export from; `none` leaves a part out.

    None is the renders that were last requested, and the tokens and captions that were last made
    from these, or captions that look at no render.
    """

    clips: str | None = None
    """Table of renders, such as `renders/encode-1a2b3c4d`."""
    captions: str | None = None
    """Table of captions, such as `captions/facts-1a2b3c4d`."""
    tokens: str | None = None
    """Table of tokens, such as `tokens/pca-8x8x8-1a2b3c4d`."""


@dataclass(frozen=True)
class _Part:
    """One part of a clip."""

    step: str
    """The command that makes it."""
    clip_ids: Any
    """Clips that have it."""
    columns: Callable[[Any], Columns]
    """Its columns at some indices into `clip_ids`."""


class ExportRows:
    """The clips that one selection keeps and that have all parts, each table at one version."""

    def __init__(
        self, output: str | os.PathLike[str], selection: str | None, tables: ExportTables
    ) -> None:
        """The newest selection by default, or `all` clips; raises `ExportError`."""
        dataset = Dataset(output)
        self.storage = dataset.catalog.storage
        try:
            self._selection_id = dataset.resolve_selection(selection)
        except ValueError as error:
            raise ExportError(str(error)) from error
        renders, captions, tokens = _resolve_tables(dataset.catalog, tables, self._selection_id)
        if self._selection_id is None and selection != ALL:
            raise ExportError(
                f"{self.storage.root} has no selection: run `reelmill select` first, or take all"
                " clips with --selection all"
            )
        self.selection = self._selection_id or ALL
        """Id of the selection, or `all`."""
        dataset.catalog = catalog = Snapshot(self.storage, {})
        self.tokens = None if tokens is None else TokenIndex(dataset, tokens)
        """None if tokens are left out."""
        parts = _read_parts(catalog, renders, captions, self.tokens)
        self.left_out: Counter[str] = Counter()
        """Kept clips that lack a part, by the first that they lack."""
        clips = self._complete_clips(dataset, parts)
        self._check_renders(catalog, renders, captions, clips["clip_id"])
        rows = pa.table(_columns(dataset, clips, parts))
        sizes = np.zeros(len(rows), np.int64)
        if "size_bytes" in rows.column_names:
            sizes += rows["size_bytes"].to_numpy()
        if self.tokens is not None:
            sizes += self.tokens.sizes(pc.index_in(rows["clip_id"], self.tokens.clip_ids))
        self.sizes: list[int] = sizes.tolist()
        """Approximate bytes of each clip's parts."""
        self.has_media = "path" in rows.column_names
        """Whether rendered files are exported."""
        self._paths: list[str] = rows["path"].to_pylist() if self.has_media else []
        self.table = rows.drop_columns(["path"] if self.has_media else [])
        """One row a clip."""
        ids: list[str] = self.table["clip_id"].to_pylist()
        self.signals = SignalIndex(catalog, renders, ids)
        """What was recorded with the clips."""
        self._sources = sources_by_id(catalog, set(self.table["source_id"].to_pylist()))
        names = [name for name in (renders, captions, tokens) if name is not None]
        self.versions = {name: catalog.versions[name] for name in names}
        """Version of each table of parts."""

    def licences(self) -> dict[str, int]:
        """Number of clips by licence."""
        stated = pc.fill_null(self.table["licence"], _NOT_STATED)
        counts = {row["values"]: row["counts"] for row in pc.value_counts(stated).to_pylist()}
        return dict(sorted(counts.items()))

    def read_media(self, index: int) -> bytes:
        """The rendered file of a row; `ExportError` unless it has the recorded digest."""
        path = self._paths[index]
        filesystem = self.storage.filesystem
        try:
            with storage_faults(), filesystem.open_input_stream(self.storage.path(path)) as stream:
                content: bytes = stream.read()
        except FileNotFoundError as error:
            raise ExportError(
                f"{self.storage.uri(path)} is missing; `reelmill verify` says what else"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.table["sha256"][index].as_py():
            raise ExportError(
                f"{self.storage.uri(path)} was changed; `reelmill verify` says what else"
            )
        return content

    def frame_signals(self, index: int) -> FrameSignals | None:
        """The signals of a row at each frame of its file; None without any."""
        frames, start = (self.table[name][index].as_py() for name in ("frames", "start_frame"))
        return self.signals.at(index, frames, start)

    def varies_in_rate(self) -> list[bool]:
        """Of each row whether the times between its file's frames vary."""
        return [
            bool(self._sources[source_id].variable_rate) and not self.signals.is_resampled(clip_id)
            for clip_id, source_id in zip(
                self.table["clip_id"].to_pylist(), self.table["source_id"].to_pylist(), strict=True
            )
        ]

    def _check_renders(
        self, catalog: Catalog, renders: str | None, captions: str | None, clip_ids: Any
    ) -> None:
        """Raises `ExportError` if a clip's tokens or caption are not of its render."""
        try:
            if captions is not None:
                lineage.check_fresh(catalog, captions, clip_ids)
            if self.tokens is None:
                return
            if renders is None:
                lineage.check_fresh(catalog, self.tokens.table, clip_ids)
                return
            indices = pc.index_in(clip_ids, self.tokens.clip_ids).combine_chunks()
            origins = self.tokens.render_origins(indices)
            differences = list(lineage.differences(catalog, renders, origins))
            lineage.raise_if_different(self.tokens.table, differences)
        except LineageError as error:
            raise ExportError(str(error)) from error

    def _complete_clips(self, dataset: Dataset, parts: dict[str, _Part]) -> pa.Table:
        """The kept clips that have all parts."""
        order = [(name, "ascending") for name in ("source_id", "start_frame", "clip_id")]
        verdict = None if self._selection_id is None else "kept"
        clips = dataset.scored_clips(verdict, self._selection_id).sort_by(order)
        for name, part in parts.items():
            has_part = pc.is_in(clips["clip_id"], part.clip_ids)
            lacking = clips.num_rows - (pc.sum(has_part).as_py() or 0)
            self.left_out += Counter({f"without {name}": lacking})
            clips = clips.filter(has_part)
            if not clips.num_rows:
                raise ExportError(
                    f"selection {self.selection} keeps no clip with a {name}:"
                    f" run `reelmill {part.step}` first"
                )
        if not clips.num_rows:
            raise ExportError(f"selection {self.selection} keeps no clip: choose another")
        return clips


def _columns(dataset: Dataset, clips: pa.Table, parts: dict[str, _Part]) -> Columns:
    result: Columns = {name: clips[name] for name in ("clip_id", "source_id", "uri")}
    sources = sources_by_id(dataset.catalog)
    extras = [sources[source_id].extra or {} for source_id in clips["source_id"].to_pylist()]
    licences = [licence(extra) for extra in extras]
    result["licence"] = pa.array(licences, pa.string())
    names = sorted({name for extra in extras for name in extra})
    if names:
        result["extra"] = pa.array(extras, pa.struct([(name, pa.string()) for name in names]))
    result |= {name: clips[name] for name in _SPAN}
    for part in parts.values():
        result |= part.columns(pc.index_in(clips["clip_id"], part.clip_ids).combine_chunks())
    for name in (field.name for score in SCORES.values() for field in columns(score)):
        values = clips[name]
        is_number = pa.types.is_floating(values.type)
        result[name] = pc.if_else(pc.is_nan(values), None, values) if is_number else values
    return result


def _read_parts(
    catalog: Catalog, renders: str | None, captions: str | None, tokens: TokenIndex | None
) -> dict[str, _Part]:
    parts: dict[str, _Part] = {}
    if renders is not None:
        rendered = catalog.read(renders, Render, where=pc.field("outcome") == "rendered")
        if rendered["path"].null_count:
            raise ExportError(
                f"{renders} holds spans of sources, not files: choose --clips none, or render again"
                " with render.mode=encode"
            )
        files = rendered.select(_RENDER)
        parts["render"] = _Part("render", rendered["clip_id"], lambda i: _take(files, i))
    if captions is not None:
        captioned = read_captions(catalog, captions)
        texts = captioned.select(["text"]).rename_columns(["caption"])
        parts["caption"] = _Part("caption", captioned["clip_id"], lambda i: _take(texts, i))
    if tokens is not None:
        parts["tokens"] = _Part("tokenize", tokens.clip_ids, tokens.columns)
    return parts


def _take(rows: pa.Table, indices: Any) -> Columns:
    return dict(zip(rows.column_names, rows.take(indices).columns, strict=True))


def _resolve_tables(
    catalog: Catalog, tables: ExportTables, selection_id: str | None
) -> tuple[str | None, str | None, str | None]:
    """The tables of renders, captions and tokens; None for each that is left out."""
    renders = _resolve_table(catalog, "renders", tables.clips, selection_id)
    captions = _resolve_table(catalog, "captions", tables.captions, selection_id, renders)
    tokens = _resolve_table(catalog, "tokens", tables.tokens, selection_id, renders)
    try:
        names = [name for name in (captions, tokens) if name is not None]
        lineage.check_same_renders(catalog, names)
    except LineageError as error:
        raise ExportError(str(error)) from error
    return renders, captions, tokens


def _resolve_table(
    catalog: Catalog, kind: lineage.Kind, name: str | None, selection_id: str | None,
    renders: str | None = None,
) -> str | None:  # fmt: skip
    """The table of a kind, made from `renders` if given; None to leave it out."""
    if name == NONE:
        return None
    option = "--clips" if kind == "renders" else f"--{kind}"
    try:
        table = lineage.resolve_table(catalog, kind, name, selection_id, renders)
        if name is not None and kind != "renders":
            lineage.check_made_from(catalog, table, renders)
        return table
    except LineageError as error:
        raise ExportError(
            f"{error}; name one with {option}, or leave them out with {option} none"
        ) from error
