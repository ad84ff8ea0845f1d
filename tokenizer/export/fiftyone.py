"""A folder that FiftyOne opens, and the tags that people gave its clips there.

    data/CLIP.mp4      the rendered file, byte for byte
    samples.json       `samples`: one object a clip, with `filepath`, `tags` and the clip's row
    frames.json        no labels of frames, as each sample's `frames` says
    metadata.json      `media_type` and `info`; without a `version`, so that every FiftyOne reads it

This is the JSON form that FiftyOne calls `FiftyOneDataset` and reads in all versions (Voxel51, user
guide, importing datasets). In `samples.json` as FiftyOne writes it, in either form, the tags `keep`
and `drop` are decisions.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from curation.select.reviews import Decision
from tokenizer.export.clip_rows import ExportError, ExportRows

SAMPLES, FRAMES, METADATA = "samples.json", "frames.json", "metadata.json"
_MAX_BYTES = 2 << 30
_SCALARS = (str, int, float, bool)
_DECISIONS: tuple[Decision, ...] = ("keep", "drop")


def media_name(clip_id: str) -> str:
    """The name of a clip's file."""
    return f"data/{clip_id}.mp4"


def write_media(path: str, rows: ExportRows, start: int, stop: int) -> None:
    """Writes the file of the one clip from `start` to `stop`."""
    Path(path).write_bytes(rows.read_media(start))


def texts(rows: ExportRows) -> dict[str, str]:
    """The JSON files, by name; raises `ExportError` where clips have no files."""
    if not rows.has_media:
        raise ExportError("FiftyOne shows files: export them with --clips, or use another format")
    samples = [_sample(row) for row in rows.table.to_pylist()]
    info = {"selection": rows.selection, "tables": rows.versions}
    return {
        FRAMES: json.dumps({"frames": {}}) + "\n",
        METADATA: json.dumps({"media_type": "video", "info": info}, indent=1) + "\n",
        SAMPLES: json.dumps({"samples": samples}, ensure_ascii=False, allow_nan=False) + "\n",
    }


def _sample(row: dict[str, Any]) -> dict[str, Any]:
    extra = {re.sub(r"\W", "_", f"extra_{name}"): v for name, v in (row.get("extra") or {}).items()}
    fields = {n: v for n, v in {**row, **extra}.items() if isinstance(v, _SCALARS)}
    metadata = {
        "_cls": "VideoMetadata", "size_bytes": row["size_bytes"], "mime_type": "video/mp4",
        "frame_width": row["width"], "frame_height": row["height"], "frame_rate": row["fps"],
        "total_frame_count": row["frames"], "duration": row["frames"] / row["fps"],
    }  # fmt: skip
    names = {"frames": "num_frames"}  # the name `frames` is taken
    return {
        "filepath": media_name(row["clip_id"]), "tags": [], "metadata": metadata,
        **{names.get(name, name): value for name, value in fields.items()},
        "frames": FRAMES,
    }  # fmt: skip


def read_decisions(path: str | Path) -> dict[str, Decision]:
    """By clip, what a `samples.json` tags `keep` or `drop`; raises `ExportError`.

    A sample without a field `clip_id` is of another data set and is left out, as is one with both.
    """
    file = Path(path)
    file = file / SAMPLES if file.is_dir() else file
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ExportError(f"{file}: has more than {_MAX_BYTES:,} bytes")
        samples = json.loads(file.read_text(encoding="utf-8"))["samples"]
        tagged = [(sample.get("clip_id"), set(sample.get("tags") or ())) for sample in samples]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ExportError(f"{file} is no samples.json of FiftyOne: {error}") from error
    found: dict[str, Decision] = {}
    for clip_id, tags in tagged:
        wanted = [decision for decision in _DECISIONS if decision in tags]
        if isinstance(clip_id, str) and len(wanted) == 1:
            found[clip_id] = wanted[0]
    return found
