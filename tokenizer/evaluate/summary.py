"""From rows of clips to one line for each tokenizer and head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenizer.evaluate.candidate import Subject
from tokenizer.evaluate.clip_metrics import ClipRow
from tokenizer.evaluate.codebook import CodebookUse, Counts
from tokenizer.evaluate.frechet import Features, frechet_distance
from tokenizer.evaluate.seams import SeamComparison
from tokenizer.models.interface import Head
from tokenizer.tokenize.psnr import psnr_of


@dataclass(frozen=True, slots=True)
class Distance:
    """A Fréchet video distance, and how much stands behind it."""

    value: float
    spans: int
    """Spans of 16 frames on each side."""
    dimensions: int
    """Of a span's vector: with fewer spans than these the figure is far too low."""

    @classmethod
    def of(cls, source: Features, made: Features) -> Distance | None:
        """The distance of two sets of vectors; None for fewer than two spans."""
        if min(len(source), len(made)) < 2:
            return None
        return cls(frechet_distance(source, made), len(made), made.shape[1])


@dataclass(frozen=True, slots=True)
class Summary:
    """One head of one tokenizer over all clips."""

    tokenizer: str
    """As it was asked for."""
    digest: str
    """sha256 of its weights and configuration."""
    head: Head
    clips: int
    frames: int
    psnr_db: float
    """Mean of the clips' PSNR, each weighted by its frames."""
    pooled_psnr_db: float
    """PSNR of the mean squared error over all pixels of all clips: hard clips weigh most."""
    ssim: float
    """Mean over all frames."""
    lpips: float | None
    """Mean of the clips' LPIPS, each weighted by its frames."""
    fvd: Distance | None
    bits_per_pixel: float
    """Bits of all tokens, for each real pixel of each real frame."""
    codebook: CodebookUse | None
    """Of the discrete head."""
    seams: SeamComparison | None
    """None if no clip has more than one window."""
    encode_fps: float
    """Frames a second, median over clips; for all heads together."""
    decode_fps: float
    """Frames a second, median over clips."""
    device: str
    precision: str


def summarise(
    rows: Sequence[ClipRow], subject: Subject, codes: Counts | None, distance: Distance | None
) -> Summary:
    """The line for one tokenizer and head; `rows` are its clips, at least one."""
    frames = np.asarray([row.frames for row in rows], np.float64)
    pixels = frames * [row.width * row.height for row in rows]
    seen = None if any(row.lpips is None for row in rows) else [row.lpips for row in rows]
    return Summary(
        tokenizer=rows[0].tokenizer,
        digest=subject.tokenizer.digest,
        head=rows[0].head,
        clips=len(rows),
        frames=int(frames.sum()),
        psnr_db=float(np.average([row.psnr_db for row in rows], weights=frames)),
        pooled_psnr_db=psnr_of(
            float(np.average([row.squared_error for row in rows], weights=pixels))
        ),
        ssim=float(np.average([row.ssim for row in rows], weights=frames)),
        lpips=None if seen is None else float(np.average(np.asarray(seen), weights=frames)),
        fvd=distance,
        bits_per_pixel=float(np.average([row.bits_per_pixel for row in rows], weights=pixels)),
        codebook=None if codes is None else CodebookUse.of(codes),
        seams=SeamComparison.of(row.seams for row in rows),
        encode_fps=float(np.median([row.frames / row.encode_s for row in rows])),
        decode_fps=float(np.median([row.frames / row.decode_s for row in rows])),
        device=subject.device,
        precision=subject.precision,
    )
