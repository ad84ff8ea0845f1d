"""What render, caption and tokenize leave behind, for outputs of `synthetic.py`.

Renders are spans, which have no file. Captions are two sentences of measured facts in many
variants. Tokens are of pictures of 32×32 pixels, so that a million windows fit on a disk; one clip
in 50 has no tokens yet. Every row names its clip's render, as `verify` expects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from curation import records
from curation.caption.step import table_name
from curation.dataset import Dataset
from curation.lineage import marker_table
from curation.records import Caption, CaptionedClip, Render, TokenizedClip
from curation.run_history import RunClock, record_run
from pipelines.config import Profile
from tokenizer.models.load import load
from tokenizer.tokenize.shards import TokenWindow, shard_metadata, write_shard

_CLIPS = 2560
"""Of a commit."""
_WITHOUT_TOKENS = 50
_SIDE = 32


def _batches(dataset: Dataset) -> Iterator[pa.Table]:
    """Kept clips, some at a time."""
    columns = ["source_id", "start_frame", "end_frame", "start_s", "start_pts", "time_base",
               "width", "height", "fps"]  # fmt: skip
    clips = dataset.scored_clips("kept", columns=columns)
    return (clips.slice(start, _CLIPS) for start in range(0, len(clips), _CLIPS))


def _table(record: type, clips: pa.Table, **columns: object) -> pa.Table:
    """Rows of these clips with the same or each its value in these columns, null in others."""
    schema = records.arrow_schema(record)
    values = {name: clips[name] for name in ("clip_id", "source_id")} | columns
    arrays = []
    for field in schema:
        value = values.get(field.name)
        if value is None or isinstance(value, str | int | float | bool):
            arrays.append(pa.array([value], field.type).take(pa.array(np.zeros(len(clips), int))))
        else:
            arrays.append(pa.array(value, field.type) if isinstance(value, list) else value)
    return pa.table(arrays, schema=schema)


def write_renders(dataset: Dataset, profile: Profile) -> None:
    """A span for each kept clip; the profile's mode has to be `span`."""
    table, clock, count = f"renders/{profile.render.profile}", RunClock(), 0
    with dataset.catalog.writer("render", {table: Render}) as writer:
        for clips in _batches(dataset):
            frames = (clips["end_frame"].to_numpy() - clips["start_frame"].to_numpy()).tolist()
            rows = _table(
                Render, clips, outcome="rendered", mode="span", codec="h264", audio=False,
                width=clips["width"], height=clips["height"], fps=clips["fps"], frames=frames,
            )  # fmt: skip
            writer.append(table, rows)
            count += len(clips)
    _record(dataset, profile, "render", clock, {"rendered": count}, table)


def write_captions(dataset: Dataset, profile: Profile) -> None:
    """A caption for each kept clip."""
    renders = f"renders/{profile.render.profile}"
    captions = table_name(profile.caption, dataset.catalog, renders)
    markers, clock, count = marker_table(captions), RunClock(), 0
    rng = np.random.default_rng(6)
    places = [f"place {n}" for n in range(2000)]
    tables = {captions: Caption, markers: CaptionedClip}
    with dataset.catalog.writer("caption", tables) as writer:
        for clips in _batches(dataset):
            drawn = rng.integers(0, len(places), (len(clips), 2)).tolist()
            texts = [f"A bright clip of {places[a]}, sharp. It ends at {places[b]}."
                     for a, b in drawn]  # fmt: skip
            writer.append(captions, _table(Caption, clips, text=texts, window=0, answers="{}"))
            counts = {"windows": 1, "requests": 0, "tokens_in": 0, "tokens_out": 0}
            writer.append(markers, _table(CaptionedClip, clips, outcome="captioned", **counts))
            count += len(clips)
    _record(dataset, profile, "caption", clock, {"captioned": count}, markers)


def write_tokens(dataset: Dataset, profile: Profile) -> None:
    """Token windows of most kept clips."""
    stage = profile.tokenize
    tokenizer = load(stage.tokenizer)
    tokens = f"tokens/{stage.table(f'renders/{profile.render.profile}')}"
    markers, clock, count = marker_table(tokens), RunClock(), 0
    metadata = shard_metadata(tokenizer, stage.precision, stage.windows)
    rng = np.random.default_rng(7)
    with dataset.catalog.writer(
        "tokenize", {tokens: TokenWindow, markers: TokenizedClip}
    ) as writer:
        for clips in _batches(dataset):
            rows = [row for row in clips.to_pylist() if hash_of(row["clip_id"]) % _WITHOUT_TOKENS]
            windows = [
                window
                for row in rows
                for window in _windows(row, rng, tokenizer, profile, stage.max_frames)
            ]
            shard = write_shard(windows, dataset.catalog.storage, tokens, metadata)
            writer.add_files(tokens, [shard])
            kept = pa.Table.from_pylist(rows, clips.schema)
            frames = [row["end_frame"] - row["start_frame"] for row in rows]
            writer.append(
                markers,
                _table(
                    TokenizedClip, kept, outcome="tokenized", psnr_codes_db=24.0,
                    windows=[-(-n // stage.max_frames) for n in frames],
                    render_profile=profile.render.profile, render_frames=frames,
                    render_fps=kept["fps"],
                ),
            )  # fmt: skip
            count += len(rows)
    _record(dataset, profile, "tokenize", clock, {"tokenized": count}, markers)


def hash_of(clip_id: str) -> int:
    """A number by which a share of the clips is taken."""
    return int(clip_id[:8], 16)


def _windows(
    row: dict[str, Any], rng: np.random.Generator, tokenizer: Any, profile: Profile, most: int
) -> Iterator[TokenWindow]:
    start, end = row["start_frame"], row["end_frame"]
    count = -(-(end - start) // most)
    rate = tokenizer.rate
    for number in range(count):
        first = start + number * most
        frames = min(most, end - first)
        latent_frames = 1 + -(-(frames - 1) // rate.time)
        shape = (latent_frames, _SIDE // rate.space, _SIDE // rate.space)
        codes = rng.integers(0, 64_000, shape, np.uint16)
        yield TokenWindow(
            clip_id=row["clip_id"], source_id=row["source_id"], window=number,
            windows=count, start_frame=first, start_s=first / row["fps"],
            start_pts=None, time_base=None, frames=frames,
            pad_frames=1 + (latent_frames - 1) * rate.time - frames, fps=row["fps"],
            causal_first=True, context_latents=0, pixel_height=_SIDE, pixel_width=_SIDE,
            pad_bottom=0, pad_right=0, latent_frames=shape[0], latent_height=shape[1],
            latent_width=shape[2], channels=0, codes=codes.tobytes(), codes_dtype="uint16",
            latents=None, latents_dtype=None, tokenizer=tokenizer.name,
            tokenizer_digest=tokenizer.digest, psnr_codes_db=24.0, psnr_latents_db=None,
            render_profile=profile.render.profile, render_sha256=None,
        )  # fmt: skip


def _record(  # noqa: PLR0917
    dataset: Dataset,
    profile: Profile,
    step: str,
    clock: RunClock,
    counts: dict[str, int],
    result: str,
) -> None:
    record_run(
        dataset.catalog, step, clock, config=profile.resolved, packages=("reelmill",),
        counts=counts, result=result, selection_id=dataset.latest_selection(),
    )  # fmt: skip
