"""The packed file that training reads: crops of video in one file, small enough to carry anywhere.

One safetensors file holds, for each part of the split (`train`, `validation`), the crops as one
uint8 blob and where each ends in it. A crop is uint8 RGB [frames, side, side, 3], stored as the
difference of each frame from the one before, modulo 256, deflated: lossless, and half the size or
less, because most of a video does not change. Training unpacks all of it into the device's memory
once, and cuts, flips and reverses there. Only torch, numpy and safetensors are needed.
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

from curation.errors import ReelmillError
from tokenizer.models.interface import Video

SplitPart = Literal["train", "validation"]
PARTS: tuple[SplitPart, ...] = ("train", "validation")


class CropsError(ReelmillError, ValueError):
    """A file without crops, or nothing to make crops of."""


@dataclass(frozen=True, slots=True)
class CropsMetadata:
    """The metadata of a packed file."""

    frames: int
    """Frames of a crop."""
    side: int
    """Height and width of a crop in pixels."""
    split: Mapping[str, Sequence[str]]
    """The groups in each part; no group is in both."""
    licences: Mapping[str, int] = field(default_factory=dict)
    """Crops for training under each licence."""


@dataclass(frozen=True, eq=False, slots=True)
class CropSet:
    """Crops in memory, each part uint8 [N, frames, side, side, 3]."""

    train: Tensor
    validation: Tensor
    metadata: CropsMetadata

    @classmethod
    def read(cls, path: Path) -> CropSet:
        """Both parts of a packed file; raises `CropsError` as `read_crops` does."""
        (train, metadata), (validation, _) = (read_crops(path, part) for part in PARTS)
        return cls(train, validation, metadata)


def compress_crop(crop: Video) -> bytes:
    """A crop as it is stored."""
    difference = np.diff(crop, axis=0, prepend=np.zeros_like(crop[:1]))
    return zlib.compress(difference.tobytes(), 9)


def decompress_crop(content: bytes, metadata: CropsMetadata) -> Video:
    """The inverse of `compress_crop`."""
    difference = np.frombuffer(zlib.decompress(content), np.uint8)
    shape = (metadata.frames, metadata.side, metadata.side, 3)
    return np.cumsum(difference.reshape(shape), axis=0, dtype=np.uint8)


def write_crops(
    path: Path, parts: Mapping[SplitPart, Iterable[bytes]], metadata: CropsMetadata
) -> None:
    """Writes compressed crops."""
    tensors: dict[str, np.ndarray] = {}
    for part, crops in parts.items():
        blobs = [np.frombuffer(crop, np.uint8) for crop in crops]
        tensors[part] = np.concatenate([np.zeros(0, np.uint8), *blobs])
        tensors[f"{part}.ends"] = np.cumsum([len(blob) for blob in blobs], dtype=np.int64)
    save_file(tensors, str(path), metadata={"crops": json.dumps(asdict(metadata))})


def read_crops(path: Path, part: SplitPart) -> tuple[Tensor, CropsMetadata]:
    """All crops of a part, uint8 [N, frames, side, side, 3], and the file's metadata.

    Raises `CropsError` for a file without crops, and for a part without any.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = CropsMetadata(**json.loads((file.metadata() or {})["crops"]))
            blob, ends = file.get_tensor(part), file.get_tensor(f"{part}.ends")
    except (SafetensorError, KeyError) as error:
        raise CropsError(
            f"{path} holds no crops; make it with `reelmill tokenizer pack` ({error})"
        ) from error
    if not len(ends):
        raise CropsError(f"{path} holds no crops for {part}; pack more sources")
    shape = (len(ends), metadata.frames, metadata.side, metadata.side, 3)
    crops = torch.empty(shape, dtype=torch.uint8)
    for index, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        crops[index] = torch.from_numpy(decompress_crop(blob[start:end].tobytes(), metadata))
    return crops, metadata
