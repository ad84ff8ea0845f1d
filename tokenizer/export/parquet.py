"""Parquet shards for Hugging Face `datasets`: one row a clip, `facts` and its parts as bytes.

    mp4                           binary: the rendered file, byte for byte
    codes, latents                binary: little-endian uint16 [T, H, W] and float16
                                  [channels, T, H, W] in C order; latents are not normalised
    codes_shape, latents_shape    their shapes

Arrays are bytes beside their shapes because lists of numbers decode ten times slower.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from tokenizer.export.clip_rows import Facts
from tokenizer.export.media import read_media

_GROUP_BYTES = 64_000_000
_LITTLE = {"codes": "<u2", "latents": "<f2"}


def name(number: int, of: int) -> str:
    """The name of one shard of so many."""
    return f"data/train-{number:05d}-of-{of:05d}.parquet"


def columns(facts: Facts) -> dict[str, str]:
    """The columns and their types."""
    return {field.name: str(field.type) for field in _rows(facts, 0, 0).schema}


def write(path: str, facts: Facts, start: int, stop: int) -> None:
    """Writes the clips of rows `start` to `stop`, about 64 MB of them to a row group."""
    form = _rows(facts, 0, 0).schema
    sizes = facts.sizes
    with pq.ParquetWriter(path, form, compression="zstd", use_dictionary=False) as writer:
        while start < stop:
            end, room = start + 1, _GROUP_BYTES - sizes[start]
            while end < stop and sizes[end] <= room:
                end, room = end + 1, room - sizes[end]
            writer.write_table(_rows(facts, start, end))
            start = end


def _rows(facts: Facts, start: int, stop: int) -> pa.Table:
    rows = facts.rows.slice(start, stop - start)
    if facts.has_media:
        files = zip(facts.paths[start:stop], rows["sha256"].to_pylist(), strict=True)
        media = [read_media(facts.storage, path, sha256) for path, sha256 in files]
        rows = rows.append_column("mp4", pa.array(media, pa.binary()))
    if facts.tokens is not None:
        arrays = [facts.tokens.arrays(clip) for clip in rows["clip_id"].to_pylist()]
        for head in facts.tokens.heads:
            found = [each[head] for each in arrays]
            stored = [array.astype(_LITTLE[head]).tobytes() for array in found]
            shapes = [list(array.shape) for array in found]
            rows = rows.append_column(head, pa.array(stored, pa.binary()))
            rows = rows.append_column(f"{head}_shape", pa.array(shapes, pa.list_(pa.int64())))
    return rows
