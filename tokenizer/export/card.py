"""The card of an exported dataset: what it holds, under which licences, and how to read it."""

from __future__ import annotations

import pyarrow.compute as pc

from tokenizer.export.clip_rows import Facts

NOT_STATED = "not stated"

_HEAD = """\
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
_MEDIA = 'open("clip.mp4", "wb").write(clip["mp4"])'
_ARRAYS = {
    "codes": 'codes = np.frombuffer(clip["codes"], "<u2").reshape(clip["codes_shape"])',
    "latents": 'latents = np.frombuffer(clip["latents"], "<f2").reshape(clip["latents_shape"])',
}


def licences(facts: Facts) -> dict[str, int]:
    """How many clips are under each licence."""
    stated = pc.fill_null(facts.rows["licence"], NOT_STATED)
    counts = {each["values"]: each["counts"] for each in pc.value_counts(stated).to_pylist()}
    return dict(sorted(counts.items()))


def card(facts: Facts, columns: dict[str, str]) -> str:
    """The card as Markdown, for columns and their types."""
    reading = [_MEDIA] * facts.has_media
    reading += [line for head, line in _ARRAYS.items() if head in columns]
    return _HEAD.format(
        clips=facts.rows.num_rows,
        sources=pc.count_distinct(facts.rows["source_id"]).as_py(),
        licences=_lines(licences(facts)),
        reading="\n".join(reading),
        columns=_lines({f"`{name}`": kind for name, kind in columns.items()}),
    )


def _lines(pairs: dict[str, object] | dict[str, int] | dict[str, str]) -> str:
    return "\n".join(f"| {left} | {right} |".replace("\n", " ") for left, right in pairs.items())
