"""The causal video autoencoders of Hugging Face's diffusers: Wan, Cosmos and others.

A folder, or a repository's folder on the hub, holds `config.json`, whose `_class_name` says which
network it is, and weights as safetensors; pickled weights are not read. Latents are the posterior's
mean, so that they repeat. Wan works through a window in pieces, one frame and then four at a time,
and carries what it has seen in the module itself: no two threads may share one.

Taken are the classes below, each run at many lengths with random weights: shapes right both ways,
and no latent that sees a later frame. CogVideoX and the first HunyuanVideo are not: they normalise
over time, so that even the first latent depends on later frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from curation.torchvision_ops import mend_torchvision
from tokenizer.models.external import PublishedTokenizer, digest_of, pooled
from tokenizer.models.inference import Placement

FAMILIES = {
    "AutoencoderKLWan": "wan",
    "AutoencoderKLCosmos": "cosmos-vae",
    "AutoencoderKLHunyuanVideo15": "hunyuanvideo15",
    "AutoencoderKLLTXVideo": "ltx",
    "AutoencoderKLMagvit": "easyanimate",
    "AutoencoderKLMochi": "mochi",
}
"""The classes that are taken, and what their tokenizers are called."""

_ONE_BY_ONE = ("AutoencoderKLHunyuanVideo15",)
"""Classes whose attention fails on batches; diffusers can slice those."""

_WEIGHTS = "diffusion_pytorch_model.safetensors"
_INDEX = f"{_WEIGHTS}.index.json"
_FETCHED = ("config.json", _WEIGHTS, _INDEX, "diffusion_pytorch_model-*.safetensors")


class DiffusersVae(PublishedTokenizer):
    """An autoencoder in a local folder, or on the hub as `owner/repository/folder`.

    Raises `FileNotFoundError` for what is not there, and `ValueError` for a class that is not
    taken, files that are damaged or do not fit each other, and a missing diffusers package.
    """

    def __init__(self, path_or_id: str | Path, placement: Placement | None = None) -> None:
        super().__init__(str(path_or_id), placement)
        folder = _folder(str(path_or_id))
        config = _config(folder)
        weights = _weights(folder)
        self._vae = self._loaded(folder, config["_class_name"])
        self._measure()
        self.name = f"{FAMILIES[config['_class_name']]}-{self.rate}"
        self.digest = digest_of([folder / "config.json", *weights])
        self.latent_mean, self.latent_std = self._statistics()

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """See `PublishedTokenizer`."""
        latents: Tensor = self._vae.encode(pixels).latent_dist.mode()
        return latents

    def decode_tokens(self, tokens: Tensor) -> Tensor:
        """See `PublishedTokenizer`."""
        pixels: Tensor = self._vae.decode(tokens).sample
        return pixels

    def _loaded(self, folder: Path, name: str) -> Any:
        kind = getattr(_diffusers(), name, None)
        if kind is None:
            raise ValueError(f"{folder}: this diffusers has no {name}; install a newer one")
        try:
            vae, report = kind.from_pretrained(
                str(folder),
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                torch_dtype=self.dtype,
                output_loading_info=True,
            )
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            words = " ".join(str(error).split())
            raise ValueError(f"{folder}: weights do not fit config.json: {words}") from error
        # What a file lacks diffusers fills with random numbers and a warning.
        differing = sorted({*report["missing_keys"], *report["unexpected_keys"]})
        if differing:
            raise ValueError(
                f"{folder}: weights do not fit config.json: {len(differing)} tensors are missing or"
                f" left over, such as {', '.join(differing[:3])}"
            )
        if name in _ONE_BY_ONE:
            vae.enable_slicing()
        return vae.eval().requires_grad_(False).to(self.placement.device)

    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        config = self._vae.config
        held = {name: buffer.tolist() for name, buffer in self._vae.named_buffers()}
        mean = held.get("latents_mean", config.get("latents_mean"))
        std = held.get("latents_std", config.get("latents_std"))
        scale = config.get("scaling_factor") or 1.0
        if mean is None or std is None:
            mean, std = [0.0] * self.channels, [1.0] * self.channels
        return pooled(mean, [value / scale for value in std], self.channels)


def _diffusers() -> Any:
    mend_torchvision()
    try:
        import diffusers
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{error.name} is not installed: pip install 'reelmill[diffusers]'"
        ) from error
    return diffusers


def _folder(path_or_id: str) -> Path:
    """The local folder, fetched from the hub if there is none of that name."""
    local = Path(path_or_id).expanduser()
    owner, _, rest = path_or_id.partition("/")
    if local.is_dir() or local.is_absolute() or owner in ("", ".", "..", "~") or not rest:
        return local
    _diffusers()
    from huggingface_hub import snapshot_download

    name, _, inside = rest.partition("/")
    wanted = [f"{inside}/{file}" if inside else file for file in _FETCHED]
    try:
        fetched = snapshot_download(f"{owner}/{name}", allow_patterns=wanted)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{path_or_id} is no local folder, and the hub did not give {owner}/{name}: {error}"
        ) from error
    return Path(fetched) / inside


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
        raise ValueError(f"{file} is no diffusers configuration: {error!r}") from error
    if name not in FAMILIES:
        raise ValueError(f"{folder} holds {name}, which is not taken; {', '.join(FAMILIES)} are")
    if config.get("timestep_conditioning"):
        raise ValueError(
            f"{folder}: its decoder also removes noise (timestep_conditioning), so that latents"
            " alone do not decide what it decodes; take weights without it"
        )
    return config  # type: ignore[no-any-return]


def _weights(folder: Path) -> list[Path]:
    """The weight files, each opened to see that it is whole."""
    from safetensors import SafetensorError, safe_open

    files = [folder / _WEIGHTS]
    if (folder / _INDEX).is_file():
        listed = json.loads((folder / _INDEX).read_text())["weight_map"]
        files = [folder / name for name in sorted(set(listed.values()))]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"no {file}; weights are read from safetensors alone")
        try:
            with safe_open(str(file), framework="pt"):
                pass
        except SafetensorError as error:
            raise ValueError(f"{file} is damaged, download it again: {error}") from error
    return files
