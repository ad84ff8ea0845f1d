"""Checks the promises of an output from storage alone: no source video, no configuration needed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from curation import records, subset
from curation.catalog import Catalog
from curation.dataset import VERDICTS, Dataset
from curation.policy import FILTER_REASONS
from curation.reasons import DUPLICATE_REASONS, INPUT_REASONS, EnvironmentFaultError
from curation.records import (
    Caption,
    CaptionedClip,
    Clip,
    Embedding,
    Neighbour,
    Render,
    Run,
    Signature,
    Source,
    Subset,
    Thumbnail,
    Verdict,
)
from curation.scan import clip_name
from curation.scores import SCORES, table_name
from curation.select import funnel
from curation.watcher import EMBEDDINGS, SIGNATURES, THUMBNAILS
from pipelines.drive import AWAY
from tokenizer.shards import TokenWindow
from tokenizer.tokenize import TokenizedClip

_TABLES = ("sources", "clips", "signatures", "thumbnails", "selection", "runs")
_GROUPS = ("scores", "embeddings", "labels", "captions", "captioned", "neighbours", "renders",
           "tokens", "tokenized")  # fmt: skip
_NO_ROWS = (AWAY, "filled", "not_filled")
"""Counts of what has no outcome yet, and of sources that had theirs before."""
_DIGEST_NAME = len("0" * 32 + ".parquet")


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

    def once(self, values: Iterable[object], what: str) -> None:
        """Expects each value once."""
        for value, count in Counter(values).items():
            self.expect(count == 1, f"{what} {value} is there {count} times")


def verify(dataset: Dataset, watch: Callable[[str], None] = lambda _: None) -> list[Promise]:
    """Checks all promises; `watch` is told which one is being looked at.

    A table that cannot be read breaks the promises that rest on it; `EnvironmentFaultError` is
    raised only where the storage itself does not answer.
    """
    promises = []
    for words, check in _CHECKS.items():
        watch(words)
        promise = Promise(words)
        try:
            check(dataset, promise)
        except EnvironmentFaultError as error:
            dataset.catalog.storage.size("")
            promise.expect(False, f"cannot be read: {error}")
        promises.append(promise)
    return promises


def _inputs(dataset: Dataset, promise: Promise) -> None:
    sources = records.records(Source, dataset.sources())
    promise.once([(s.uri, s.size_bytes, s.modified) for s in sources], "the outcome of")
    for source in sources:
        _reasoned(source, "scanned", source.uri, promise)
    _recorded(dataset, "sources", len(sources), promise)
    promise.once([row.run_id for row in records.records(Run, dataset.runs())], "run")


def _reasoned(
    row: Source | Render | CaptionedClip | TokenizedClip, good: str, what: str, promise: Promise
) -> None:
    """Expects the good outcome, or a failure for a reason of the list."""
    failed = row.outcome == "failed" and row.reason in INPUT_REASONS
    fine = failed or (row.outcome == good and row.reason is None)
    promise.expect(fine, f"{what}: {row.outcome} for {row.reason}, which is no known reason")


def _recorded(dataset: Dataset, table: str, rows: int, promise: Promise) -> None:
    """Expects at least the rows that runs told of; one killed before it told adds more.

    Failures that got another chance are no longer there.
    """
    told = 0
    for run in records.records(Run, dataset.runs()):
        if run.result == table:
            counts = json.loads(run.counts)
            rows_told = sum(n for what, n in counts.items() if what not in _NO_ROWS)
            told += -rows_told if run.step == "retry" else rows_told
    promise.expect(rows >= told, f"{table}: runs committed {told} rows, {rows} are there")


def _accounts(dataset: Dataset, promise: Promise) -> None:
    clips = _by_source(dataset)
    for source in records.records(Source, dataset.sources()):
        if source.outcome == "scanned":
            ids = "".join(clip.clip_id for clip in clips.get(source.source_id or "", []))
            same = hashlib.sha256(ids.encode()).hexdigest() == source.clips_digest
            promise.expect(same, f"{source.uri}: its clips are not those that were found")
    known = {source: {clip.clip_id for clip in listed} for source, listed in clips.items()}
    kept = _selections(dataset, known, promise) | _subsets(dataset, known, promise)
    for name in dataset.catalog.names("renders"):
        rows = records.records(Render, dataset.catalog.read(name, Render))
        _recorded(dataset, name, len(rows), promise)
        promise.once([row.clip_id for row in rows], f"{name}: clip")
        for row in rows:
            _reasoned(row, "rendered", f"{name}: clip {row.clip_id}", promise)
            promise.expect(row.clip_id in kept, f"{name}: clip {row.clip_id} was never kept")


def _selections(dataset: Dataset, known: dict[str, set[str]], promise: Promise) -> set[str]:
    """Checks every selection; returns the clips that any of them keeps."""
    rows = dataset.catalog.read("selection", Verdict)
    runs = records.records(Run, dataset.runs())
    told = {run.result: json.loads(run.counts) for run in runs if run.step == "select"}
    kept: set[str] = set()
    for name in sorted({*told, *rows["selection_id"].to_pylist()}):
        own = rows.filter(pc.field("selection_id") == name)
        found = dict(funnel(own))
        words = f"selection {name}: {found} is not the {told.get(name)} that was found"
        promise.expect(found == told.get(name, found), words)
        verdicts = records.records(Verdict, own)
        kept |= _selection(verdicts, known, f"selection {name}", promise)
    return kept


def _subsets(dataset: Dataset, known: dict[str, set[str]], promise: Promise) -> set[str]:
    """Checks every subset that was exported; returns their clips."""
    rows = records.records(Subset, dataset.catalog.read(subset.TABLE, Subset))
    for row in rows:
        words = f"subset {row.subset_id}: clip {row.clip_id} is not among the clips"
        promise.expect(row.clip_id in known.get(row.source_id, set()), words)
    return {row.clip_id for row in rows}


def _selection(
    verdicts: list[Verdict], known: dict[str, set[str]], name: str, promise: Promise
) -> set[str]:
    kept = {v.clip_id for v in verdicts if v.verdict == VERDICTS[0]}
    promise.once([v.clip_id for v in verdicts], f"{name}: clip")
    for verdict in verdicts:
        good = {
            "kept": True,
            "filtered": verdict.reason in FILTER_REASONS,
            "duplicate": verdict.duplicate_of in kept and verdict.reason in DUPLICATE_REASONS,
        }.get(verdict.verdict, False)
        words = f"{verdict.verdict} {verdict.reason or ''} {verdict.duplicate_of or ''}".strip()
        promise.expect(good, f"{name}: clip {verdict.clip_id} is {words}")
    judged: dict[str, set[str]] = {}
    for verdict in verdicts:
        judged.setdefault(verdict.source_id, set()).add(verdict.clip_id)
    for source, clips in judged.items():
        there = known.get(source, set())
        for clip in sorted(there - clips):
            promise.expect(False, f"{name}: clip {clip} has no verdict")
        for clip in sorted(clips - there):
            promise.expect(False, f"{name}: clip {clip} is not among the clips")
    return kept


def _files(dataset: Dataset, promise: Promise) -> None:
    catalog = dataset.catalog
    for name in _all_tables(catalog):
        for path, size in _table_files(catalog, name):
            _file(dataset, f"{name}/{path}", size, promise)
    for name in catalog.names("renders"):
        for render in records.records(Render, catalog.read(name, Render)):
            if render.path is not None:
                _file(dataset, render.path, render.size_bytes, promise, render.sha256)
            elif render.outcome == "rendered":
                words = f"{name}: clip {render.clip_id} has no file"
                promise.expect(render.mode == "span", words)


def _file(
    dataset: Dataset, path: str, size: int | None, promise: Promise, sha256: str | None = None
) -> None:
    """Expects a file of this size and digest; shards carry the digest in their names."""
    storage = dataset.catalog.storage
    found = storage.size(path)
    if found != size:
        words = "is missing" if found is None else f"has {found} bytes, not {size}"
        promise.expect(False, f"{path} {words}")
        return
    name = path.rsplit("/", 1)[1]
    if sha256 is None and len(name) == _DIGEST_NAME:
        sha256 = name.split(".")[0]
    same = sha256 is None or storage.sha256(path).startswith(sha256)
    promise.expect(same, f"{path}: its bytes changed")


def _all_tables(catalog: Catalog) -> list[str]:
    single = [name for name in _TABLES if catalog.open(name) is not None]
    return single + [name for group in _GROUPS for name in catalog.names(group)]


def _table_files(catalog: Catalog, name: str) -> Iterator[tuple[str, int]]:
    table = catalog.open(name)
    if table is not None:
        actions = pa.table(table.get_add_actions(flatten=True))
        columns = (actions["path"].to_pylist(), actions["size_bytes"].to_pylist())
        yield from zip(*columns, strict=True)


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
    rendered: set[str] = set()
    for name in catalog.names("renders"):
        where = pc.field("outcome") == "rendered"
        rendered.update(catalog.read(name, Render, ["clip_id"], where)["clip_id"].to_pylist())
    for name in catalog.names("tokenized"):
        rows = records.records(TokenizedClip, catalog.read(name, TokenizedClip))
        _recorded(dataset, name, len(rows), promise)
        promise.once([row.clip_id for row in rows], f"{name}: clip")
        tokens = catalog.read(
            name.replace("tokenized", "tokens"), TokenWindow, ["clip_id", "window"]
        )
        found: dict[str, list[int]] = {}
        for clip, window in zip(*(column.to_pylist() for column in tokens.columns), strict=True):
            found.setdefault(clip, []).append(window)
        for row in rows:
            what = f"{name}: clip {row.clip_id}"
            _reasoned(row, "tokenized", what, promise)
            promise.expect(row.clip_id in rendered, f"{what} was never rendered")
            windows = sorted(found.get(row.clip_id, []))
            good = windows == list(range(row.windows or 0))
            promise.expect(good, f"{what} has token windows {windows}, not {row.windows or 0}")
    for name in catalog.names("captioned"):
        _described(dataset, name, promise)


def _described(dataset: Dataset, name: str, promise: Promise) -> None:
    """Expects each clip of a table once, with as many captions as it says."""
    catalog = dataset.catalog
    clips = records.records(CaptionedClip, catalog.read(name, CaptionedClip))
    promise.once([clip.clip_id for clip in clips], f"{name}: clip")
    rows = catalog.read(name.replace("captioned", "captions", 1), Caption, ["clip_id"])
    found = Counter(rows["clip_id"].to_pylist())
    for clip in clips:
        what = f"{name}: clip {clip.clip_id}"
        _reasoned(clip, "captioned", what, promise)
        good = found[clip.clip_id] == (clip.windows or 0)
        words = f"{what} has {found[clip.clip_id]} captions, not {clip.windows or 0}"
        promise.expect(good, words)


def _whole(dataset: Dataset, promise: Promise) -> None:
    catalog = dataset.catalog
    clips = set(dataset.all_clips()["clip_id"].to_pylist())
    sides = {table_name(s): s.record for s in SCORES.values()}
    sides |= {EMBEDDINGS: Embedding, SIGNATURES: Signature, THUMBNAILS: Thumbnail}
    for name, record in sides.items():
        if catalog.open(name) is None:
            continue
        found = dataset.side(name, record)["clip_id"].to_pylist()
        promise.once(found, f"{name}: clip")
        for clip in sorted(set(found) - clips):
            promise.expect(False, f"{name} has clip {clip}, which is not among the clips")
        if name != THUMBNAILS:
            for clip in sorted(clips - set(found)):
                promise.expect(False, f"{name} lacks clip {clip}; run `reelmill scan` again")
    for name in catalog.names("captions"):
        rows = dataset.side(name, Caption).select(["clip_id", "window"])
        promise.once(zip(*(c.to_pylist() for c in rows.columns), strict=True), f"{name}: clip")
    for name in catalog.names("neighbours"):
        pairs = catalog.read(name, Neighbour, ["clip_id", "neighbour_id"])
        columns = [column.to_pylist() for column in pairs.columns]
        promise.once(zip(*columns, strict=True), f"{name}: pair")


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
    "Every finished clip has all its token windows and captions, once": _finished,
    "Every source is there wholly or not at all": _whole,
}
