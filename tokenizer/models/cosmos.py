"""NVIDIA's Cosmos tokenizers as they are published: TorchScript, continuous (CV) and discrete (DV).

A folder such as `Cosmos-0.1-Tokenizer-DV8x16x16` holds `encoder.jit` and `decoder.jit`. Both take a
batch and leave shapes to the caller; the encoder returns a tuple that starts with the tokens: the
latents, or int32 indices in mixed radix, lowest digit first, which is also the order of
`tokenizer.models.fsq`. (The module's own codebook puts 8 levels at -1, -0.75 … 0.75 where `fsq`
spreads them over -1 to 1: the digits agree, the vectors do not.) NVIDIA, "Cosmos World Foundation
Model Platform for Physical AI", 2025. Encoding costs about 417 kFLOP a pixel at 8x8x8.

TorchScript is a program: loading it trusts whoever made the file, so it is loaded only from a
folder that the user names. Weights are published in bfloat16; on a CPU they run in fp32 alone,
because torch has no bfloat16 pooling there.
"""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokenizer.models import fsq
from tokenizer.models.external import ExternalTokenizer, files_digest, pool_statistics
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import TokenizerLoadError

_STATISTICS = "mean_std.pt"
_NAME = re.compile(r"([CD])V(\d+x\d+x\d+)")


class CosmosJit(ExternalTokenizer):
    """A folder with `encoder.jit` and `decoder.jit` as a `Tokenizer`.

    Kind and rate are probed, and compared with the folder's name where that states them.
    `latent_mean` and `latent_std` come from a `mean_std.pt` beside the modules, as NVIDIA publishes
    with some; without one they are 0 and 1, which leaves latents as they are.

    Raises `FileNotFoundError` for a missing module and `TokenizerLoadError` for one that cannot be
    read, does not run at this precision, or contradicts its folder's name.
    """

    def __init__(self, folder: str | Path, device_config: DeviceConfig | None = None) -> None:
        super().__init__(str(folder), device_config)
        if self.device_config.compile:
            raise TokenizerLoadError(
                f"{folder}: torch.compile takes no TorchScript; set compile: false"
            )
        files = [Path(folder) / name for name in ("encoder.jit", "decoder.jit")]
        for file in files:
            if not file.is_file():
                raise FileNotFoundError(f"no {file}: a Cosmos tokenizer is a pair of modules")
        self._encoder, self._decoder = (self._load_module(file) for file in files)
        self._probe()
        kind = "C" if self.channels else "D"
        stated = _NAME.search(Path(folder).resolve().name)
        if stated and stated.groups() != (kind, str(self.rate)):
            raise TokenizerLoadError(
                f"{self.source} is named {stated[0]} but encodes as {kind}V{self.rate}; is it"
                " another tokenizer's folder?"
            )
        self.name = f"cosmos-{kind.lower()}v-{self.rate}"
        self.digest = files_digest(files)
        if self.channels:
            self.latent_mean, self.latent_std = self._statistics(Path(folder) / _STATISTICS)
        else:
            self.levels = self._levels()

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """See `ExternalTokenizer`."""
        return _tokens_of(self._encoder, pixels)

    def decode_tokens(self, tokens: Tensor) -> Tensor:
        """See `ExternalTokenizer`."""
        return _tokens_of(self._decoder, tokens)

    def _load_module(self, file: Path) -> Any:
        try:
            module = torch.jit.load(  # type: ignore[no-untyped-call]
                str(file), map_location=self.device_config.device
            )
        except RuntimeError as error:
            raise TokenizerLoadError(
                f"{file} cannot be read as TorchScript, download it again: {_first_line(error)}"
            ) from error
        return module.eval().to(self.dtype)

    def _levels(self) -> tuple[int, ...]:
        stated = dict(self._encoder.state_dict()).get("quantizer._levels")
        levels = fsq.LEVELS if stated is None else tuple(int(level) for level in stated)
        if min(levels, default=0) < 1 or math.prod(levels) > 2**16:
            raise TokenizerLoadError(
                f"{self.source}: the codes of levels {levels} do not fit 16 bits"
            )
        return levels

    def _statistics(self, file: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if not file.is_file():
            return (0.0,) * self.channels, (1.0,) * self.channels
        try:
            # weights_only unpickles tensors and containers, and calls nothing that a file names.
            mean, std = torch.load(file, map_location="cpu", weights_only=True)
            return pool_statistics(mean.flatten().tolist(), std.flatten().tolist(), self.channels)
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise TokenizerLoadError(
                f"{file} holds no mean and deviation: {_first_line(error)}"
            ) from error


def _tokens_of(module: Any, tensor: Tensor) -> Tensor:
    # The optimising executor rewrites a module after its first runs, and with it the last bits.
    with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        output = module(tensor)
    first = output[0] if isinstance(output, list | tuple) and output else output
    if not isinstance(first, Tensor):
        raise TokenizerLoadError(f"a module gives {type(first).__name__} where a tensor should be")
    return first


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
