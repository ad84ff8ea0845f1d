"""From a tokenizer's name to a tokenizer."""

from __future__ import annotations

from pathlib import Path

from tokenizer.interface import Tokenizer
from tokenizer.pca import PcaTokenizer

_WEIGHTS = Path(__file__).with_name("weights")


def shipped() -> list[str]:
    """Names of the tokenizers whose weights come with the package."""
    return sorted(path.stem for path in _WEIGHTS.glob("*.safetensors"))


def load(name_or_path: str) -> Tokenizer:
    """A shipped tokenizer by name, or one from a `.safetensors` file.

    Raises `ValueError` for an unknown name and `FileNotFoundError` for a path without a file.
    """
    if name_or_path.endswith(".safetensors"):
        path = Path(name_or_path)
        if not path.is_file():
            raise FileNotFoundError(f"no tokenizer weights at {path}")
        return PcaTokenizer.load(path)
    if name_or_path not in shipped():
        raise ValueError(
            f"unknown tokenizer {name_or_path!r}: give one of {', '.join(shipped())}, or the path"
            " of a .safetensors file that `reelmill tokenizer fit` wrote"
        )
    return PcaTokenizer.load(_WEIGHTS / f"{name_or_path}.safetensors")
