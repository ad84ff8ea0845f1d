"""Token shards: Parquet files that a training reader maps into arrays without parsing.

On disk, in a folder, under a name that is derived from the content (`curation.data_file`):

    a row          one window of one clip, the columns of `TokenWindow` in its order
    actions        binary: little-endian float32, C order [latent frames, numbers], NaN for none
    codes          binary: little-endian uint16, C order [latent frames, height, width]
    latents        binary: little-endian float16, C order [channels, latent frames, height, width]
    row groups     consecutive rows of up to 3 MB of codes and latents, at least one row
    encodings      no dictionary anywhere; codes lz4, latents bare, the small columns zstd level 1
    statistics     for the small columns only
    checksums      a CRC-32 with each page: bare latents would hide a flipped bit
    metadata       in the schema, as UTF-8: `tokenizer`, `tokenizer_digest`, `precision` (what it
                   computed in), `rate` (such as 8x8x8), `levels` (JSON list, lowest digit of a code
                   first; empty without codes), `latent_mean`, `latent_std` (JSON lists, one number
                   a channel; stored latents are not normalised), `windows`
                   (`independent` or `stream`)

Arrays are in binary columns, with their shapes, because Parquet lists decode ten times slower. The
same rows give the same bytes, hence the same name: writing a shard twice is idempotent.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.data_file import NewFile, store_file
from curation.errors import ReelmillError
from curation.records import arrow_schema, to_table
from curation.storage import Storage
from tokenizer.models.inference import Precision
from tokenizer.models.interface import Codes, Head, Latents, Tokenizer
from tokenizer.tokenize.windows import WindowMode

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
    windows: int
    """How many windows the clip has."""
    start_frame: int
    """First frame, counted in the source; the nearest one where a render changed the frame rate."""
    start_s: float
    """Start in seconds from the source's first frame."""
    start_pts: int | None
    """Start in `time_base` units, as the source counts time; null if it has no times."""
    time_base: str | None
    """Unit of `start_pts`, as a fraction of a second."""
    frames: int
    """Real frames."""
    pad_frames: int
    """Repeats of the last real frame that follow; drop them after decoding."""
    fps: float
    """Frames a second, on average."""
    causal_first: bool
    """Whether the first latent frame encodes a single frame; all others encode a group."""
    context_latents: int
    """How many latent frames of the same clip before this window an exact decoding has to begin
    with: 0 for an independent window, more for a slice of a stream after the first."""
    pixel_height: int
    """Height in pixels of the real picture."""
    pixel_width: int
    """Width in pixels of the real picture."""
    pad_bottom: int
    """Repeats of the last row of pixels below the picture; crop them after decoding."""
    pad_right: int
    """Repeats of the last column of pixels right of the picture; crop them after decoding."""
    latent_frames: int
    """Latents in time."""
    latent_height: int
    """Latents down."""
    latent_width: int
    """Latents across."""
    channels: int
    """Channels of the continuous latents; 0 without them."""
    codes: bytes | None
    """Discrete tokens, C order [latent_frames, latent_height, latent_width]; null for a tokenizer
    without a discrete head."""
    codes_dtype: str | None
    """`uint16`, little-endian; null without codes."""
    latents: bytes | None
    """Continuous tokens, C order [channels, latent_frames, latent_height, latent_width]; null for a
    tokenizer without a continuous head."""
    latents_dtype: str | None
    """`float16`, little-endian; null without latents."""
    tokenizer: str
    """Name of the tokenizer."""
    tokenizer_digest: str
    """sha256 of its weights and configuration."""
    psnr_codes_db: float | None
    """Peak signal-to-noise ratio of the real picture in the real frames decoded from `codes`, at
    most 100; null without codes, or where it was not measured."""
    psnr_latents_db: float | None
    """The same from `latents`."""
    render_profile: str | None = None
    """Profile of the renders that the frames were read from: `renders/<profile>` holds them."""
    render_sha256: str | None = None
    """Digest of the rendered file; null for a span."""
    actions: bytes | None = None
    """Signals at each latent frame, little-endian float32, C order [latent_frames, numbers], NaN
    where a signal is invalid; null where nothing was recorded."""
    action_names: str | None = None
    """JSON list: a name for each number, such as `action.gripper`; null without."""
    overlap_frames: int | None = None
    """How many of its first frames the window before it has, too; skip them to put the clip
    together. This and what follows is null in tables of earlier versions, for none."""
    dropped_frames: int | None = None
    """Frames of the clip after it that are in no window."""
    scaled_height: int | None = None
    """Height in pixels that the clip was scaled to, of which the picture may be a part."""
    scaled_width: int | None = None
    """Width in pixels that the clip was scaled to."""
    crop_top: int | None = None
    """Rows of the scaled clip above the picture."""
    crop_left: int | None = None
    """Columns of the scaled clip left of the picture."""


CLIP_FRAMES = ("frames", "overlap_frames", "dropped_frames")
"""Columns from which `clip_frames` follows."""


def clip_frames(rows: pa.Table) -> pa.ChunkedArray:
    """How many frames of its clip each row accounts for; all rows of a clip sum up to its frames.

    `rows` have the columns `CLIP_FRAMES`.
    """
    frames, overlap, dropped = (pc.fill_null(rows[name], 0) for name in CLIP_FRAMES)
    return pc.add(pc.subtract(frames, overlap), dropped)


def shard_metadata(
    tokenizer: Tokenizer, precision: Precision, windows: WindowMode
) -> dict[str, str]:
    """The metadata of a shard's schema: its tokenizer and how it was run."""
    return {
        "tokenizer": tokenizer.name,
        "tokenizer_digest": tokenizer.digest,
        "precision": precision,
        "rate": str(tokenizer.rate),
        "levels": json.dumps(list(tokenizer.levels)),
        "latent_mean": json.dumps(list(tokenizer.latent_mean)),
        "latent_std": json.dumps(list(tokenizer.latent_std)),
        "windows": windows,
    }


def write_shard(
    rows: Sequence[TokenWindow], storage: Storage, directory: str, metadata: Mapping[str, str]
) -> NewFile:
    """Writes at least one row under `directory` of the storage; the whole file or none appears.

    `metadata` is that of `shard_metadata`. The file is built in memory first.
    """
    if not rows:
        raise ValueError(f"a shard for {directory} needs at least one row")
    return store_file(_parquet(rows, metadata), len(rows), storage, directory)


def _parquet(rows: Sequence[TokenWindow], metadata: Mapping[str, str]) -> pa.Buffer:
    names = [field.name for field in dataclasses.fields(TokenWindow)]
    small = [name for name in names if name not in ("codes", "latents", "actions")]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        arrow_schema(TokenWindow).with_metadata(dict(metadata)),
        use_dictionary=False,
        compression={
            **dict.fromkeys(small, "zstd"),
            "codes": "lz4",
            "latents": "none",
            "actions": "zstd",
        },
        compression_level=dict.fromkeys([*small, "actions"], 1),
        write_statistics=small,
        write_page_checksum=True,
    ) as writer:
        for group in _row_groups(rows):
            writer.write_table(to_table(TokenWindow, group).replace_schema_metadata(dict(metadata)))
    return sink.getvalue()


def _row_groups(rows: Sequence[TokenWindow]) -> Iterator[list[TokenWindow]]:
    group: list[TokenWindow] = []
    size = 0
    for row in rows:
        row_bytes = len(row.codes or b"") + len(row.latents or b"")
        if group and size + row_bytes > _GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(row)
        size += row_bytes
    yield group


class BadTokensError(ReelmillError, ValueError):
    """Rows whose tokens cannot be used; the message names clip and window."""

    @classmethod
    def of(cls, row: TokenWindow, problem: str) -> BadTokensError:
        """The error of one row."""
        return cls(f"clip {row.clip_id}, window {row.window}: {problem}")


def read_codes(row: TokenWindow) -> Codes:
    """The row's codes, uint16 [T, H, W]: a read-only view of its bytes; or `BadTokensError`."""
    codes = _array(row, "codes", "uint16", 1)
    return codes.reshape(row.latent_frames, row.latent_height, row.latent_width)


def read_latents(row: TokenWindow) -> Latents:
    """The row's latents, float16 [channels, T, H, W]: a read-only view; or `BadTokensError`."""
    latents = _array(row, "latents", "float16", row.channels)
    return latents.reshape(-1, row.latent_frames, row.latent_height, row.latent_width)


def _array(row: TokenWindow, head: Head, expected_dtype: str, channels: int) -> np.ndarray:
    """The numbers of one head, `channels` per latent, in one dimension."""
    stored, dtype = getattr(row, head), getattr(row, f"{head}_dtype")
    if stored is None:
        raise BadTokensError.of(row, f"there are no {head}; {row.tokenizer} has the other head")
    if dtype != expected_dtype:
        raise BadTokensError.of(row, f"{head} are {dtype}, not {expected_dtype}")
    shape = (row.latent_frames, row.latent_height, row.latent_width)
    size = 2 * channels * math.prod(shape)
    if min(shape) < 1 or len(stored) != size:
        latents = " × ".join(map(str, shape))
        raise BadTokensError.of(
            row, f"{len(stored)} bytes of {head}, where {latents} latents have {size}"
        )
    return np.frombuffer(stored, np.dtype(expected_dtype).newbyteorder("<"))
