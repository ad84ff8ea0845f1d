"""Checks the promises of an output from storage alone: no source video, no configuration needed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.policy import FILTER_REASONS
from curation.reasons import INPUT_REASONS
from curation.records import Clip, Embedding, Render, Source, Thumbnail, Verdict
from curation.scan import EMBEDDINGS, THUMBNAILS, clip_name
from curation.scores import SCORES, table_name
from tokenizer.shards import TokenWindow
from tokenizer.tokenize import TokenizedClip

_MOST_SHOWN = 20


@dataclass
class Promise:
    """One promise and what was found."""

    words: str
    checked: int = 0
    """How many things were looked at."""
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing broke it."""
        return not self.broken

    def expect(self, good: bool, words: str) -> None:
        """Counts one thing, and keeps the words if it is not as it should be."""
        self.checked += 1
        if not good:
            self.broken.append(words)


def verify(dataset: Dataset, watch: Callable[[str], None] = lambda _: None) -> list[Promise]:
    """Checks all six promises; `watch` is told which one is being looked at."""
    promises = []
    for words, check in _CHECKS.items():
        watch(words)
        promise = Promise(words)
        check(dataset, promise)
        promises.append(promise)
    return promises


def _inputs(dataset: Dataset, promise: Promise) -> None:
    sources = records.records(Source, dataset.sources())
    listed = Counter((s.uri, s.size_bytes, s.modified) for s in sources)
    for source in sources:
        promise.expect(
            listed[source.uri, source.size_bytes, source.modified] == 1,
            f"{source.uri} has more than one outcome",
        )
        good = source.outcome == "scanned" or source.reason in INPUT_REASONS
        promise.expect(good, f"{source.uri}: {source.outcome} for no reason of the list")


def _accounts(dataset: Dataset, promise: Promise) -> None:
    sources = records.records(Source, dataset.sources())
    clips = _by_source(dataset)
    for source in sources:
        if source.outcome == "scanned":
            ids = "".join(clip.clip_id for clip in clips.get(source.source_id or "", []))
            same = hashlib.sha256(ids.encode()).hexdigest() == source.clips_digest
            promise.expect(same, f"{source.uri}: its clips are not those that were found")
    known = {clip.clip_id for listed in clips.values() for clip in listed}
    selection_id = dataset.latest_selection()
    if selection_id is not None:
        _selection(dataset.selection(selection_id), known, promise)
    for name in dataset.catalog.names("renders"):
        kept = set(dataset.catalog.values("selection", Verdict, "clip_id"))
        rendered = dataset.catalog.read(name, Render, ["clip_id"])["clip_id"].to_pylist()
        _once(rendered, f"{name}: clip", promise)
        promise.expect(kept.issuperset(rendered), f"{name} has clips of no selection")


def _selection(rows: pa.Table, known: set[str], promise: Promise) -> None:
    verdicts = records.records(Verdict, rows)
    kept = {v.clip_id for v in verdicts if v.verdict == "kept"}
    _once([v.clip_id for v in verdicts], "selection: clip", promise)
    for verdict in verdicts:
        good = {
            "kept": True,
            "filtered": verdict.reason in FILTER_REASONS,
            "duplicate": verdict.duplicate_of in kept,
        }.get(verdict.verdict, False)
        promise.expect(good, f"selection: {verdict.clip_id} {verdict.verdict} {verdict.reason}")
    missing = known - {v.clip_id for v in verdicts}
    words = f"{len(missing)} clips came after the newest selection; run `reelmill select`"
    promise.expect(not missing or len(missing) == len(known), words)


def _files(dataset: Dataset, promise: Promise) -> None:
    storage = dataset.catalog.storage
    for name in dataset.catalog.names("renders"):
        for render in records.records(Render, dataset.catalog.read(name, Render)):
            if render.path is None:
                continue
            size = storage.size(render.path)
            if size != render.size_bytes:
                promise.expect(False, f"{render.path}: {size} bytes, not {render.size_bytes}")
            else:
                good = storage.sha256(render.path) == render.sha256
                promise.expect(good, f"{render.path}: its bytes changed")
    for name in dataset.catalog.names("tokens"):
        table = dataset.catalog.open(name)
        actions = pa.table(table.get_add_actions(flatten=True)) if table is not None else None
        for path, size in _paths(actions):
            whole = f"{name}/{path}"
            promise.expect(storage.size(whole) == size, f"{whole}: missing or of another size")
            if promise.holds and len(path) == len("0" * 32 + ".parquet"):
                good = storage.sha256(whole).startswith(path.split(".")[0])
                promise.expect(good, f"{whole}: its bytes changed")


def _paths(actions: pa.Table | None) -> Iterable[tuple[str, int]]:
    if actions is None:
        return []
    return list(
        zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True)
    )


def _identities(dataset: Dataset, promise: Promise) -> None:
    streams = {
        source.source_id: source.stream_index
        for source in records.records(Source, dataset.sources())
        if source.outcome == "scanned"
    }
    for source_id, clips in _by_source(dataset).items():
        for clip in clips:
            name = clip_name(clip, streams[source_id] or 0)
            promise.expect(clip.clip_id == name, f"clip {clip.clip_id} is not what it is called")


def _finished(dataset: Dataset, promise: Promise) -> None:
    catalog = dataset.catalog
    for name in catalog.names("tokenized"):
        rows = records.records(TokenizedClip, catalog.read(name, TokenizedClip))
        _once([row.clip_id for row in rows], f"{name}: clip", promise)
        tokens = catalog.read(name.replace("tokenized", "tokens"), TokenWindow, ["clip_id"])
        windows = Counter(tokens["clip_id"].to_pylist())
        for row in rows:
            good = windows[row.clip_id] == (row.windows or 0)
            words = f"{windows[row.clip_id]} token windows, not {row.windows}"
            promise.expect(good, f"{name}: clip {row.clip_id} has {words}")


def _whole(dataset: Dataset, promise: Promise) -> None:
    catalog = dataset.catalog
    clips = set(dataset.all_clips()["clip_id"].to_pylist())
    sides = {table_name(s): s.record for s in SCORES.values()}
    for name, record in {**sides, EMBEDDINGS: Embedding, THUMBNAILS: Thumbnail}.items():
        if catalog.open(name) is None:
            continue
        found = catalog.read(name, record, ["clip_id"])["clip_id"].to_pylist()
        _once([clip for clip in found if clip in clips], f"{name}: clip", promise)
        if name != THUMBNAILS:
            for clip in clips - set(found):
                promise.expect(False, f"{name} lacks clip {clip}")


def _once(values: Iterable[str], what: str, promise: Promise) -> None:
    for value, count in Counter(values).items():
        promise.expect(count == 1, f"{what} {value} is there {count} times")


def _by_source(dataset: Dataset) -> dict[str, list[Clip]]:
    rows = dataset.all_clips().sort_by([("source_id", "ascending"), ("start_frame", "ascending")])
    clips: dict[str, list[Clip]] = {}
    for clip in records.records(Clip, rows):
        clips.setdefault(clip.source_id, []).append(clip)
    return clips


_CHECKS: dict[str, Callable[[Dataset, Promise], None]] = {
    "Every listed input has exactly one outcome": _inputs,
    "Every clip is accounted for: kept, filtered, duplicate or failed": _accounts,
    "Every file exists with its recorded size and digest": _files,
    "Every clip is named by its content, so a rerun finds the same": _identities,
    "Every finished clip has all its token windows, once": _finished,
    "Every source is there wholly or not at all": _whole,
}
