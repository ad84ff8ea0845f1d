"""Models of open_clip, imported only here: finding the weights, loading and running a model.

A model is named as

    NAME:TAG            an architecture and a checkpoint that open_clip knows, such as
                        `ViT-B-32:laion2b_s34b_b79k`; fetched from the hub once, then cached
    NAME:FILE           an architecture and a file of weights (.safetensors, .pt, .bin)
    hf-hub:OWNER/NAME   a repository of the hub in open_clip's form
    FOLDER              a local folder in that form: open_clip_config.json and the weights

Only the first and third ever open a connection. Pickled weights are read with `weights_only`.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curation.embed.base import Picture
from curation.errors import ReelmillError
from curation.extras import install_command
from curation.storage import file_sha256
from curation.torchvision_ops import declare_missing_ops

Features = npt.NDArray[np.float32]
Precision = Literal["fp32", "bf16", "fp16"]
_CONFIG = "open_clip_config.json"
_HUB, _LOCAL = "hf-hub:", "local-dir:"


class ModelError(ReelmillError, ValueError):
    """A model is unavailable or cannot be loaded; the message says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A model whose weights are on this machine."""

    architecture: str
    """As `open_clip.create_model` takes it."""
    pretrained: str | None
    """Tag or file of weights; None where the architecture is a folder or repository with them."""
    weights: Path
    """The file of weights."""
    config: Mapping[str, Any]
    """Architecture and preprocessing."""

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        return int(self.config["model_cfg"]["embed_dim"])

    @functools.cached_property
    def digest(self) -> str:
        """Digest of architecture, preprocessing and weights: 12 hexadecimal digits."""
        stat = self.weights.stat()
        weights = _sha256(str(self.weights), stat.st_size, stat.st_mtime_ns)
        content = json.dumps(self.config, sort_keys=True) + weights
        return hashlib.sha256(content.encode()).hexdigest()[:12]


@functools.lru_cache(maxsize=16)
def _sha256(path: str, size_bytes: int, mtime_ns: int) -> str:
    """Reads a file only once while it is unchanged."""
    return file_sha256(path)


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint of that name, downloaded if the name is one of the hub's.

    Raises `ModelError` for a name of no known form, unavailable weights, a damaged configuration,
    and without the package.
    """
    if name.startswith(_HUB):
        return _from_hub(name)
    if Path(name).expanduser().is_dir():
        return _from_folder(Path(name).expanduser())
    architecture, _, tag_or_file = name.partition(":")
    architectures = import_open_clip().list_models()
    if architecture not in architectures:
        similar = difflib.get_close_matches(architecture, architectures, 1, 0.6)
        hint = f"did you mean {similar[0]!r}?" if similar else "see `open_clip.list_models()`"
        raise ModelError(
            f"{name!r} is no folder, and open_clip has no model {architecture!r}; {hint}"
        )
    return _from_architecture(architecture, tag_or_file)


def _from_architecture(architecture: str, tag_or_file: str) -> Checkpoint:
    open_clip = import_open_clip()
    config: dict[str, Any] = {"model_cfg": open_clip.get_model_config(architecture)}
    if Path(tag_or_file).expanduser().is_file():
        weights = Path(tag_or_file).expanduser()
        return Checkpoint(architecture, str(weights), weights, config)
    pretrained = open_clip.get_pretrained_cfg(architecture, tag_or_file)
    if not pretrained:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
        raise ModelError(
            f"{architecture}:{tag_or_file}: {tag_or_file!r} is neither a file of weights nor a "
            f"checkpoint that open_clip knows for {architecture}; those are: {tags}"
        )
    try:
        weights = Path(open_clip.download_pretrained(pretrained))
    except Exception as error:  # of the hub's client
        raise _download_error(f"{architecture}:{tag_or_file}", error) from error
    keys = ("mean", "std", "interpolation", "resize_mode")
    config["preprocess_cfg"] = {key: pretrained[key] for key in keys if key in pretrained}
    return Checkpoint(architecture, tag_or_file, weights, config)


def _from_hub(name: str) -> Checkpoint:
    download = import_open_clip().pretrained.download_pretrained_from_hf
    repository = name.removeprefix(_HUB)
    try:
        config = _read_config(Path(download(repository, filename=_CONFIG)))
        return Checkpoint(name, None, Path(download(repository)), config)
    except OSError as error:
        raise _download_error(name, error) from error


def _from_folder(folder: Path) -> Checkpoint:
    if not (folder / _CONFIG).is_file():
        raise ModelError(
            f"{folder} holds no {_CONFIG}; for bare weights name the architecture too, as "
            "NAME:FILE, such as ViT-B-32:weights.safetensors"
        )
    config = _read_config(folder / _CONFIG)
    weights = import_open_clip().factory._find_checkpoint_in_dir(folder)
    if weights is None:
        raise ModelError(f"{folder} holds no weights (.safetensors, .bin or .pth)")
    return Checkpoint(f"{_LOCAL}{folder}", None, Path(weights), config)


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text())
        config["model_cfg"]["embed_dim"] + 0
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} is no configuration of open_clip: {error!r}") from error
    return dict(config)


def _download_error(name: str, error: Exception) -> ModelError:
    message = " ".join(str(error).split())
    return ModelError(
        f"the weights of {name} are not cached here and the hub did not give them ({message}); "
        "fetch them on a machine that reaches it, and name the folder, or NAME:FILE"
    )


def import_open_clip() -> Any:
    """The package `open_clip`; `ModelError` if it is not installed."""
    try:
        declare_missing_ops()
        import open_clip
    except ModuleNotFoundError as error:
        raise ModelError(
            f"OpenClip needs {error.name}, which is not installed: {install_command('clip')}"
        ) from error
    return open_clip


class ClipModel:
    """A loaded model: encodes pictures and words as vectors of unit length."""

    def __init__(self, checkpoint: Checkpoint, device: str, precision: Precision) -> None:
        """`ModelError` for weights that do not fit the architecture."""
        import torch

        open_clip = import_open_clip()
        try:
            self._model, self._preprocess = open_clip.create_model_from_pretrained(
                checkpoint.architecture, checkpoint.pretrained, precision=precision, device=device
            )
        except Exception as error:  # of damaged weights or a foreign pickle
            message = " ".join(str(error).split())[:300]
            raise ModelError(f"{checkpoint.weights} cannot be loaded: {message}") from error
        self._model.eval().requires_grad_(False)
        self._tokenizer = open_clip.get_tokenizer(checkpoint.architecture)
        self._device = torch.device(device)
        self._dtype = open_clip.get_input_dtype(precision) or torch.float32
        self.dim = checkpoint.dim
        self.scale = float(self._model.logit_scale.exp())
        """Factor of similarities before a softmax (the inverse temperature)."""

    def preprocess(self, rgb: Picture) -> Any:
        """One picture resized, cropped and normalised as in training: a tensor."""
        from PIL import Image

        return self._preprocess(Image.fromarray(rgb))

    def encode_images(self, pictures: Sequence[Any]) -> Features:
        """Vectors [n, dim] of preprocessed pictures, in one batch."""
        import torch

        batch = torch.stack(list(pictures)).to(self._device, self._dtype)
        with torch.inference_mode():
            return _unit_vectors(self._model.encode_image(batch))

    def encode_texts(self, words: Sequence[str]) -> Features:
        """Vectors [n, dim] of texts, each cut at the model's context length."""
        import torch

        with torch.inference_mode():
            tokens = self._tokenizer(words).to(self._device)
            return _unit_vectors(self._model.encode_text(tokens))


def _unit_vectors(features: Any) -> Features:
    import torch

    unit = torch.nn.functional.normalize(features.float(), dim=-1)
    return np.asarray(unit.cpu().numpy(), np.float32)
