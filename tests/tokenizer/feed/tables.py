"""Outputs with synthetic tokens that identify their clip; nothing is decoded or encoded."""

import dataclasses
import hashlib
import types
import typing
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from curation import records
from curation.dataset import Dataset
from curation.lineage import RenderOrigin
from curation.records import TokenizedClip
from curation.storage import Storage
from tokenizer.feed.sequence_window import Shape
from tokenizer.tokenize import shards
from tokenizer.tokenize.shards import TokenWindow, write_shard

CHANNELS = 3
FACTS = {
    "latent_mean": "[0.5, -1.0, 2.0]",
    "latent_std": "[1.0, 2.0, 0.5]",
    "levels": "[8, 8, 8, 5, 5, 5]",
    "rate": "8x8x8",
}
TABLE = "tokens/test-1"


def clip_id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def codes_of(clip: int, window: int, shape: Shape) -> np.ndarray:
    rng = np.random.default_rng((clip, window))
    return rng.integers(0, 64000, shape, dtype=np.uint16)


def latents_of(clip: int, window: int, shape: Shape) -> np.ndarray:
    rng = np.random.default_rng((clip, window, 1))
    return rng.standard_normal((CHANNELS, *shape)).astype(np.float16)


def token_row(clip: int, window: int, shape: Shape, **more: object) -> TokenWindow:
    """A row whose tokens follow from clip and window; other columns are empty or one."""
    frames, height, width = shape
    values = {
        "clip_id": clip_id(clip), "source_id": f"source{clip // 10}", "window": window,
        "start_frame": window * 17, "start_s": window * 0.5, "frames": 1 + 8 * (frames - 1),
        "fps": 24.0 + clip, "causal_first": True, "latent_frames": frames, "latent_height": height,
        "latent_width": width, "channels": CHANNELS, "tokenizer": "test", "context_latents": 0,
        "codes": codes_of(clip, window, shape).tobytes(),
        "latents": latents_of(clip, window, shape).tobytes(),
        "render_profile": None, "render_sha256": None, "actions": None, "action_names": None,
    }  # fmt: skip
    row = {}
    for field in dataclasses.fields(TokenWindow):
        hint = typing.get_type_hints(TokenWindow)[field.name]
        kind = hint.__args__[0] if isinstance(hint, types.UnionType) else hint
        row[field.name] = {**values, **more}.get(field.name, kind(1) if kind is not bytes else b"")
    return TokenWindow(**row)


def add_shards(
    place: object, files: Sequence[Sequence[TokenWindow]], *, table: str = TABLE,
    commit: bool = True, group_bytes: int | None = None,
    made_from: Mapping[str, RenderOrigin] | None = None,
) -> Dataset:  # fmt: skip
    """Commits shards as the tokenize step does; without `commit` it is interrupted before the end.

    `made_from` says by clip which render was read.
    """
    dataset, storage = Dataset(place), Storage.at(place)
    default = shards._GROUP_BYTES
    shards._GROUP_BYTES = group_bytes or default
    try:
        written = [write_shard(rows, storage, table, FACTS) for rows in files]
    finally:
        shards._GROUP_BYTES = default
    done = "tokenized/" + table.removeprefix("tokens/")
    windows = Counter((row.clip_id, row.source_id) for rows in files for row in rows)
    origins = made_from or {}
    outcomes = [
        TokenizedClip(*ids, "tokenized", windows=n, **asdict(origins.get(ids[0], RenderOrigin())))
        for ids, n in windows.items()
    ]
    with dataset.catalog.writer("tokenize", {table: TokenWindow, done: TokenizedClip}) as writer:
        writer.add_files(table, written)
        if commit:
            writer.append(done, records.to_table(TokenizedClip, outcomes))
    return dataset


def add_simple_shards(
    place: object, clips: int = 60, shape: Shape = (3, 2, 4), per_file: int = 10
) -> Dataset:
    """Two windows a clip, `per_file` clips a file, some rows a row group."""
    rows = [token_row(clip, window, shape) for clip in range(clips) for window in range(2)]
    files = [rows[at : at + 2 * per_file] for at in range(0, len(rows), 2 * per_file)]
    size = len(rows[0].codes or b"") + len(rows[0].latents or b"")
    return add_shards(place, files, group_bytes=5 * size)
