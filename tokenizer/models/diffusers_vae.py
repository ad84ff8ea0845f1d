"""The causal video autoencoders of Hugging Face's diffusers: Wan, Cosmos and others.

A folder, or a repository's folder on the hub, holds `config.json`, whose `_class_name` says which
network it is, and weights as safetensors; pickled weights are not read. Latents are the posterior's
mean, so that they are deterministic. Wan encodes a window in chunks, one frame and then four at a
time, and keeps its state in the module itself: no two threads may share one.

Supported are the classes below, each tested at many lengths with random weights: right shapes both
ways, and no latent that depends on a later frame. CogVideoX and the first HunyuanVideo are not:
they normalise over time, so that even the first latent depends on later frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from curation.extras import install_command
from curation.torchvision_ops import declare_missing_ops
from tokenizer.models.external import ExternalTokenizer, files_digest, pool_statistics
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import TokenizerLoadError

FAMILIES = {
    "AutoencoderKLWan": "wan",
    "AutoencoderKLCosmos": "cosmos-vae",
    "AutoencoderKLHunyuanVideo15": "hunyuanvideo15",
    "AutoencoderKLLTXVideo": "ltx",
    "AutoencoderKLMagvit": "easyanimate",
    "AutoencoderKLMochi": "mochi",
}
"""Supported classes, and the names of their tokenizers."""

_UNBATCHED = ("AutoencoderKLHunyuanVideo15",)
"""Classes whose attention fails on batches; diffusers can slice those."""

_WEIGHTS = "diffusion_pytorch_model.safetensors"
_INDEX = f"{_WEIGHTS}.index.json"
_HUB_FILES = ("config.json", _WEIGHTS, _INDEX, "diffusion_pytorch_model-*.safetensors")


class DiffusersVae(ExternalTokenizer):
    """An autoencoder in a local folder, or on the hub as `owner/repository/folder`.

    Raises `FileNotFoundError` for missing files, and `TokenizerLoadError` for an unsupported class,
    files that are damaged or do not fit each other, and a missing diffusers package.
    """

    def __init__(self, path_or_id: str | Path, device_config: DeviceConfig | None = None) -> None:
        super().__init__(str(path_or_id), device_config)
        folder = _folder(str(path_or_id))
        config = _config(folder)
        weights = _weights(folder)
        self._vae = self._load_vae(folder, config["_class_name"])
        self._probe()
        self.name = f"{FAMILIES[config['_class_name']]}-{self.rate}"
        self.digest = files_digest([folder / "config.json", *weights])
        self.latent_mean, self.latent_std = self._statistics()

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """See `ExternalTokenizer`."""
        latents: Tensor = self._vae.encode(pixels).latent_dist.mode()
        return latents

    def decode_tokens(self, tokens: Tensor) -> Tensor:
        """See `ExternalTokenizer`."""
        pixels: Tensor = self._vae.decode(tokens).sample
        return pixels

    def _load_vae(self, folder: Path, name: str) -> Any:
        vae_class = getattr(_diffusers(), name, None)
        if vae_class is None:
            raise TokenizerLoadError(f"{folder}: this diffusers has no {name}; install a newer one")
        try:
            vae, report = vae_class.from_pretrained(
                str(folder),
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                torch_dtype=self.dtype,
                output_loading_info=True,
            )
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            message = " ".join(str(error).split())
            raise TokenizerLoadError(
                f"{folder}: weights do not fit config.json: {message}"
            ) from error
        # Tensors that a file lacks diffusers fills with random numbers and a warning.
        differing = sorted({*report["missing_keys"], *report["unexpected_keys"]})
        if differing:
            raise TokenizerLoadError(
                f"{folder}: weights do not fit config.json: {len(differing)} tensors are missing or"
                f" left over, such as {', '.join(differing[:3])}"
            )
        if name in _UNBATCHED:
            vae.enable_slicing()
        return vae.eval().requires_grad_(False).to(self.device_config.device)

    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        config = self._vae.config
        buffers = {name: buffer.tolist() for name, buffer in self._vae.named_buffers()}
        mean = buffers.get("latents_mean", config.get("latents_mean"))
        std = buffers.get("latents_std", config.get("latents_std"))
        scale = config.get("scaling_factor") or 1.0
        if mean is None or std is None:
            mean, std = [0.0] * self.channels, [1.0] * self.channels
        return pool_statistics(mean, [value / scale for value in std], self.channels)


def _diffusers() -> Any:
    declare_missing_ops()
    try:
        import diffusers
    except ModuleNotFoundError as error:
        raise TokenizerLoadError(
            f"{error.name} is not installed: {install_command('diffusers')}"
        ) from error
    return diffusers


def _folder(path_or_id: str) -> Path:
    """The local folder, downloaded from the hub if there is none of that name."""
    local = Path(path_or_id).expanduser()
    owner, _, path = path_or_id.partition("/")
    if local.is_dir() or local.is_absolute() or owner in ("", ".", "..", "~") or not path:
        return local
    _diffusers()
    from huggingface_hub import snapshot_download

    name, _, subfolder = path.partition("/")
    patterns = [f"{subfolder}/{file}" if subfolder else file for file in _HUB_FILES]
    try:
        snapshot = snapshot_download(f"{owner}/{name}", allow_patterns=patterns)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{path_or_id} is no local folder, and the hub did not give {owner}/{name}: {error}"
        ) from error
    return Path(snapshot) / subfolder


def _config(folder: Path) -> Mapping[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"no {file}; name the folder of the autoencoder itself, often `vae` inside a pipeline's"
        )
    try:
        config = json.loads(file.read_text())
        name = config["_class_name"]
    except (ValueError, KeyError, TypeError) as error:
        raise TokenizerLoadError(f"{file} is no diffusers configuration: {error!r}") from error
    if name not in FAMILIES:
        raise TokenizerLoadError(
            f"{folder} holds {name}, which is not supported; {', '.join(FAMILIES)} are"
        )
    if config.get("timestep_conditioning"):
        raise TokenizerLoadError(
            f"{folder}: its decoder also removes noise (timestep_conditioning), so that latents"
            " alone do not decide what it decodes; take weights without it"
        )
    return config  # type: ignore[no-any-return]


def _weights(folder: Path) -> list[Path]:
    """The weight files, each opened to see that it is intact."""
    from safetensors import SafetensorError, safe_open

    files = [folder / _WEIGHTS]
    if (folder / _INDEX).is_file():
        weight_map = json.loads((folder / _INDEX).read_text())["weight_map"]
        files = [folder / name for name in sorted(set(weight_map.values()))]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"no {file}; weights are read from safetensors alone")
        try:
            with safe_open(str(file), framework="pt"):
                pass
        except SafetensorError as error:
            raise TokenizerLoadError(f"{file} is damaged, download it again: {error}") from error
    return files
