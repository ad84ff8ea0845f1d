"""What the tokenizers kept of the clips, and what the tokens weigh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage
from curation.lineage import profile_of
from curation.records import TokenizedClip
from pipelines.report.snapshot import Float64s, Output
from tokenizer.models.interface import Head
from tokenizer.tokenize.shards import TokenWindow

_WINDOW = ["frames", "pixel_height", "pixel_width", "latent_frames", "latent_height"]
_WINDOW += ["latent_width", "channels"]
_BYTES = 2
"""Of a code, and of one channel of a latent."""


@dataclass(frozen=True)
class HeadTokens:
    """What one head of a tokenizer made."""

    name: Head
    dtype: str
    count: int
    """Discrete tokens, or latent vectors."""
    size_bytes: int
    psnr_db: Float64s
    """One number for each clip whose tokens were decoded again [clips]."""

    @property
    def mean_db(self) -> float | None:
        """Mean over the clips; None if none was measured."""
        return float(self.psnr_db.mean()) if len(self.psnr_db) else None


@dataclass(frozen=True)
class Tokens:
    """The tokens of the kept clips by one tokenizer."""

    name: str
    """The table's name without its folder."""
    renders: str | None
    """The profile of the renders that were read; None where that is not known."""
    is_current: bool
    """Whether these are the renders that count."""
    clips: int
    windows: int
    pixel_bytes: int
    """The real frames that were encoded, at 3 bytes a pixel."""
    heads: tuple[HeadTokens, ...]
    """One or two, the discrete one first."""

    @property
    def amount(self) -> tuple[str, int]:
        """What the first head's tokens are called, and how many there are."""
        words = {"codes": "discrete tokens", "latents": "continuous tokens"}
        return (words[self.heads[0].name], self.heads[0].count) if self.heads else ("tokens", 0)


def gather(output: Output) -> list[Tokens]:
    """One entry a table; the one that counts comes first."""
    names = output.dataset.catalog.names("tokenized")
    names.sort(key=lambda name: (name != output.tokenized, name))
    found = [_tokens(output, name) for name in names]
    return [tokens for tokens in found if tokens.clips]


def _tokens(output: Output, name: str) -> Tokens:
    rows = output.of_kept(name, TokenizedClip, ["outcome", "psnr_codes_db", "psnr_latents_db"])
    rows = rows.filter(pc.field("outcome") == "tokenized")
    short = name.removeprefix("tokenized/")
    profile = lineage.profile(output.dataset.catalog, f"tokens/{short}")
    columns = [*_WINDOW, "codes_dtype", "latents_dtype"]
    windows = output.of_kept(f"tokens/{short}", TokenWindow, columns)
    windows = windows.filter(pc.is_in(windows["clip_id"], rows["clip_id"].combine_chunks()))
    ints = {column: windows[column].to_numpy() for column in _WINDOW}
    latents = ints["latent_frames"] * ints["latent_height"] * ints["latent_width"]
    pixels = ints["frames"] * ints["pixel_height"] * ints["pixel_width"]
    each: dict[Head, Any] = {"codes": 1, "latents": ints["channels"]}
    heads = [_head(head, rows, windows, latents, numbers) for head, numbers in each.items()]
    return Tokens(
        name=short,
        renders=profile,
        is_current=profile in (None, profile_of(output.renders or "")),
        clips=rows.num_rows,
        windows=windows.num_rows,
        pixel_bytes=3 * int(pixels.sum()),
        heads=tuple(head for head in heads if head.count),
    )


def _head(
    head: Head, rows: pa.Table, windows: pa.Table, latents: npt.NDArray[np.int64], each: Any
) -> HeadTokens:
    """What a head made in the windows that have it; `each` are its numbers for every latent."""
    dtypes = windows[f"{head}_dtype"]
    there = dtypes.is_valid().to_numpy()
    dtype = pc.unique(dtypes.drop_null()).to_pylist()
    psnr = rows[f"psnr_{head}_db"].drop_null().to_numpy()
    return HeadTokens(
        name=head,
        dtype=", ".join(dtype),
        count=int(latents[there].sum()),
        size_bytes=_BYTES * int((latents * each)[there].sum()),
        psnr_db=np.asarray(psnr, np.float64),
    )
