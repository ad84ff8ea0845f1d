"""WebDataset shards: tar files in which all files of a clip follow each other under its id.

    CLIP.json           the clip's row
    CLIP.mp4            the rendered file, byte for byte
    CLIP.txt            the caption
    CLIP.codes.npy      uint16 [T, H, W]
    CLIP.latents.npy    float16 [channels, T, H, W], not normalised
    CLIP.signals.npz    of each signal NAME [frames, channels] as recorded, `NAME.valid` likewise
                        and `NAME.channels`; and `time_ns` [frames] on the recording's clock

Neither times nor owners are recorded, so that the same clips give the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator

import numpy as np

from tokenizer.export.clip_rows import ExportRows
from tokenizer.export.frame_signals import FrameSignals


def shard_name(number: int, shards: int) -> str:
    """The name of one shard."""
    return f"shard-{number:06d}.tar"


def write_shard(path: str, rows: ExportRows, start: int, stop: int) -> None:
    """Writes the clips of rows `start` to `stop`."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in _files(rows, start, stop):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _files(rows: ExportRows, start: int, stop: int) -> Iterator[tuple[str, bytes]]:
    for index, row in enumerate(rows.table.slice(start, stop - start).to_pylist(), start):
        clip_id = row["clip_id"]
        yield f"{clip_id}.json", json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
        if rows.has_media:
            yield f"{clip_id}.mp4", rows.read_media(index)
        if "caption" in row:
            yield f"{clip_id}.txt", row["caption"].encode()
        if rows.has_media and (signals := rows.frame_signals(index)) is not None:
            yield f"{clip_id}.signals.npz", _packed(signals)
        if rows.tokens is not None:
            for head, array in rows.tokens.arrays(clip_id).items():
                file = io.BytesIO()
                np.save(file, array, allow_pickle=False)
                yield f"{clip_id}.{head}.npy", file.getvalue()


def _packed(signals: FrameSignals) -> bytes:
    arrays: dict[str, np.ndarray] = {"time_ns": signals.times_ns}
    for name, (signal, sampled) in signals.sampled.items():
        arrays[name], arrays[f"{name}.valid"] = sampled.values, sampled.valid
        arrays[f"{name}.channels"] = np.array(signal.channels)
    file = io.BytesIO()
    # Not `np.savez`, whose own arguments are names that a signal may have.
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return file.getvalue()
