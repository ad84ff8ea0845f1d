"""What hangs on clips is there wholly: scores, embeddings, pairs, captions and tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.lineage import MadeFrom, profile_of
from curation.records import (
    Caption,
    CaptionedClip,
    Embedding,
    Neighbour,
    Render,
    Signature,
    Thumbnail,
    TokenizedClip,
)
from curation.scan.collector import EMBEDDINGS, SIGNATURES, THUMBNAILS
from curation.scores import SCORES, table_name
from pipelines.verify.invariant import Promise
from pipelines.verify.outcomes import reasoned, recorded
from tokenizer.tokenize.shards import TokenWindow


def finished(dataset: Dataset, promise: Promise) -> None:
    """Every finished clip has all its token windows and captions, once, of the render it names."""
    catalog = dataset.catalog
    renders = _rendered(catalog)
    for name in catalog.names("tokenized"):
        _tokenized(dataset, name, renders, promise)
    for name in catalog.names("captioned"):
        _described(dataset, name, renders, promise)


def _rendered(catalog: Catalog) -> dict[str, dict[str, MadeFrom]]:
    """Renders by profile and clip."""
    found = {}
    for name in catalog.names("renders"):
        rows = records.records(Render, catalog.read(name, Render))
        done = {r.clip_id: MadeFrom.of(name, r) for r in rows if r.outcome == "rendered"}
        found[profile_of(name)] = done
    return found


def _tokenized(
    dataset: Dataset, name: str, renders: dict[str, dict[str, MadeFrom]], promise: Promise
) -> None:
    catalog = dataset.catalog
    rows = records.records(TokenizedClip, catalog.read(name, TokenizedClip))
    recorded(dataset, name, len(rows), promise)
    promise.once([row.clip_id for row in rows], f"{name}: clip")
    columns = ["clip_id", "window", "frames", "fps"]
    tokens = catalog.read(name.replace("tokenized", "tokens", 1), TokenWindow, columns)
    found: dict[str, list[tuple[int, int, float]]] = {}
    for clip, *window in zip(*(column.to_pylist() for column in tokens.columns), strict=True):
        found.setdefault(clip, []).append(tuple(window))
    for row in rows:
        what = f"{name}: clip {row.clip_id}"
        reasoned(row, "tokenized", what, promise)
        own = sorted(found.get(row.clip_id, []))
        windows = [window for window, _, _ in own]
        good = windows == list(range(row.windows or 0))
        promise.expect(good, f"{what} has token windows {windows}, not {row.windows or 0}")
        held = [(sum(frames for _, frames, _ in own), fps) for fps in {fps for _, _, fps in own}]
        _of_render(row, held, renders, what, promise)


def _described(
    dataset: Dataset, name: str, renders: dict[str, dict[str, MadeFrom]], promise: Promise
) -> None:
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
        if clip.render_profile is not None:
            _of_render(clip, [], renders, what, promise)


def _of_render(
    row: TokenizedClip | CaptionedClip,
    held: list[tuple[int, float]],
    renders: dict[str, dict[str, MadeFrom]],
    what: str,
    promise: Promise,
) -> None:
    """Expects a row to be of a render that is there: same file, frames and rate.

    `held` are the frames and rates of its token windows. A row that names no profile may be of any.
    """
    profiles = renders if row.render_profile is None else [row.render_profile]
    there = [r for p in profiles if (r := renders.get(p, {}).get(row.clip_id)) is not None]
    named = f" as renders/{row.render_profile}" if row.render_profile else ""
    promise.expect(bool(there), f"{what} was never rendered{named}")
    said = MadeFrom(*(getattr(row, field.name) for field in fields(MadeFrom)))
    if there and said.render_profile is not None:
        promise.expect(said in there, f"{what} is of {_words(said)}, its render {_words(there[0])}")
    for frames, fps in held:
        fits = any(r.render_frames == frames and r.render_fps in (fps, None) for r in there)
        words = f"{what} has tokens of {frames} frames at {fps:g} a second"
        promise.expect(fits or not there, f"{words}, its render {_words((there or [said])[0])}")


def _words(render: MadeFrom) -> str:
    rate = "" if render.render_fps is None else f" at {render.render_fps:g} a second"
    file = f" of file {render.render_sha256[:8]}" if render.render_sha256 else ""
    return f"{render.render_frames} frames{rate}{file}"


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
