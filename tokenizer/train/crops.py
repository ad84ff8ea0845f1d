"""The packed file that training reads: crops of video, small enough to carry to any machine.

One safetensors file holds, for each part of the split (`train`, `validation`), the crops as one
uint8 blob and where each begins in it. A crop is uint8 RGB [frames, side, side, 3]; it is stored as
the difference of each frame from the one before, modulo 256, deflated: exact, and half the size or
less, because most of a video stays as it was. Training unpacks all of it into the device's memory
once, and cuts, flips and reverses there.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from tokenizer.models.interface import Video

Part = Literal["train", "validation"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a packed file says of itself."""

    frames: int
    """Frames of a crop."""
    side: int
    """Height and width of a crop in pixels."""
    split: Mapping[str, Sequence[str]]
    """The groups in each part; no group is in both."""
    licences: Mapping[str, int] = field(default_factory=dict)
    """Crops for training under each licence."""


def deflated(crop: Video) -> bytes:
    """A crop as it is stored."""
    change = np.diff(crop, axis=0, prepend=np.zeros_like(crop[:1]))
    return zlib.compress(change.tobytes(), 9)


def inflated(content: bytes, facts: Facts) -> Video:
    """The crop that `deflated` stored."""
    change = np.frombuffer(zlib.decompress(content), np.uint8)
    shape = (facts.frames, facts.side, facts.side, 3)
    return np.cumsum(change.reshape(shape), axis=0, dtype=np.uint8)


def write(path: Path, parts: Mapping[Part, Iterable[bytes]], facts: Facts) -> None:
    """Writes deflated crops."""
    tensors: dict[str, np.ndarray] = {}
    for part, crops in parts.items():
        blobs = [np.frombuffer(crop, np.uint8) for crop in crops]
        tensors[part] = np.concatenate([np.zeros(0, np.uint8), *blobs])
        tensors[f"{part}.ends"] = np.cumsum([len(blob) for blob in blobs], dtype=np.int64)
    save_file(tensors, str(path), metadata={"crops": json.dumps(asdict(facts))})


def read(path: Path, part: Part) -> tuple[Tensor, Facts]:
    """All crops of a part, uint8 [N, frames, side, side, 3], and what the file says of itself.

    Raises `ValueError` for a file that holds no crops, and for a part without any.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            facts = Facts(**json.loads((file.metadata() or {})["crops"]))
            blob, ends = file.get_tensor(part), file.get_tensor(f"{part}.ends")
    except (SafetensorError, KeyError) as error:
        raise ValueError(
            f"{path} holds no crops; make it with `reelmill tokenizer pack` ({error})"
        ) from error
    if not len(ends):
        raise ValueError(f"{path} holds no crops for {part}; pack more sources")
    crops = torch.empty((len(ends), facts.frames, facts.side, facts.side, 3), dtype=torch.uint8)
    for place, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        crops[place] = torch.from_numpy(inflated(blob[start:end].tobytes(), facts))
    return crops, facts
