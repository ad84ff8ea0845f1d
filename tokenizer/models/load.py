"""Tokenizers by name."""

from __future__ import annotations

from pathlib import Path

from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Tokenizer, TokenizerLoadError

_WEIGHTS = Path(__file__).parents[1] / "weights"


def shipped() -> list[str]:
    """Names of the tokenizers whose weights come with the package."""
    return sorted(path.stem for path in _WEIGHTS.glob("*.safetensors"))


def load(name: str, device_config: DeviceConfig | None = None) -> Tokenizer:
    """A tokenizer by name.

    `pca-8x8x8`         a shipped one
    `mine.safetensors`  one that `reelmill tokenizer fit` or `train` wrote
    `cosmos:FOLDER`     NVIDIA's TorchScript modules, which can run code: see docs/tokenizers.md
    `diffusers:ID`      a video autoencoder of the diffusers library, by folder or hub id

    `device_config` is by default one window at a time on the CPU; PCA ignores it. Raises
    `ValueError` for an unknown name or weights that cannot be used, and `FileNotFoundError` for a
    path without a file.
    """
    device_config = device_config or DeviceConfig()
    family, _, source = name.partition(":")
    if source and family == "cosmos":
        from tokenizer.models.cosmos import CosmosJit

        return CosmosJit(source, device_config)
    if source and family == "diffusers":
        from tokenizer.models.diffusers_vae import DiffusersVae

        return DiffusersVae(source, device_config)
    if name.endswith(".safetensors"):
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"no tokenizer weights at {path}")
    elif name in shipped():
        path = _WEIGHTS / f"{name}.safetensors"
    else:
        raise TokenizerLoadError(
            f"unknown tokenizer {name!r}: give one of {', '.join(shipped())}, the path of a"
            " .safetensors file that `reelmill tokenizer fit` or `train` wrote, cosmos:FOLDER, or"
            " diffusers:FOLDER_OR_ID"
        )
    return _load_file(path, device_config)


def _load_file(path: Path, device_config: DeviceConfig) -> Tokenizer:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            kind = (file.metadata() or {}).get("kind")
    except SafetensorError as error:
        raise TokenizerLoadError(f"{path} cannot be read as safetensors: {error}") from error
    if kind == "causal":
        from tokenizer.models.causal.tokenizer import CausalTokenizer

        return CausalTokenizer.load(path, device_config)
    from tokenizer.models.pca import PcaTokenizer

    return PcaTokenizer.load(path)
