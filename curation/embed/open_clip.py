"""The open_clip library, imported here alone: finding a model's weights, loading it, running it.

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
from curation.storage import file_sha256
from curation.torchvision_ops import mend_torchvision

Features = npt.NDArray[np.float32]
Precision = Literal["fp32", "bf16", "fp16"]
_CONFIG = "open_clip_config.json"
_HUB, _LOCAL = "hf-hub:", "local-dir:"


class ModelError(ReelmillError, ValueError):
    """A model that is not to be had, or cannot be loaded; the message says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A model whose weights lie on this machine."""

    architecture: str
    """As `open_clip.create_model` takes it."""
    pretrained: str | None
    """Tag or file of weights; None where the architecture's place holds them."""
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
        """Names architecture, preprocessing and weights: 12 hexadecimal digits."""
        stat = self.weights.stat()
        weights = _sha256(str(self.weights), stat.st_size, stat.st_mtime_ns)
        said = json.dumps(self.config, sort_keys=True) + weights
        return hashlib.sha256(said.encode()).hexdigest()[:12]


@functools.lru_cache(maxsize=16)
def _sha256(path: str, size: int, modified: int) -> str:
    """Reads a file once as long as it stays as it is."""
    return file_sha256(path)


def find(name: str) -> Checkpoint:
    """The checkpoint of that name, fetched if the name is one of the hub's.

    `ModelError` for a name that is none of the forms above, weights that are not to be had, a
    damaged configuration, or without the package.
    """
    if name.startswith(_HUB):
        return _on_the_hub(name)
    if Path(name).expanduser().is_dir():
        return _in_folder(Path(name).expanduser())
    architecture, _, rest = name.partition(":")
    known = library().list_models()
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, 1, 0.6)
        hint = f"did you mean {near[0]!r}?" if near else "see `open_clip.list_models()`"
        raise ModelError(
            f"{name!r} is no folder, and open_clip has no model {architecture!r}; {hint}"
        )
    return _known(architecture, rest)


def _known(architecture: str, rest: str) -> Checkpoint:
    """Of an architecture that open_clip knows, with a tag or a file."""
    clip = library()
    config: dict[str, Any] = {"model_cfg": clip.get_model_config(architecture)}
    if Path(rest).expanduser().is_file():
        weights = Path(rest).expanduser()
        return Checkpoint(architecture, str(weights), weights, config)
    tag = clip.get_pretrained_cfg(architecture, rest)
    if not tag:
        tags = ", ".join(clip.list_pretrained_tags_by_model(architecture)) or "none"
        raise ModelError(
            f"{architecture}:{rest}: {rest!r} is neither a file of weights nor a checkpoint that "
            f"open_clip knows for {architecture}; those are: {tags}"
        )
    try:
        weights = Path(clip.download_pretrained(tag))
    except Exception as error:  # whatever the hub's client raises
        raise ModelError(_unreached(f"{architecture}:{rest}", error)) from error
    keys = ("mean", "std", "interpolation", "resize_mode")
    config["preprocess_cfg"] = {key: tag[key] for key in keys if key in tag}
    return Checkpoint(architecture, rest, weights, config)


def _on_the_hub(name: str) -> Checkpoint:
    fetch = library().pretrained.download_pretrained_from_hf
    place = name.removeprefix(_HUB)
    try:
        config = _read(Path(fetch(place, filename=_CONFIG)))
        return Checkpoint(name, None, Path(fetch(place)), config)
    except OSError as error:
        raise ModelError(_unreached(name, error)) from error


def _in_folder(folder: Path) -> Checkpoint:
    if not (folder / _CONFIG).is_file():
        raise ModelError(
            f"{folder} holds no {_CONFIG}; for bare weights name the architecture too, as "
            "NAME:FILE, such as ViT-B-32:weights.safetensors"
        )
    config = _read(folder / _CONFIG)
    weights = library().factory._find_checkpoint_in_dir(folder)
    if weights is None:
        raise ModelError(f"{folder} holds no weights (.safetensors, .bin or .pth)")
    return Checkpoint(f"{_LOCAL}{folder}", None, Path(weights), config)


def _read(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text())
        config["model_cfg"]["embed_dim"] + 0
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} is no configuration of open_clip: {error!r}") from error
    return dict(config)


def _unreached(name: str, error: Exception) -> str:
    words = " ".join(str(error).split())
    return (
        f"the weights of {name} are not cached here and the hub did not give them ({words}); fetch "
        "them on a machine that reaches it, and name the folder, or NAME:FILE"
    )


def library() -> Any:
    """The library itself, to train a model of its kind with; `ModelError` if not installed."""
    try:
        mend_torchvision()
        import open_clip
    except ModuleNotFoundError as error:
        raise ModelError(
            f"OpenClip needs {error.name}, which is not installed: pip install 'reelmill[clip]'"
        ) from error
    return open_clip


class Model:
    """A loaded model: pictures and words to vectors of unit length."""

    def __init__(self, checkpoint: Checkpoint, device: str, precision: Precision) -> None:
        """`ModelError` for weights that do not fit the architecture."""
        import torch

        clip = library()
        try:
            self._model, self._preprocess = clip.create_model_from_pretrained(
                checkpoint.architecture, checkpoint.pretrained, precision=precision, device=device
            )
        except Exception as error:  # whatever damaged weights or a foreign pickle raise
            words = " ".join(str(error).split())[:300]
            raise ModelError(f"{checkpoint.weights} cannot be loaded: {words}") from error
        self._model.eval().requires_grad_(False)
        self._tokenizer = clip.get_tokenizer(checkpoint.architecture)
        self._device = torch.device(device)
        self._dtype = clip.get_input_dtype(precision) or torch.float32
        self.dim = checkpoint.dim
        self.scale = float(self._model.logit_scale.exp())
        """What the model multiplies similarities by before it compares them."""

    def prepared(self, rgb: Picture) -> Any:
        """One picture, resized, cropped and normalised as the model was trained: a tensor."""
        from PIL import Image

        return self._preprocess(Image.fromarray(rgb))

    def pictures(self, prepared: Sequence[Any]) -> Features:
        """Vectors [n, dim] of prepared pictures, in one batch."""
        import torch

        batch = torch.stack(list(prepared)).to(self._device, self._dtype)
        with torch.inference_mode():
            return self._plain(self._model.encode_image(batch))

    def texts(self, words: Sequence[str]) -> Features:
        """Vectors [n, dim] of texts, each cut at the model's context length."""
        import torch

        with torch.inference_mode():
            return self._plain(self._model.encode_text(self._tokenizer(words).to(self._device)))

    def _plain(self, features: Any) -> Features:
        import torch

        unit = torch.nn.functional.normalize(features.float(), dim=-1)
        return np.asarray(unit.cpu().numpy(), np.float32)
