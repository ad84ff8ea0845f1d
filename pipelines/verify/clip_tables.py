"""Side tables of clips are complete: scores, embeddings, pairs, captions and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.id_match import Bools, IdMatcher, one_chunk, to_bools
from curation.lineage import RenderOrigin, profile_name
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
from curation.signals.blocks import (
    RECORDINGS,
    SAMPLES,
    ClipRecording,
    SignalBlock,
    missing_signals,
)
from pipelines.verify.invariant import CheckResult, are_unique
from tokenizer.feed.errors import BadShardError
from tokenizer.feed.shard_check import check_shard
from tokenizer.tokenize.shards import CLIP_FRAMES, TokenWindow, clip_frames

_MARKERS = ["clip_id", "windows", *(field.name for field in fields(RenderOrigin))]
_SLICE = 10_000


@dataclass(frozen=True)
class _Renders:
    """The tables of renders: what each says of its clips."""

    tables: dict[str, pa.Table]
    """By profile the clips that are rendered, and the columns of a `RenderOrigin`."""

    @classmethod
    def of(cls, catalog: Catalog) -> _Renders:
        columns = ["clip_id", "sha256", "frames", "fps"]
        rendered = pc.field("outcome") == "rendered"
        return cls({
            profile_name(name): catalog.read(name, Render, columns, rendered)
            for name in catalog.names("renders")
        })  # fmt: skip

    def origins(self, ids: pa.Array) -> dict[str, dict[str, RenderOrigin]]:
        """Those of some clips, by profile and clip."""
        origins: dict[str, dict[str, RenderOrigin]] = {}
        for profile, rows in self.tables.items():
            found = rows.filter(pc.is_in(rows["clip_id"], ids)).to_pylist()
            origins[profile] = {
                row["clip_id"]: RenderOrigin(profile, row["sha256"], row["frames"], row["fps"])
                for row in found
            }
        return origins

    def match(self, rows: pa.Table, windows: pa.Table | None = None) -> Bools:
        """Which rows of one named profile are of its renders, as are their `windows`.

        These have frames and the least and largest rate, in the order of the rows. Of the others,
        false, more has to be seen.
        """
        profiles = pc.unique(rows["render_profile"]).to_pylist()
        if len(profiles) != 1 or profiles[0] not in self.tables:
            return np.zeros(len(rows), bool)
        table = self.tables[profiles[0]]
        index = IdMatcher(rows["clip_id"]).rows(table["clip_id"])
        is_match = to_bools(pc.is_valid(index))
        actual = {name: one_chunk(table[name]).take(index) for name in ("sha256", "frames", "fps")}
        for name, column in actual.items():
            is_match &= _same(one_chunk(rows[f"render_{name}"]), column)
        if windows is not None:
            frames, slowest, fastest = (one_chunk(column) for column in windows.columns)
            rate = pc.coalesce(actual["fps"], slowest)
            is_same = _same(frames, actual["frames"]) & _same(slowest, rate)
            is_same &= _same(slowest, fastest)
            is_match &= is_same | to_bools(pc.is_null(frames))
        return is_match


def _same(one: pa.Array, other: pa.Array) -> Bools:
    """Where two columns are equal, or both null."""
    both_null = pc.and_(pc.is_null(one), pc.is_null(other))
    return to_bools(pc.or_(pc.fill_null(pc.equal(one, other), False), both_null))


def check_finished_clips(dataset: Dataset, result: CheckResult) -> None:
    """Every finished clip has all its token windows and captions, once, of the render it names."""
    catalog = dataset.catalog
    renders = _Renders.of(catalog)
    for name in catalog.names("tokenized"):
        _check_tokenized(dataset, name, renders, result)
    for name in catalog.names("captioned"):
        _check_captioned(dataset, name, renders, result)


def _check_tokenized(dataset: Dataset, name: str, renders: _Renders, result: CheckResult) -> None:
    """Expects of each clip of a table the token windows that it states."""
    catalog, table = dataset.catalog, name.replace("tokenized", "tokens", 1)
    rows = catalog.read(name, TokenizedClip, _MARKERS)
    tokens = catalog.read(table, TokenWindow, ["clip_id", "window", "fps", *CLIP_FRAMES])
    frames = clip_frames(tokens)
    tokens = tokens.select(["clip_id", "window", "fps"]).add_column(2, "frames", frames)
    _check_shards(catalog, table, result)
    sums = tokens.group_by("clip_id").aggregate([
        ("window", "count"), ("window", "min"), ("window", "max"),
        ("frames", "sum"), ("fps", "min"), ("fps", "max"),
    ])  # fmt: skip
    index = IdMatcher(rows["clip_id"]).rows(sums["clip_id"])
    sums = sums.take(index)
    count = pc.fill_null(sums["window_count"], 0)
    expected = pc.fill_null(rows["windows"], 0)
    is_done = pc.equal(count, expected)
    is_done = pc.and_(is_done, pc.equal(pc.fill_null(sums["window_min"], 0), 0))
    last = pc.subtract(pc.if_else(pc.equal(count, 0), 1, count), 1)
    is_done = pc.and_(is_done, pc.equal(pc.fill_null(sums["window_max"], 0), last))
    is_right = to_bools(is_done) & renders.match(
        rows, sums.select(["frames_sum", "fps_min", "fps_max"])
    )
    if not are_unique(tokens["clip_id"], tokens["window"]):
        is_right[:] = False
    has_windows = to_bools(pc.greater(count, 0))
    result.checked += 3 * int(is_right.sum()) + int((is_right & has_windows).sum())
    for part in _slices(rows.filter(pa.array(~is_right))):
        _check_windows(name, part, tokens, renders, result)


def _slices(rows: pa.Table) -> Iterator[pa.Table]:
    return (rows.slice(start, _SLICE) for start in range(0, len(rows), _SLICE))


def _check_windows(
    name: str, rows: pa.Table, tokens: pa.Table, renders: _Renders, result: CheckResult
) -> None:
    """The same, clip by clip, in words."""
    origins = renders.origins(one_chunk(rows["clip_id"]))
    windows_of: dict[str, list[tuple[int, int, float]]] = {}
    tokens = tokens.filter(pc.is_in(tokens["clip_id"], one_chunk(rows["clip_id"])))
    for clip, *window in zip(*(column.to_pylist() for column in tokens.columns), strict=True):
        windows_of.setdefault(clip, []).append((window[0], window[1], window[2]))
    for row in rows.to_pylist():
        subject = f"{name}: clip {row['clip_id']}"
        windows = sorted(windows_of.get(row["clip_id"], []))
        numbers = [number for number, _, _ in windows]
        complete = numbers == list(range(row["windows"] or 0))
        message = f"{subject} has token windows {numbers}, not {row['windows'] or 0}"
        result.expect(complete, message)
        num_frames = sum(frames for _, frames, _ in windows)
        contents = [(num_frames, fps) for fps in {fps for _, _, fps in windows}]
        _check_render(row, contents, origins, subject, result)


def _check_shards(catalog: Catalog, tokens: str, result: CheckResult) -> None:
    """Expects tokens that fit their shapes and the codebook; missing files are found elsewhere."""
    for path, _ in catalog.files(tokens):
        try:
            check_shard(catalog.storage, f"{tokens}/{path}")
        except BadShardError as error:
            result.expect(False, str(error))
        except FileNotFoundError:
            continue


def _check_captioned(dataset: Dataset, name: str, renders: _Renders, result: CheckResult) -> None:
    """Expects of each clip of a table as many captions as it states."""
    catalog = dataset.catalog
    rows = catalog.read(name, CaptionedClip, _MARKERS)
    captions = catalog.read(name.replace("captioned", "captions", 1), Caption, ["clip_id"])
    counts = captions.group_by("clip_id").aggregate([([], "count_all")])
    index = IdMatcher(rows["clip_id"]).rows(counts["clip_id"])
    actual = pc.fill_null(one_chunk(counts["count_all"]).take(index), 0)
    expected = pc.fill_null(one_chunk(rows["windows"]), 0)
    columns = {"clip_id": rows["clip_id"], "actual": actual, "expected": expected}
    result.expect_all(
        to_bools(pc.equal(actual, expected)), columns,
        lambda row: (
            f"{name}: clip {row['clip_id']} has {row['actual']} captions, not {row['expected']}"
        ),
    )  # fmt: skip
    rows = rows.filter(pc.is_valid(rows["render_profile"]))
    is_right = renders.match(rows)
    result.checked += 2 * int(is_right.sum())
    for part in _slices(rows.filter(pa.array(~is_right))):
        origins = renders.origins(one_chunk(part["clip_id"]))
        for row in part.to_pylist():
            _check_render(row, [], origins, f"{name}: clip {row['clip_id']}", result)


def _check_render(
    row: dict[str, Any],
    contents: list[tuple[int, float]],
    origins: dict[str, dict[str, RenderOrigin]],
    subject: str,
    result: CheckResult,
) -> None:
    """Expects the render that a row states to exist: same file, frames and rate.

    `contents` are the frames and rates of its token windows. A row that names no profile may be of
    any.
    """
    stated = RenderOrigin(*(row[field.name] for field in fields(RenderOrigin)))
    named = stated.render_profile
    profiles = origins if named is None else [named]
    candidates = [r for p in profiles if (r := origins.get(p, {}).get(row["clip_id"])) is not None]
    profile = f" as renders/{named}" if named else ""
    result.expect(bool(candidates), f"{subject} was never rendered{profile}")
    if not candidates:
        return
    actual = _describe(candidates[0])
    if named is not None:
        message = f"{subject} is of {_describe(stated)}, its render {actual}"
        result.expect(stated in candidates, message)
    for frames, fps in contents:
        result.expect(
            any(r.render_frames == frames and r.render_fps in (fps, None) for r in candidates),
            f"{subject} has tokens of {frames} frames at {fps:g} a second, its render {actual}",
        )


def _describe(render: RenderOrigin) -> str:
    rate = "" if render.render_fps is None else f" at {render.render_fps:g} a second"
    file = f" of file {render.render_sha256[:8]}" if render.render_sha256 else ""
    return f"{render.render_frames} frames{rate}{file}"


def check_side_tables(dataset: Dataset, result: CheckResult) -> None:
    """Every source is in all side tables or in none."""
    catalog = dataset.catalog
    clips = IdMatcher(dataset.clip_columns([])["clip_id"])
    side_tables = {table_name(score): score.record for score in SCORES.values()}
    side_tables |= {EMBEDDINGS: Embedding, SIGNATURES: Signature, THUMBNAILS: Thumbnail}
    for name, record in side_tables.items():
        if catalog.open(name) is not None:
            _check_side_table(dataset, name, record, clips, result)
    if catalog.open(RECORDINGS) is not None:
        _check_signals(dataset, result)
    for name in catalog.names("captions"):
        rows = dataset.side_table(name, Caption, ["source_id", "clip_id", "window"])
        result.expect_unique(f"{name}: clip", rows["clip_id"], rows["window"])
    for name in catalog.names("neighbours"):
        pairs = catalog.read(name, Neighbour, ["clip_id", "neighbour_id"])
        result.expect_unique(f"{name}: pair", *pairs.columns)


def _check_signals(dataset: Dataset, result: CheckResult) -> None:
    """Expects a row of a recorded clip, and of every signal that it names blocks without a gap."""
    clips = dataset.side_table(RECORDINGS, ClipRecording, ["source_id", "clip_id", "signals"])
    result.expect_unique(f"{RECORDINGS}: clip", clips["clip_id"])
    columns = ["source_id", "clip_id", "signal", "block"]
    blocks = dataset.side_table(SAMPLES, SignalBlock, columns)
    result.expect_unique(f"{SAMPLES}: block", *(blocks[name] for name in columns[1:]))
    result.checked += len(clips)
    for row in missing_signals(clips, blocks).to_pylist():
        result.expect(
            False,
            f"{SAMPLES} lacks {row['signal']} of clip {row['clip_id']}, or a part; run"
            " `reelmill scan` again",
        )


def _check_side_table(
    dataset: Dataset, name: str, record: type, clips: IdMatcher, result: CheckResult
) -> None:
    """Expects a row of each clip, or of thumbnails at most one, and none of others."""
    ids = dataset.catalog.read(name, record, ["clip_id"])["clip_id"]
    rows = clips.rows(ids)
    if len(clips.ids) - rows.null_count == len(ids):  # each is another clip's
        result.checked += len(ids)
    else:
        ids = dataset.side_table(name, record, ["clip_id", "source_id"])["clip_id"]
        result.expect_unique(f"{name}: clip", ids)
        is_extra = pc.is_null(pc.index_in(ids, one_chunk(clips.ids)))
        for clip in sorted(set(ids.filter(is_extra).to_pylist())):
            result.expect(False, f"{name} has clip {clip}, which is not among the clips")
    if name != THUMBNAILS:
        for clip in clips.ids.filter(pc.is_null(rows)).to_pylist():
            result.expect(False, f"{name} lacks clip {clip}; run `reelmill scan` again")
