"""Side tables of clips are complete: scores, embeddings, pairs, captions and tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.lineage import RenderOrigin, profile_name
from curation.records import (
    Caption,
    CaptionedClip,
    DerivedOutcome,
    Embedding,
    Neighbour,
    Render,
    Signature,
    Thumbnail,
    TokenizedClip,
)
from curation.scan.collector import EMBEDDINGS, SIGNATURES, THUMBNAILS
from curation.scores import SCORES, table_name
from pipelines.verify.invariant import CheckResult
from tokenizer.feed.errors import BadShardError
from tokenizer.feed.shard_check import check_shard
from tokenizer.tokenize.shards import TokenWindow

_Renders = dict[str, dict[str, RenderOrigin]]
"""By profile and clip."""


def check_finished_clips(dataset: Dataset, result: CheckResult) -> None:
    """Every finished clip has all its token windows and captions, once, of the render it names."""
    catalog = dataset.catalog
    renders: _Renders = {}
    for name in catalog.names("renders"):
        rows = records.from_table(Render, catalog.read(name, Render))
        renders[profile_name(name)] = {
            row.clip_id: RenderOrigin.of(name, row) for row in rows if row.outcome == "rendered"
        }
    for name in catalog.names("tokenized"):
        _check_tokenized(dataset, name, renders, result)
    for name in catalog.names("captioned"):
        _check_captioned(dataset, name, renders, result)


def _check_tokenized(dataset: Dataset, name: str, renders: _Renders, result: CheckResult) -> None:
    """Expects of each clip of a table the token windows that it states."""
    catalog = dataset.catalog
    rows = records.from_table(TokenizedClip, catalog.read(name, TokenizedClip))
    columns = ["clip_id", "window", "frames", "fps"]
    tokens = catalog.read(name.replace("tokenized", "tokens", 1), TokenWindow, columns)
    windows_of: dict[str, list[tuple[int, int, float]]] = {}
    for clip, *window in zip(*(column.to_pylist() for column in tokens.columns), strict=True):
        windows_of.setdefault(clip, []).append(tuple(window))
    _check_shards(catalog, name.replace("tokenized", "tokens", 1), result)
    for row in rows:
        subject = f"{name}: clip {row.clip_id}"
        windows = sorted(windows_of.get(row.clip_id, []))
        numbers = [number for number, _, _ in windows]
        complete = numbers == list(range(row.windows or 0))
        message = f"{subject} has token windows {numbers}, not {row.windows or 0}"
        result.expect(complete, message)
        num_frames = sum(frames for _, frames, _ in windows)
        contents = [(num_frames, fps) for fps in {fps for _, _, fps in windows}]
        _check_render(row, contents, renders, subject, result)


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
    rows = records.from_table(CaptionedClip, catalog.read(name, CaptionedClip))
    captions = catalog.read(name.replace("captioned", "captions", 1), Caption, ["clip_id"])
    num_captions = Counter(captions["clip_id"].to_pylist())
    for row in rows:
        subject = f"{name}: clip {row.clip_id}"
        actual, expected = num_captions[row.clip_id], row.windows or 0
        result.expect(actual == expected, f"{subject} has {actual} captions, not {expected}")
        if row.render_profile is not None:
            _check_render(row, [], renders, subject, result)


def _check_render(
    row: DerivedOutcome,
    contents: list[tuple[int, float]],
    renders: _Renders,
    subject: str,
    result: CheckResult,
) -> None:
    """Expects the render that a row states to exist: same file, frames and rate.

    `contents` are the frames and rates of its token windows. A row that names no profile may be of
    any.
    """
    profiles = renders if row.render_profile is None else [row.render_profile]
    candidates = [r for p in profiles if (r := renders.get(p, {}).get(row.clip_id)) is not None]
    profile = f" as renders/{row.render_profile}" if row.render_profile else ""
    result.expect(bool(candidates), f"{subject} was never rendered{profile}")
    if not candidates:
        return
    actual = _describe(candidates[0])
    stated = RenderOrigin(*(getattr(row, field.name) for field in fields(RenderOrigin)))
    if stated.render_profile is not None:
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
    clips = set(dataset.all_clips()["clip_id"].to_pylist())
    side_tables = {table_name(score): score.record for score in SCORES.values()}
    side_tables |= {EMBEDDINGS: Embedding, SIGNATURES: Signature, THUMBNAILS: Thumbnail}
    for name, record in side_tables.items():
        if catalog.open(name) is None:
            continue
        ids = dataset.side_table(name, record)["clip_id"].to_pylist()
        result.expect_unique(ids, f"{name}: clip")
        for clip in sorted(set(ids) - clips):
            result.expect(False, f"{name} has clip {clip}, which is not among the clips")
        if name != THUMBNAILS:
            for clip in sorted(clips - set(ids)):
                result.expect(False, f"{name} lacks clip {clip}; run `reelmill scan` again")
    for name in catalog.names("captions"):
        rows = dataset.side_table(name, Caption).select(["clip_id", "window"])
        keys = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        result.expect_unique(keys, f"{name}: clip")
    for name in catalog.names("neighbours"):
        pairs = catalog.read(name, Neighbour, ["clip_id", "neighbour_id"])
        keys = zip(*(column.to_pylist() for column in pairs.columns), strict=True)
        result.expect_unique(keys, f"{name}: pair")
