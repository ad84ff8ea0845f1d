"""From a tokenizer's name to a tokenizer."""

from __future__ import annotations

from pathlib import Path

from tokenizer.models.inference import Placement
from tokenizer.models.interface import Tokenizer

_WEIGHTS = Path(__file__).parents[1] / "weights"


def shipped() -> list[str]:
    """Names of the tokenizers whose weights come with the package."""
    return sorted(path.stem for path in _WEIGHTS.glob("*.safetensors"))


def load(name: str, placement: Placement | None = None) -> Tokenizer:
    """A tokenizer by name.

    `pca-8x8x8`         a shipped one
    `mine.safetensors`  one that `reelmill tokenizer fit` or `train` wrote
    `cosmos:FOLDER`     NVIDIA's TorchScript modules, which can run code: see docs/tokenizers.md
    `diffusers:ID`      a video autoencoder of the diffusers library, by folder or hub id

    `placement` says where a network computes, one window at a time on the CPU unless told; PCA
    heeds none. Raises `ValueError` for an unknown name or weights that cannot be used, and
    `FileNotFoundError` for a path without a file.
    """
    placement = placement or Placement()
    family, _, rest = name.partition(":")
    if rest and family == "cosmos":
        from tokenizer.models.cosmos import CosmosJit

        return CosmosJit(rest, placement)
    if rest and family == "diffusers":
        from tokenizer.models.diffusers_vae import DiffusersVae

        return DiffusersVae(rest, placement)
    if name.endswith(".safetensors"):
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"no tokenizer weights at {path}")
        return _from_file(path, placement)
    if name not in shipped():
        raise ValueError(
            f"unknown tokenizer {name!r}: give one of {', '.join(shipped())}, the path of a"
            " .safetensors file that `reelmill tokenizer fit` or `train` wrote, cosmos:FOLDER, or"
            " diffusers:FOLDER_OR_ID"
        )
    return _from_file(_WEIGHTS / f"{name}.safetensors", placement)


def _from_file(path: Path, placement: Placement) -> Tokenizer:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            kind = (file.metadata() or {}).get("kind")
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from error
    if kind == "causal":
        from tokenizer.models.causal.tokenizer import CausalTokenizer

        return CausalTokenizer.load(path, placement)
    from tokenizer.models.pca import PcaTokenizer

    return PcaTokenizer.load(path)
