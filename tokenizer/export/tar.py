"""WebDataset shards: tar files in which all that belongs to a clip lies together, under its id.

    CLIP.json           the row of `facts`
    CLIP.mp4            the rendered file, byte for byte
    CLIP.txt            the caption
    CLIP.codes.npy      uint16 [T, H, W]
    CLIP.latents.npy    float16 [channels, T, H, W], not normalised

Neither times nor owners are recorded, so that the same clips give the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator

import numpy as np

from tokenizer.export.clip_rows import Facts
from tokenizer.export.media import read_media


def name(number: int, of: int) -> str:
    """The name of one shard of so many."""
    return f"shard-{number:06d}.tar"


def write(path: str, facts: Facts, start: int, stop: int) -> None:
    """Writes the clips of rows `start` to `stop`."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in _members(facts, start, stop):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _members(facts: Facts, start: int, stop: int) -> Iterator[tuple[str, bytes]]:
    for at, row in enumerate(facts.rows.slice(start, stop - start).to_pylist(), start):
        clip = row["clip_id"]
        yield f"{clip}.json", json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
        if facts.has_media:
            yield f"{clip}.mp4", read_media(facts.storage, facts.paths[at], row["sha256"])
        if "caption" in row:
            yield f"{clip}.txt", row["caption"].encode()
        if facts.tokens is not None:
            for head, array in facts.tokens.arrays(clip).items():
                stored = io.BytesIO()
                np.save(stored, array, allow_pickle=False)
                yield f"{clip}.{head}.npy", stored.getvalue()
