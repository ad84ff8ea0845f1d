"""Parquet shards and a card for Hugging Face `datasets`: a clip's row with its files as bytes.

    mp4                           binary: the rendered file, byte for byte
    codes, latents                binary: little-endian uint16 [T, H, W] and float16
                                  [channels, T, H, W] in C order; latents are not normalised
    codes_shape, latents_shape    their shapes

Arrays are bytes with their shapes because lists of numbers decode ten times slower.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokenizer.export.clip_rows import ExportRows

_GROUP_BYTES = 64_000_000
_DTYPES = {"codes": "<u2", "latents": "<f2"}
_CARD = """\
---
license: other
license_name: see-the-column-licence
tags: [video]
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---
# Video clips

{clips:,} clips of {sources:,} sources, exported by Reelmill. Each clip keeps the licence of its
source, which the column `licence` states; `uri` and `extra` say where it comes from.

| licence | clips |
|---|---|
{licences}

```python
import numpy as np
from datasets import load_dataset

clips = load_dataset("parquet", data_dir="path/to/this/folder", split="train", streaming=True)
clip = next(iter(clips))
{reading}
```

| column | type |
|---|---|
{columns}
"""


def shard_name(number: int, shards: int) -> str:
    """The name of one shard."""
    return f"data/train-{number:05d}-of-{shards:05d}.parquet"


def write_shard(path: str, rows: ExportRows, start: int, stop: int) -> None:
    """Writes the clips of rows `start` to `stop`, about 64 MB of them to a row group."""
    schema, sizes = _table(rows, 0, 0).schema, rows.sizes
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        while start < stop:
            end, free = start + 1, _GROUP_BYTES - sizes[start]
            while end < stop and sizes[end] <= free:
                end, free = end + 1, free - sizes[end]
            writer.write_table(_table(rows, start, end))
            start = end


def card(rows: ExportRows) -> str:
    """The dataset card as Markdown: what it holds, under which licences, and how to read it."""
    columns = {field.name: str(field.type) for field in _table(rows, 0, 0).schema}
    reading = ['open("clip.mp4", "wb").write(clip["mp4"])'] * rows.has_media
    reading += [
        f'{head} = np.frombuffer(clip["{head}"], "{dtype}").reshape(clip["{head}_shape"])'
        for head, dtype in _DTYPES.items()
        if head in columns
    ]
    return _CARD.format(
        clips=rows.table.num_rows,
        sources=pc.count_distinct(rows.table["source_id"]).as_py(),
        licences=_markdown_rows(rows.licences()),
        reading="\n".join(reading),
        columns=_markdown_rows({f"`{name}`": kind for name, kind in columns.items()}),
    )


def _markdown_rows(pairs: Mapping[str, object]) -> str:
    return "\n".join(f"| {key} | {value} |".replace("\n", " ") for key, value in pairs.items())


def _table(rows: ExportRows, start: int, stop: int) -> pa.Table:
    table = rows.table.slice(start, stop - start)
    if rows.has_media:
        media = [rows.read_media(index) for index in range(start, stop)]
        table = table.append_column("mp4", pa.array(media, pa.binary()))
    if rows.tokens is not None:
        clips = [rows.tokens.arrays(clip_id) for clip_id in table["clip_id"].to_pylist()]
        for head in rows.tokens.heads:
            stored = [arrays[head].astype(_DTYPES[head]).tobytes() for arrays in clips]
            shapes = [list(arrays[head].shape) for arrays in clips]
            table = table.append_column(head, pa.array(stored, pa.binary()))
            table = table.append_column(f"{head}_shape", pa.array(shapes, pa.list_(pa.int64())))
    return table
