"""What the tokenizers kept of the clips, and what the tokens weigh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.report.output import Floats, Output
from tokenizer.shards import TokenWindow
from tokenizer.tokenize import TokenizedClip

_WINDOW = ["frames", "pixel_height", "pixel_width", "latent_frames", "latent_height"]
_WINDOW += ["latent_width", "channels"]
_CODE_BYTES = 2
_LATENT_BYTES = 2


@dataclass(frozen=True)
class Tokens:
    """The tokens of the kept clips by one tokenizer."""

    name: str
    """The table's name without its folder."""
    clips: int
    psnr_codes_db: Floats
    """One number a clip [clips]."""
    psnr_latents_db: Floats
    """The same of the continuous head."""
    windows: int
    codes: int
    """Discrete tokens."""
    pixel_bytes: int
    """The real frames that were encoded, at 3 bytes a pixel."""
    codes_bytes: int
    latents_bytes: int


def gather(output: Output) -> list[Tokens]:
    """One entry a tokenizer; the one that the newest run filled comes first."""
    names = output.dataset.catalog.names("tokenized")
    first = output.current("tokenized", "tokenize")
    names.sort(key=lambda name: (name != first, name))
    found = [_tokens(output, name) for name in names]
    return [tokens for tokens in found if tokens.clips]


def _tokens(output: Output, name: str) -> Tokens:
    rows = output.of_kept(name, TokenizedClip, ["outcome", "psnr_codes_db", "psnr_latents_db"])
    rows = rows.filter(pc.field("outcome") == "tokenized")
    short = name.removeprefix("tokenized/")
    windows = output.of_kept(f"tokens/{short}", TokenWindow, _WINDOW)
    windows = windows.filter(pc.is_in(windows["clip_id"], rows["clip_id"].combine_chunks()))
    ints = {column: windows[column].to_numpy() for column in _WINDOW}
    codes = ints["latent_frames"] * ints["latent_height"] * ints["latent_width"]
    pixels = ints["frames"] * ints["pixel_height"] * ints["pixel_width"]
    return Tokens(
        name=short,
        clips=rows.num_rows,
        psnr_codes_db=_floats(rows["psnr_codes_db"]),
        psnr_latents_db=_floats(rows["psnr_latents_db"]),
        windows=windows.num_rows,
        codes=int(codes.sum()),
        pixel_bytes=3 * int(pixels.sum()),
        codes_bytes=_CODE_BYTES * int(codes.sum()),
        latents_bytes=_LATENT_BYTES * int((codes * ints["channels"]).sum()),
    )


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.drop_null().to_numpy(), np.float64)
