"""The baseline that a trained tokenizer has to beat: principal components of space-time patches.

A window is cut into patches: the first frame alone into space × space × 3, the frames after it in
groups into time × space × space × 3. Each kind has a basis of 16 orthonormal components, fitted
once by `tokenizer.train.pca_fit`. The continuous head is a patch's 16 coordinates; the discrete
head rounds the first six, each divided by a stored bound, to the levels of `tokenizer.models.fsq`.
A group sees no frame outside itself, so the tokenizer is causal. Encoding costs 96 floating-point
operations a pixel. Each latent frame is computed on its own, and in float64, whose rounding is far
below the precision of float16, the codes and uint8: the result does not depend on the other frames
or on how many threads the matrix product takes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tokenizer.models import fsq
from tokenizer.models.interface import (
    Codes,
    Compression,
    Latents,
    TokenizerLoadError,
    Tokens,
    Video,
    check_codes,
    check_digest,
    check_latents,
    check_tensors,
    check_video,
    parse_rate,
)

CHANNELS = 16
_PARTS = ("mean", "components", "bounds")
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def split_patches(video: Video, time: int, space: int) -> Video:
    """Patches [T / time, H / space · W / space, time · space² · 3] of a video [T, H, W, 3]."""
    t, h, w, c = video.shape
    groups, rows, columns = t // time, h // space, w // space
    blocks = video.reshape(groups, time, rows, space, columns, space, c)
    patches = blocks.transpose(0, 2, 4, 1, 3, 5, 6)
    return patches.reshape(groups, rows * columns, time * space * space * c)


def _join_patches(patches: Video, time: int, space: int, width: int) -> Video:
    """The frames [time, H, W, 3] of patches [rows · width, time · space² · 3]."""
    blocks = patches.reshape(-1, width, time, space, space, 3)
    return blocks.transpose(2, 0, 3, 1, 4, 5).reshape(time, -1, width * space, 3)


@dataclass(frozen=True, eq=False)
class Basis:
    """Principal components of one kind of patch; D numbers to a patch, pixels as -1 to 1."""

    mean: Float32
    """[D], the mean patch."""
    components: Float32
    """[16, D], orthonormal rows, most variance first."""
    bounds: Float32
    """[6], the coordinate of each discrete component that becomes ±1; clipped beyond."""

    @functools.cached_property
    def _projection(self) -> tuple[Float64, Float64]:
        """[D, 16] and [16]: pixels 0 to 255 times the first, less the second, are coordinates."""
        matrix = self.components.T / np.sqrt(self.mean.size, dtype=np.float64)
        return matrix / 127.5, (self.mean.astype(np.float64) + 1) @ matrix

    @functools.cached_property
    def _reconstruction(self) -> tuple[Float64, Float64]:
        """[16, D] and [D]: coordinates times the first, plus the second, are pixels 0 to 255."""
        scale = 127.5 * np.sqrt(self.mean.size, dtype=np.float64)
        return self.components * scale, (self.mean.astype(np.float64) + 1) * 127.5

    def project(self, patches: Video) -> Float32:
        """Coordinates [n, 16] of patches [n, D], on the scale of one pixel: RMS over the patch."""
        matrix, offset = self._projection
        return np.asarray(patches.astype(np.float64) @ matrix - offset, np.float32)

    def reconstruct(self, coordinates: Float32) -> Video:
        """Patches [n, D] from the first m coordinates [n, m] of each, m at most 16."""
        matrix, mean = self._reconstruction
        pixels = coordinates.astype(np.float64) @ matrix[: coordinates.shape[1]]
        pixels += mean
        np.clip(np.rint(pixels, out=pixels), 0, 255, out=pixels)
        return pixels.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class PcaTokenizer:
    """A fitted `Tokenizer`."""

    rate: Compression
    first: Basis
    """Of the first frame's patches."""
    group: Basis
    """Of all later patches."""
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]
    card: Mapping[str, str] = field(default_factory=dict)
    """Licence, data and psnr of the weights; not part of the digest."""
    levels: tuple[int, ...] = field(default=fsq.LEVELS, init=False)
    channels: int = field(default=CHANNELS, init=False)

    @property
    def name(self) -> str:
        """`pca-` and the rate."""
        return f"pca-{self.rate}"

    @functools.cached_property
    def digest(self) -> str:
        """sha256 over name, levels and every tensor's name and little-endian bytes."""
        sha = hashlib.sha256(json.dumps([self.name, self.levels]).encode())
        for name, tensor in self._tensors().items():
            sha.update(name.encode() + tensor.tobytes())
        return sha.hexdigest()

    def encode(self, videos: Sequence[Video]) -> list[Tokens]:
        """Both heads of windows uint8 RGB [1 + time · k, H, W, 3]."""
        return [self._encode(video) for video in videos]

    def decode_codes(self, windows: Sequence[Codes]) -> list[Video]:
        """Windows from their codes, each uint16 [1 + k, h, w]."""
        videos = []
        for codes in windows:
            check_codes(codes, fsq.SIZE)
            coordinates = [
                fsq.dequantise(frame.reshape(-1)) * self._basis(index).bounds
                for index, frame in enumerate(codes)
            ]
            videos.append(self._decode(coordinates, columns=codes.shape[2]))
        return videos

    def decode_latents(self, windows: Sequence[Latents]) -> list[Video]:
        """Windows from their latents, each float16 [16, 1 + k, h, w]."""
        videos = []
        for latents in windows:
            check_latents(latents, CHANNELS)
            channels_last = latents.astype(np.float32).transpose(1, 2, 3, 0)
            coordinates = [frame.reshape(-1, CHANNELS) for frame in channels_last]
            videos.append(self._decode(coordinates, columns=latents.shape[3]))
        return videos

    def _encode(self, video: Video) -> Tokens:
        check_video(video, self.rate)
        time, space = self.rate.time, self.rate.space
        rows, columns = (side // space for side in video.shape[1:3])
        patches = [*split_patches(video[:1], 1, space), *split_patches(video[1:], time, space)]
        codes, latents = [], []
        for index, frame_patches in enumerate(patches):
            basis = self._basis(index)
            coordinates = basis.project(frame_patches)
            digits = coordinates[:, : len(fsq.LEVELS)] / basis.bounds
            codes.append(fsq.quantise(digits).reshape(rows, columns))
            latents.append(coordinates.T.astype(np.float16).reshape(CHANNELS, rows, columns))
        return Tokens(np.stack(codes), np.stack(latents, axis=1))

    def _basis(self, latent_frame: int) -> Basis:
        return self.group if latent_frame else self.first

    def _decode(self, frames: list[Float32], columns: int) -> Video:
        groups = []
        for index, coordinates in enumerate(frames):
            time = self.rate.time if index else 1
            patches = self._basis(index).reconstruct(coordinates)
            groups.append(_join_patches(patches, time, self.rate.space, columns))
        return np.concatenate(groups)

    def _tensors(self) -> dict[str, Float32]:
        tensors = {
            f"{kind}.{part}": getattr(basis, part)
            for kind, basis in (("first", self.first), ("group", self.group))
            for part in _PARTS
        }
        tensors["latent_mean"] = np.asarray(self.latent_mean, np.float32)
        tensors["latent_std"] = np.asarray(self.latent_std, np.float32)
        return {name: np.ascontiguousarray(tensor, "<f4") for name, tensor in tensors.items()}

    def save(self, path: str | Path) -> None:
        """Writes tensors and card as one safetensors file."""
        from safetensors.numpy import save_file

        metadata = {"kind": "pca", "name": self.name, "rate": str(self.rate)}
        metadata |= {"digest": self.digest, "levels": json.dumps(self.levels)}
        save_file(self._tensors(), str(path), metadata={**self.card, **metadata})

    @classmethod
    def load(cls, path: str | Path) -> PcaTokenizer:
        """Reads what `save` wrote; raises `TokenizerLoadError` for other or altered files."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as file:
                metadata = dict(file.metadata() or {})
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, TypeError) as error:
            raise TokenizerLoadError(f"{path} cannot be read as safetensors: {error}") from error
        if metadata.get("kind") != "pca":
            raise TokenizerLoadError(
                f"{path} holds no PCA tokenizer; its metadata is {sorted(metadata)}"
            )
        rate = parse_rate(path, metadata)
        check_tensors(path, tensors, _shapes(rate))
        first, group = (
            Basis(*(tensors[f"{kind}.{part}"] for part in _PARTS)) for kind in ("first", "group")
        )
        mean, std = (tuple(tensors[key].tolist()) for key in ("latent_mean", "latent_std"))
        card = {key: metadata[key] for key in ("licence", "data", "psnr") if key in metadata}
        tokenizer = cls(rate, first, group, mean, std, card)
        check_digest(path, tokenizer.digest, metadata.get("digest"))
        return tokenizer


def _shapes(rate: Compression) -> dict[str, tuple[int, ...]]:
    """The tensors of a file and their shapes."""
    area = 3 * rate.space**2
    shapes: dict[str, tuple[int, ...]] = {"latent_mean": (CHANNELS,), "latent_std": (CHANNELS,)}
    for kind, size in (("first", area), ("group", area * rate.time)):
        parts = ((size,), (CHANNELS, size), (len(fsq.LEVELS),))
        shapes |= {f"{kind}.{part}": shape for part, shape in zip(_PARTS, parts, strict=True)}
    return shapes
