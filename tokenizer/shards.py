"""Token shards: Parquet files that a training reader maps into arrays without parsing.

On disk, `DIRECTORY/<first 32 hex digits of the file's sha256>.parquet`:

    a row          one window of one clip, the columns of `TokenWindow` in its order
    codes          binary: little-endian uint16, C order [latent frames, height, width]
    latents        binary: little-endian float16, C order [channels, latent frames, height, width]
    row groups     consecutive rows of up to 3 MB of codes and latents, at least one row
    encodings      no dictionary anywhere; codes lz4, latents bare, the small columns zstd level 1
    statistics     for the small columns only
    metadata       in the schema, as UTF-8: `latent_mean`, `latent_std` (JSON lists, one number a
                   channel), `levels` (JSON list), `rate` (such as 8x8x8)

Arrays lie in binary columns beside their shapes because Parquet lists decode ten times slower. The
same rows give the same bytes, hence the same name: writing a shard twice changes nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.records import schema, table
from curation.storage import Storage
from tokenizer.interface import Codes, Latents, Tokenizer

_GROUP_BYTES = 3_000_000


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """One window of one clip, as tokens."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    window: int
    """Place among the clip's windows, from 0."""
    start_frame: int
    """First frame, counted in the source."""
    start_s: float
    """Start in seconds from the source's first frame: the clip's start, then counted at `fps`."""
    frames: int
    """Real frames."""
    pad_frames: int
    """Repeats of the last real frame that follow; drop them after decoding."""
    fps: float
    """Frames a second."""
    causal_first: bool
    """Whether the first latent frame stands for one frame alone."""
    pixel_height: int
    """Height in pixels of what was encoded."""
    pixel_width: int
    """Width in pixels of what was encoded."""
    latent_frames: int
    """Latents in time."""
    latent_height: int
    """Latents down."""
    latent_width: int
    """Latents across."""
    channels: int
    """Channels of the continuous latents."""
    codes: bytes
    """Discrete tokens, C order [latent_frames, latent_height, latent_width]."""
    codes_dtype: str
    """`uint16`, little-endian."""
    latents: bytes
    """Continuous tokens, C order [channels, latent_frames, latent_height, latent_width]."""
    latents_dtype: str
    """`float16`, little-endian."""
    tokenizer: str
    """Name of the tokenizer."""
    tokenizer_digest: str
    """sha256 of its weights and configuration."""
    psnr_codes_db: float
    """Peak signal-to-noise ratio of the real frames decoded from `codes`, at most 100."""
    psnr_latents_db: float
    """The same from `latents`."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A written shard."""

    path: str
    """Relative to the output folder."""
    size_bytes: int
    """Size of the file."""
    rows: int
    """Windows in it."""
    sha256: str
    """Digest of the file, as hex."""


def metadata(tokenizer: Tokenizer) -> dict[str, str]:
    """What a shard's schema says of its tokenizer."""
    return {
        "latent_mean": json.dumps(list(tokenizer.latent_mean)),
        "latent_std": json.dumps(list(tokenizer.latent_std)),
        "levels": json.dumps(list(tokenizer.levels)),
        "rate": str(tokenizer.rate),
    }


def write_shard(
    rows: Sequence[TokenWindow], storage: Storage, directory: str, facts: Mapping[str, str]
) -> Shard:
    """Writes at least one row under `directory` of the storage; the whole file or none appears.

    `facts` go into the schema: see `metadata`. The file is made in memory first.
    """
    if not rows:
        raise ValueError(f"a shard for {directory} needs at least one row")
    content = _content(rows, facts)
    sha256 = hashlib.sha256(content).hexdigest()
    path = f"{directory}/{sha256[:32]}.parquet"
    if storage.size(path) != len(content):
        with storage.writing(path) as temporary, open(temporary, "wb") as file:
            file.write(content)
    return Shard(path, len(content), len(rows), sha256)


def _content(rows: Sequence[TokenWindow], facts: Mapping[str, str]) -> pa.Buffer:
    names = [field.name for field in dataclasses.fields(TokenWindow)]
    small = [name for name in names if name not in ("codes", "latents")]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema(TokenWindow).with_metadata(dict(facts)),
        use_dictionary=False,
        compression={**dict.fromkeys(small, "zstd"), "codes": "lz4", "latents": "none"},
        compression_level=dict.fromkeys(small, 1),
        write_statistics=small,
    ) as writer:
        for group in _groups(rows):
            writer.write_table(table(TokenWindow, group).replace_schema_metadata(dict(facts)))
    return sink.getvalue()


def _groups(rows: Sequence[TokenWindow]) -> Iterator[list[TokenWindow]]:
    group: list[TokenWindow] = []
    size = 0
    for row in rows:
        row_bytes = len(row.codes) + len(row.latents)
        if group and size + row_bytes > _GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(row)
        size += row_bytes
    yield group


def read_codes(row: TokenWindow) -> Codes:
    """The row's codes, uint16 [T, H, W]: a read-only view of its bytes."""
    shape = (row.latent_frames, row.latent_height, row.latent_width)
    return np.frombuffer(row.codes, "<u2").reshape(shape)


def read_latents(row: TokenWindow) -> Latents:
    """The row's latents, float16 [channels, T, H, W]: a read-only view of its bytes."""
    shape = (row.channels, row.latent_frames, row.latent_height, row.latent_width)
    return np.frombuffer(row.latents, "<f2").reshape(shape)
