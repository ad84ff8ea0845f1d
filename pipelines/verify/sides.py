"""What hangs on clips is there wholly: scores, embeddings, pairs, captions and tokens."""

from __future__ import annotations

from collections import Counter

import pyarrow.compute as pc

from curation import records
from curation.dataset import Dataset
from curation.records import (
    Caption,
    CaptionedClip,
    Embedding,
    Neighbour,
    Render,
    Signature,
    Thumbnail,
)
from curation.scan.watcher import EMBEDDINGS, SIGNATURES, THUMBNAILS
from curation.scores import SCORES, table_name
from pipelines.verify.outcomes import reasoned, recorded
from pipelines.verify.promise import Promise
from tokenizer.shards import TokenWindow
from tokenizer.tokenize import TokenizedClip


def finished(dataset: Dataset, promise: Promise) -> None:
    """Every finished clip has all its token windows and captions, once."""
    catalog = dataset.catalog
    rendered: set[str] = set()
    for name in catalog.names("renders"):
        where = pc.field("outcome") == "rendered"
        rendered.update(catalog.read(name, Render, ["clip_id"], where)["clip_id"].to_pylist())
    for name in catalog.names("tokenized"):
        rows = records.records(TokenizedClip, catalog.read(name, TokenizedClip))
        recorded(dataset, name, len(rows), promise)
        promise.once([row.clip_id for row in rows], f"{name}: clip")
        tokens = catalog.read(
            name.replace("tokenized", "tokens"), TokenWindow, ["clip_id", "window"]
        )
        found: dict[str, list[int]] = {}
        for clip, window in zip(*(column.to_pylist() for column in tokens.columns), strict=True):
            found.setdefault(clip, []).append(window)
        for row in rows:
            what = f"{name}: clip {row.clip_id}"
            reasoned(row, "tokenized", what, promise)
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
        reasoned(clip, "captioned", what, promise)
        good = found[clip.clip_id] == (clip.windows or 0)
        words = f"{what} has {found[clip.clip_id]} captions, not {clip.windows or 0}"
        promise.expect(good, words)


def whole(dataset: Dataset, promise: Promise) -> None:
    """Every source is in all side tables or in none."""
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
