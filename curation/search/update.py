"""Bringing an index up to date: what came is appended and published, then tidied up.

What a run of scan adds is read once and written as a further segment, and the manifest that names
it is published; queries see it from then on. Only then are vectors sorted into lists, small
segments merged, and lists that have grown too long made anew. Where clips that the index has got a
score, a caption or a label since, facts and words are written anew; vectors are not.
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
from curation.label import columns
from curation.records import Caption, CaptionedClip, Clip, ClipLabel, Embedding, Source
from curation.scores import SCORES
from curation.search import metadata, vector_segments
from curation.search.compaction import tidied
from curation.search.incremental import Fresh
from curation.search.index import Checked, Index
from curation.search.manifest import Manifest, Seen, Verdicts
from curation.search.metadata import Sides
from curation.search.store import DamagedIndexError, Folder
from curation.search.text_index import written
from curation.search.tombstones import announced

_MEASURED = "captions/facts"

Watch = Callable[[str], None]
"""Is told what is being done."""


@dataclass(frozen=True)
class Updated:
    """How an update ended."""

    index: Index
    new_clips: int
    new_vectors: int
    rebuilt: str | None
    """Why the index was made anew; None if it was not."""


def update(
    dataset: Dataset, checked: Checked, watch: Watch = lambda _: None, index: Index | None = None
) -> Updated:
    """Brings the index of an output up to date, or makes it. `index` is the open one, if any."""
    folder = Folder.of(dataset.catalog.storage)
    with folder.locked():
        rebuilt, before = None, index
        try:
            if before is None or folder.read() != before.manifest:
                before = Index.open(folder, checked)
        except DamagedIndexError as error:
            rebuilt, before = str(error), None
        if before is None:
            before = Index(folder, Manifest(secrets.token_hex(8)), checked)
        step = _Step(dataset, before, watch)
        appended = step.appended()
        return Updated(
            _published(appended, before, checked, watch),
            appended.rows - before.manifest.rows,
            vector_segments.count(appended) - vector_segments.count(before.manifest),
            rebuilt,
        )


def _published(appended: Manifest, before: Index, checked: Checked, watch: Watch) -> Index:
    """Publishes what was appended, then what came of tidying up."""
    folder, found = before.folder, before
    if appended != before.manifest or before.folder.stamp is None:
        found = _publish(folder, appended, before.manifest, checked)
        watch("published")
    tidy = tidied(folder, found.manifest, watch)
    if tidy != found.manifest:
        found = _publish(folder, tidy, found.manifest, checked)
    return found


def _publish(folder: Folder, found: Manifest, before: Manifest, checked: Checked) -> Index:
    """Writes the manifest; the files were digested as they were written."""
    numbered = dataclasses.replace(found, version=before.version + 1)
    checked.update(numbered.files())
    folder.publish(numbered)
    folder.sweep(before, numbered)
    return Index(folder, numbered, checked)


class _Step:
    """One look at the tables."""

    def __init__(self, dataset: Dataset, before: Index, watch: Watch) -> None:
        self._dataset = dataset
        self._catalog = dataset.catalog
        self._before = before
        self._old = before.manifest
        self._watch = watch
        self._seen = dict(self._old.seen)
        self._gone = self._old.absent is not None
        self._new_ids: Any = pa.array([], pa.string())

    def appended(self) -> Manifest:
        """The manifest with what came since; the same if nothing did."""
        self._watch("reading tables")
        sources = self._sources()
        clips = self._clips(sources)
        self._new_ids = clips["clip_id"].combine_chunks()
        sides, is_late = self._sides()
        made = self._old
        if is_late:
            made = self._afresh(made, clips, sources)
        elif len(clips):
            made = self._further(made, clips, sources, sides)
        made = self._judged(self._told_absent(made), is_late)
        for name in self._catalog.names("embeddings"):
            self._watch(f"indexing {name}")
            made = self._with_vectors(made, name)
        return dataclasses.replace(made, seen=self._seen)

    def _sources(self) -> pa.Table:
        """What is needed of the scanned sources, each once."""
        names = ["source_id", "uri", "width", "height", "fps", "extra"]
        scanned = pc.field("outcome") == "scanned"
        fresh = Fresh.of(self._catalog, "sources", Source, self._old.seen.get("sources"))
        rows = fresh.whole().select(names, scanned)
        self._gone |= fresh.gone
        self._seen["sources"] = Seen(tuple(sorted([*fresh.done, *fresh.files])))
        if pc.count_distinct(rows["source_id"]).as_py() == len(rows):
            return rows
        rows = rows.sort_by("uri")
        first = pc.index_in(pc.unique(rows["source_id"]), rows["source_id"])
        return rows.take(first)

    def _clips(self, sources: pa.Table) -> pa.Table:
        """Announced clips without a row, those of one source together."""
        fresh = Fresh.of(self._catalog, "clips", Clip, self._old.seen.get("clips"))
        self._gone |= fresh.gone
        rows = fresh.read()
        announced = pc.is_in(rows["source_id"], sources["source_id"])
        strangers = rows.filter(pc.invert(announced))["clip_id"].combine_chunks()
        self._seen["clips"] = fresh.seen(strangers)
        rows = rows.filter(announced)
        if self._old.rows and (fresh.gone or fresh.again):
            known = pc.is_in(rows["clip_id"], self._before.facts["clip_id"])
            rows = rows.filter(pc.invert(known))
        return rows.sort_by([("source_id", "ascending"), ("start_frame", "ascending")])

    def _told_absent(self, made: Manifest) -> Manifest:
        """With the rows of clips that are gone; a clip that came back is there again."""
        if not self._gone or not made.rows:
            return made
        index = Index(self._before.folder, made, set(made.files()))
        rows = np.flatnonzero(~announced(self._dataset, index))
        absent = None
        if len(rows):
            absent = self._before.folder.write(".absent", rows.tofile)
        return dataclasses.replace(made, absent=absent)

    def _sides(self) -> tuple[Sides, bool]:
        """New rows of scores, captions and labels, and whether any is of a clip that has a row."""
        score_rows, captions, said, is_late = [], {}, {}, False
        for score in SCORES.values():
            rows, late = self._side(scores.table_name(score), score.record)
            score_rows.append(rows)
            is_late |= late
        for name in _caption_tables(self._dataset):
            companion = name.replace("captions/", "captioned/", 1)
            is_told = self._catalog.open(companion) is not None
            teller, record = (companion, CaptionedClip) if is_told else (name, Caption)
            told, late = self._side(teller, record)
            is_late |= late
            if len(told):
                captions[name] = self._dataset.captions(name)
        for name in columns.tables(self._dataset):
            said[name], late = self._side(name, ClipLabel)
            is_late |= late
        return Sides(score_rows, captions, said), is_late

    def _side(self, name: str, record: type) -> tuple[pa.Table, bool]:
        fresh = Fresh.of(self._catalog, name, record, self._old.seen.get(name))
        new, again = fresh.parts()
        strangers, late = self._strangers(new)
        waiting, _ = self._strangers(again)  # of clips with a row, these were taken before
        self._seen[name] = fresh.seen(pa.concat_arrays([strangers, waiting]))
        return pa.concat_tables([new, again]), late or (fresh.gone and bool(self._old.rows))

    def _strangers(self, rows: pa.Table) -> tuple[pa.Array, bool]:
        """Ids of clips that have no row, and whether there are any that had one before."""
        ids = rows["clip_id"]
        ids = ids.filter(pc.invert(pc.is_in(ids, self._new_ids))).combine_chunks()
        known = pa.array(self._before.rows(ids) >= 0, pa.bool_())
        return ids.filter(pc.invert(known)), bool(pc.any(known, min_count=0).as_py())

    def _further(
        self, made: Manifest, clips: pa.Table, sources: pa.Table, sides: Sides
    ) -> Manifest:
        """With facts and words of new clips."""
        folder = self._before.folder
        table = metadata.joined(clips, made.rows, sources, sides)
        segment = metadata.segment(folder, table)
        words, texts = made.words, metadata.texts(table, sides.captions, sources)
        if texts:
            words = written(folder, words, texts, f"words-{secrets.token_hex(4)}")
        return dataclasses.replace(made, clips=(*made.clips, segment), words=words)

    def _afresh(self, made: Manifest, clips: pa.Table, sources: pa.Table) -> Manifest:
        """With facts and words of all clips, each in its row."""
        self._watch("writing facts and words anew")
        names = Clip.__dataclass_fields__
        old = self._before.facts.select(list(names)) if made.rows else clips.slice(0, 0)
        clips = pa.concat_tables([old, clips.select(list(names))])
        sides = self._all_sides()
        table = metadata.joined(clips, 0, sources, sides)
        folder, words = self._before.folder, None
        if texts := metadata.texts(table, sides.captions, sources):
            words = written(folder, None, texts, f"words-{secrets.token_hex(4)}")
        segment = metadata.segment(folder, table)
        return dataclasses.replace(made, clips=(segment,), words=words)

    def _all_sides(self) -> Sides:
        """All rows of scores, captions and labels."""
        read, dataset = self._catalog.read, self._dataset
        return Sides(
            [read(scores.table_name(score), score.record) for score in SCORES.values()],
            {name: dataset.captions(name) for name in _caption_tables(dataset)},
            {name: read(name, ClipLabel) for name in columns.tables(dataset)},
        )

    def _judged(self, made: Manifest, is_late: bool) -> Manifest:
        """With the verdicts of the newest selection."""
        selection = self._dataset.latest_selection()
        if selection is None or not made.rows:
            return made
        known = made.verdicts is not None and made.verdicts.selection_id == selection
        if known and not is_late:
            return made
        index = Index(self._before.folder, made, set(made.files()))
        rows = self._dataset.selection(selection)
        at = pc.index_in(index.facts["clip_id"], rows["clip_id"])
        table = pa.table({name: rows[name].take(at) for name in metadata.JUDGED})
        file = metadata.write(self._before.folder, table)
        return dataclasses.replace(made, verdicts=Verdicts(selection, len(table), file))

    def _with_vectors(self, made: Manifest, name: str) -> Manifest:
        fresh = Fresh.of(self._catalog, name, Embedding, self._old.seen.get(name))
        old = made.vectors.get(name)
        if fresh.gone:
            fresh, old = fresh.whole(), None
        index = Index(self._before.folder, made, set(made.files()))
        table, strangers = vector_segments.appended(index, fresh, old, _model(self._dataset, name))
        self._seen[name] = fresh.seen(strangers)
        if table is None:
            return made
        return dataclasses.replace(made, vectors={**made.vectors, name: table})


def _caption_tables(dataset: Dataset) -> list[str]:
    """Tables of captions; what a model wrote comes before measured facts."""
    return sorted(dataset.caption_tables(), key=lambda name: name.startswith(_MEASURED))


def _model(dataset: Dataset, table: str) -> str:
    """The digest of the model that made a table; the table's name where it is not to be had."""
    from curation.embed import query_encoder, recorded_model

    try:
        return query_encoder(table, recorded_model(dataset, table)).digest
    except (ValueError, OSError, ImportError):
        return table.removeprefix("embeddings/")
