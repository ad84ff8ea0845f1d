"""Bringing an index up to date: what came is appended and published, then the index is compacted.

What a run of scan adds is read once and written as a further segment, and the manifest that names
it is published; queries see it from then on. Only then are vectors sorted into lists, small
segments merged, and lists that have grown too long rebuilt. Where clips that the index has got a
score, a caption or a label since, metadata and text index are rewritten; vectors are not.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import scores
from curation.dataset import Dataset
from curation.embed.queries import THINGS_PREFIX
from curation.label import columns as label_columns
from curation.records import Caption, CaptionedClip, Clip, ClipLabel, Embedding, Source
from curation.scores import SCORES
from curation.search import metadata
from curation.search.compaction import compact
from curation.search.filters import committed_rows
from curation.search.incremental import NewFiles
from curation.search.index import Index, VerifiedFiles
from curation.search.manifest import Manifest, ReadFiles, Verdicts
from curation.search.metadata import SideTables
from curation.search.store import DamagedIndexError, IndexStore
from curation.search.text_index import write_version
from curation.search.vector_segments import append_vectors

_FACT_CAPTIONS = "captions/facts"

ProgressCallback = Callable[[str], None]
"""Receives what is being done."""


@dataclass(frozen=True)
class UpdateResult:
    """How an update ended."""

    index: Index
    new_clips: int
    new_vectors: int
    rebuild_reason: str | None
    """Why the index was rebuilt; None if it was not."""


def update(
    dataset: Dataset,
    verified: VerifiedFiles,
    on_progress: ProgressCallback = lambda _: None,
    index: Index | None = None,
) -> UpdateResult:
    """Brings the index of an output up to date, or makes it. `index` is the open one, if any."""
    store = IndexStore.of(dataset.catalog.storage)
    with store.locked():
        rebuild_reason = None
        try:
            if index is None or store.read_manifest() != index.manifest:
                index = Index.open(store, verified)
        except DamagedIndexError as error:
            rebuild_reason, index = str(error), None
        if index is None:
            index = Index(store, Manifest(secrets.token_hex(8)), verified)
        old = index.manifest
        new = _Update(dataset, index, on_progress).appended()
        if new != old or store.mtime is None:
            index = _publish(store, new, old, verified)
            on_progress("published")
        compacted = compact(store, index.manifest, on_progress)
        if compacted != index.manifest:
            index = _publish(store, compacted, index.manifest, verified)
        new_vectors = new.num_vectors - old.num_vectors
        return UpdateResult(index, new.rows - old.rows, new_vectors, rebuild_reason)


def _publish(
    store: IndexStore, manifest: Manifest, old: Manifest, verified: VerifiedFiles
) -> Index:
    """Writes the manifest; the files were digested as they were written."""
    manifest = dataclasses.replace(manifest, version=old.version + 1)
    verified.update(manifest.files())
    store.publish(manifest)
    store.sweep(old, manifest)
    return Index(store, manifest, verified)


class _Update:
    """One pass over the tables."""

    def __init__(self, dataset: Dataset, index: Index, on_progress: ProgressCallback) -> None:
        self._dataset = dataset
        self._catalog = dataset.catalog
        self._index = index
        self._store = index.store
        self._old = index.manifest
        self._on_progress = on_progress
        self._tables_read = dict(self._old.tables_read)
        self._is_any_gone = self._old.deleted is not None
        self._new_ids: Any = pa.array([], pa.string())

    def appended(self) -> Manifest:
        """The manifest with what came since; the same if nothing did."""
        self._on_progress("reading tables")
        sources = self._scanned_sources()
        clips = self._new_clips(sources)
        self._new_ids = clips["clip_id"].combine_chunks()
        side_tables, needs_rewrite = self._new_side_rows()
        manifest = self._old
        if needs_rewrite:
            manifest = self._rewrite_clips(manifest, clips, sources)
        elif len(clips):
            manifest = self._append_clips(manifest, clips, sources, side_tables)
        manifest = self._with_verdicts(self._with_deleted(manifest), needs_rewrite)
        for name in self._catalog.names("embeddings"):
            self._on_progress(f"indexing {name}")
            manifest = self._with_vectors(manifest, name)
        return dataclasses.replace(manifest, tables_read=self._tables_read)

    def _new_files(self, name: str, record: type) -> NewFiles:
        return NewFiles.of(self._catalog, name, record, self._old.tables_read.get(name))

    def _open(self, manifest: Manifest) -> Index:
        """The index of a manifest that is not published yet; its files were just written."""
        return Index(self._store, manifest, set(manifest.files()))

    def _scanned_sources(self) -> pa.Table:
        """The scanned sources, each once."""
        columns = ["source_id", "uri", "width", "height", "fps", "extra"]
        new = self._new_files("sources", Source)
        rows = new.all_files().select(columns, pc.field("outcome") == "scanned")
        self._is_any_gone |= new.is_any_gone
        self._tables_read["sources"] = ReadFiles(tuple(sorted([*new.read, *new.files])))
        if pc.count_distinct(rows["source_id"]).as_py() == len(rows):
            return rows
        rows = rows.sort_by("uri")
        return rows.take(pc.index_in(pc.unique(rows["source_id"]), rows["source_id"]))

    def _new_clips(self, sources: pa.Table) -> pa.Table:
        """Clips of scanned sources without a row, those of one source together."""
        new = self._new_files("clips", Clip)
        self._is_any_gone |= new.is_any_gone
        rows = new.rows()
        is_committed = pc.is_in(rows["source_id"], sources["source_id"])
        unknown = rows.filter(pc.invert(is_committed))["clip_id"].combine_chunks()
        self._tables_read["clips"] = new.read_files(unknown)
        rows = rows.filter(is_committed)
        if self._old.rows and (new.is_any_gone or new.pending):
            is_indexed = pc.is_in(rows["clip_id"], self._index.metadata["clip_id"])
            rows = rows.filter(pc.invert(is_indexed))
        return rows.sort_by([("source_id", "ascending"), ("start_frame", "ascending")])

    def _new_side_rows(self) -> tuple[SideTables, bool]:
        """New rows beside those of clips, and whether any is about an indexed clip."""
        score_rows, captions, labels, needs_rewrite = [], {}, {}, False
        for score in SCORES.values():
            rows, is_late = self._new_rows(scores.table_name(score), score.record)
            score_rows.append(rows)
            needs_rewrite |= is_late
        for name in self._caption_tables():
            marker = name.replace("captions/", "captioned/", 1)
            has_marker = self._catalog.open(marker) is not None
            table, record = (marker, CaptionedClip) if has_marker else (name, Caption)
            rows, is_late = self._new_rows(table, record)
            needs_rewrite |= is_late
            if len(rows):
                captions[name] = self._dataset.captions(name)
        for name in label_columns.label_tables(self._dataset):
            labels[name], is_late = self._new_rows(name, ClipLabel)
            needs_rewrite |= is_late
        things = []
        for name in self._things_tables():
            rows, is_late = self._new_rows(name, Embedding)
            things.append(rows)
            needs_rewrite |= is_late
        return SideTables(score_rows, captions, labels, things), needs_rewrite

    def _new_rows(self, name: str, record: type) -> tuple[pa.Table, bool]:
        files = self._new_files(name, record)
        new, pending = files.new_and_pending_rows()
        unknown, is_late = self._unknown_ids(new)
        still_unknown, _ = self._unknown_ids(pending)  # the others are in the index already
        self._tables_read[name] = files.read_files(pa.concat_arrays([unknown, still_unknown]))
        is_late |= files.is_any_gone and bool(self._old.rows)
        return pa.concat_tables([new, pending]), is_late

    def _unknown_ids(self, rows: pa.Table) -> tuple[pa.Array, bool]:
        """Ids of clips that have no row, and whether there are any that had one before."""
        ids = rows["clip_id"]
        ids = ids.filter(pc.invert(pc.is_in(ids, self._new_ids))).combine_chunks()
        is_indexed = pa.array(self._index.rows_of(ids) >= 0, pa.bool_())
        return ids.filter(pc.invert(is_indexed)), bool(pc.any(is_indexed, min_count=0).as_py())

    def _append_clips(
        self, manifest: Manifest, clips: pa.Table, sources: pa.Table, side_tables: SideTables
    ) -> Manifest:
        """With metadata and words of new clips."""
        table = metadata.join_metadata(clips, manifest.rows, sources, side_tables)
        segment = metadata.write_segment(self._store, table)
        texts = metadata.clip_texts(table, side_tables.captions, sources)
        text = write_version(self._store, manifest.text, texts, f"words-{secrets.token_hex(4)}")
        return dataclasses.replace(manifest, clips=(*manifest.clips, segment), text=text)

    def _rewrite_clips(self, manifest: Manifest, clips: pa.Table, sources: pa.Table) -> Manifest:
        """With metadata and words of all clips, each in its row."""
        self._on_progress("rewriting metadata and words")
        names = list(Clip.__dataclass_fields__)
        old = self._index.metadata.select(names) if manifest.rows else clips.slice(0, 0)
        clips = pa.concat_tables([old, clips.select(names)])
        empty = dataclasses.replace(manifest, clips=(), text=None)
        return self._append_clips(empty, clips, sources, self._all_side_rows())

    def _all_side_rows(self) -> SideTables:
        """All rows beside those of clips."""
        read, dataset = self._catalog.read, self._dataset
        return SideTables(
            [read(scores.table_name(score), score.record) for score in SCORES.values()],
            {name: dataset.captions(name) for name in self._caption_tables()},
            {name: read(name, ClipLabel) for name in label_columns.label_tables(dataset)},
            [read(name, Embedding) for name in self._things_tables()],
        )

    def _things_tables(self) -> list[str]:
        """Tables of what clips show."""
        names = self._catalog.names("embeddings")
        return [name for name in names if name.startswith(THINGS_PREFIX)]

    def _caption_tables(self) -> list[str]:
        """Tables of captions; what a model wrote comes before measured facts."""
        names = self._dataset.caption_tables()
        return sorted(names, key=lambda name: name.startswith(_FACT_CAPTIONS))

    def _with_deleted(self, manifest: Manifest) -> Manifest:
        """With the rows of deleted clips; a clip that came back is no longer among them."""
        if not self._is_any_gone or not manifest.rows:
            return manifest
        rows = np.flatnonzero(~committed_rows(self._dataset, self._open(manifest)))
        deleted = self._store.write(".absent", rows.tofile) if len(rows) else None
        return dataclasses.replace(manifest, deleted=deleted)

    def _with_verdicts(self, manifest: Manifest, is_rewritten: bool) -> Manifest:
        """With the verdicts of the newest selection."""
        selection = self._dataset.latest_selection()
        if selection is None or not manifest.rows:
            return manifest
        current = manifest.verdicts
        if current is not None and current.selection_id == selection and not is_rewritten:
            return manifest
        rows = self._dataset.selection(selection)
        index = pc.index_in(self._open(manifest).metadata["clip_id"], rows["clip_id"])
        table = pa.table({name: rows[name].take(index) for name in metadata.VERDICT_COLUMNS})
        verdicts = Verdicts(selection, len(table), metadata.write_table(self._store, table))
        return dataclasses.replace(manifest, verdicts=verdicts)

    def _with_vectors(self, manifest: Manifest, name: str) -> Manifest:
        new, old = self._new_files(name, Embedding), manifest.vectors.get(name)
        if new.is_any_gone:
            new, old = new.all_files(), None
        model = _model_digest(self._dataset, name)
        table, unknown = append_vectors(self._open(manifest), new, old, model)
        self._tables_read[name] = new.read_files(unknown)
        if table is None:
            return manifest
        return dataclasses.replace(manifest, vectors={**manifest.vectors, name: table})


def _model_digest(dataset: Dataset, table: str) -> str:
    """The digest of the model that made a table; the table's name without that model."""
    from curation.embed import query_encoder, recorded_model

    try:
        return query_encoder(table, recorded_model(dataset, table)).digest
    except (ValueError, OSError, ImportError):
        return table.removeprefix("embeddings/")
