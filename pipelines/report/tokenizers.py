"""What the tokenizers preserve of the clips, and the size of the tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage
from curation.lineage import profile_name
from curation.records import TokenizedClip
from curation.steps import STEPS
from pipelines.report.formatting import large, thousands
from pipelines.report.histogram import HistogramPlot, plot_histogram
from pipelines.report.snapshot import Float64s, OutputSnapshot
from tokenizer.models.interface import Head
from tokenizer.tokenize.shards import TokenWindow

_SHAPE = [
    "frames", "pixel_height", "pixel_width", "latent_frames", "latent_height", "latent_width",
    "channels",
]  # fmt: skip
_VALUE_BYTES = 2
"""Of a code, and of one channel of a latent."""
_ADJECTIVES: dict[Head, str] = {"codes": "discrete", "latents": "continuous"}


@dataclass(frozen=True)
class HeadSummary:
    """The tokens of one head of a tokenizer."""

    name: Head
    dtype: str
    num_tokens: int
    """Discrete tokens, or latent vectors."""
    size_bytes: int
    psnr_db: Float64s
    """For each clip whose tokens were decoded again [clips]."""

    @property
    def kind(self) -> str:
        """`discrete tokens` or `continuous tokens`."""
        return f"{_ADJECTIVES[self.name]} tokens"

    @property
    def mean_db(self) -> float | None:
        """Mean over the clips; None if none was measured."""
        return float(self.psnr_db.mean()) if len(self.psnr_db) else None


@dataclass(frozen=True)
class TokenizerSummary:
    """The tokens of the kept clips by one tokenizer."""

    name: str
    """The table's name without its folder."""
    renders: str | None
    """The profile of the renders that were read; None where that is not recorded."""
    is_current: bool
    """Whether these are the current renders."""
    clips: int
    windows: int
    pixel_bytes: int
    """The frames that were encoded, without padding, at 3 bytes a pixel."""
    heads: tuple[HeadSummary, ...]
    """One or two, the discrete one first."""

    @property
    def kind(self) -> str:
        """What the first head's tokens are called."""
        return self.heads[0].kind if self.heads else "tokens"

    @property
    def num_tokens(self) -> int:
        """Those of the first head."""
        return self.heads[0].num_tokens if self.heads else 0

    @property
    def histograms(self) -> list[HistogramPlot]:
        """PSNR over clips, one picture per head on one axis."""
        every_db = np.concatenate([np.zeros(0), *(head.psnr_db for head in self.heads)])
        plots = [
            plot_histogram(
                f"PSNR of {head.name}, dB",
                f"Decoded from the {head.kind}.",
                {head.name: head.psnr_db},
                include=every_db,
            )
            for head in self.heads
        ]
        return [plot for plot in plots if plot is not None]


def gather(output: OutputSnapshot) -> list[TokenizerSummary]:
    """One entry per table; the current one comes first."""
    names = output.dataset.catalog.names("tokenized")
    current = output.outcomes_table(STEPS["tokenize"])
    names.sort(key=lambda name: (name != current, name))
    summaries = [_summary(output, name) for name in names]
    return [summary for summary in summaries if summary.clips]


def amount(summaries: list[TokenizerSummary]) -> str:
    """Windows and tokens of the current table in words; empty without one."""
    if not summaries or not summaries[0].is_current:
        return ""
    current = summaries[0]
    return f"{thousands(current.windows)} windows, {large(current.num_tokens)} {current.kind}"


def _summary(output: OutputSnapshot, name: str) -> TokenizerSummary:
    rows = output.kept_rows(name, TokenizedClip, ["outcome", "psnr_codes_db", "psnr_latents_db"])
    rows = rows.filter(pc.field("outcome") == "tokenized")
    short_name = name.removeprefix("tokenized/")
    table = f"tokens/{short_name}"
    windows = output.kept_rows(table, TokenWindow, [*_SHAPE, "codes_dtype", "latents_dtype"])
    windows = windows.filter(pc.is_in(windows["clip_id"], rows["clip_id"].combine_chunks()))
    shape = {column: windows[column].to_numpy() for column in _SHAPE}
    latents = shape["latent_frames"] * shape["latent_height"] * shape["latent_width"]
    pixels = shape["frames"] * shape["pixel_height"] * shape["pixel_width"]
    heads = (
        _head("codes", rows, windows, latents, latents),
        _head("latents", rows, windows, latents, latents * shape["channels"]),
    )
    profile = lineage.render_profile(output.dataset.catalog, table)
    return TokenizerSummary(
        name=short_name,
        renders=profile,
        is_current=profile in (None, profile_name(output.renders or "")),
        clips=rows.num_rows,
        windows=windows.num_rows,
        pixel_bytes=3 * int(pixels.sum()),
        heads=tuple(head for head in heads if head.num_tokens),
    )


def _head(
    head: Head,
    rows: pa.Table,
    windows: pa.Table,
    tokens: npt.NDArray[np.int64],
    values: npt.NDArray[np.int64],
) -> HeadSummary:
    """Sums the tokens and values per window [windows] over the windows that have this head."""
    dtypes = windows[f"{head}_dtype"]
    has_head = dtypes.is_valid().to_numpy()
    psnr = rows[f"psnr_{head}_db"].drop_null().to_numpy()
    return HeadSummary(
        name=head,
        dtype=", ".join(pc.unique(dtypes.drop_null()).to_pylist()),
        num_tokens=int(tokens[has_head].sum()),
        size_bytes=_VALUE_BYTES * int(values[has_head].sum()),
        psnr_db=np.asarray(psnr, np.float64),
    )
