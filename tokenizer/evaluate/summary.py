"""From the metrics of clips to one line for each tokenizer and head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenizer.evaluate.clip_metrics import CodeCounts, ComparedClip
from tokenizer.evaluate.frechet import Features, frechet_distance
from tokenizer.evaluate.roundtrip import Candidate
from tokenizer.evaluate.seams import SeamComparison
from tokenizer.models.interface import Head
from tokenizer.tokenize.psnr import psnr_from_mse


@dataclass(frozen=True, slots=True)
class CodebookUse:
    """How much of a codebook is used on some clips, and how evenly."""

    codes: int
    """Codes counted."""
    size: int
    """Entries in the codebook."""
    share: float
    """Entries that occur, of all; at most `codes` / `size`, so count enough."""
    entropy_bits: float
    """Shannon entropy of the codes, at most log2 of `size` and of `codes`: bits a code of an ideal
    coder that knows only the frequency of each code."""

    @classmethod
    def of(cls, counts: CodeCounts) -> CodebookUse:
        """From counts [size], not all 0."""
        total = int(counts.sum())
        frequencies = counts[counts > 0] / total
        entropy = float(-(frequencies * np.log2(frequencies)).sum()) + 0.0
        return cls(total, len(counts), len(frequencies) / len(counts), entropy)


@dataclass(frozen=True, slots=True)
class FrechetDistance:
    """A Fréchet video distance, and its sample size."""

    value: float
    spans: int
    """Spans of 16 frames on each side."""
    dimensions: int
    """Of a span's vector: with fewer spans than dimensions the value is far too low."""

    @classmethod
    def of(cls, source: Features, decoded: Features) -> FrechetDistance | None:
        """The distance of two sets of vectors; None for fewer than two spans."""
        if min(len(source), len(decoded)) < 2:
            return None
        return cls(frechet_distance(source, decoded), len(decoded), decoded.shape[1])


@dataclass(frozen=True, slots=True)
class Summary:
    """One head of one tokenizer over all clips."""

    tokenizer: str
    """Name as requested."""
    digest: str
    """sha256 of its weights and configuration."""
    head: Head
    clips: int
    frames: int
    psnr_db: float
    """Mean of the clips' PSNR, weighted by frames."""
    pooled_psnr_db: float
    """PSNR of the mean squared error over all pixels of all clips: dominated by hard clips."""
    ssim: float
    """Mean over all frames."""
    lpips: float | None
    """Mean of the clips' LPIPS, weighted by frames."""
    fvd: FrechetDistance | None
    bits_per_pixel: float
    """Bits of all tokens, for each real pixel of each real frame."""
    codebook: CodebookUse | None
    """Of the discrete head."""
    seams: SeamComparison | None
    """None if every clip has a single window."""
    encode_fps: float
    """Frames a second, median over clips; for all heads together."""
    decode_fps: float
    """Frames a second, median over clips."""
    device: str
    precision: str


def summarise(
    rows: Sequence[ComparedClip],
    candidate: Candidate,
    codes: CodeCounts | None,
    distance: FrechetDistance | None,
) -> Summary:
    """The line for one tokenizer and head; `rows` are its clips, at least one."""
    frames = np.asarray([row.frames for row in rows], np.float64)
    pixels = frames * [row.width * row.height for row in rows]
    lpips = [row.lpips for row in rows if row.lpips is not None]

    def mean(values: Sequence[float], weights: Features) -> float:
        return float(np.average(values, weights=weights))

    return Summary(
        tokenizer=rows[0].tokenizer,
        digest=candidate.tokenizer.digest,
        head=rows[0].head,
        clips=len(rows),
        frames=int(frames.sum()),
        psnr_db=mean([row.psnr_db for row in rows], frames),
        pooled_psnr_db=psnr_from_mse(mean([row.squared_error for row in rows], pixels)),
        ssim=mean([row.ssim for row in rows], frames),
        lpips=mean(lpips, frames) if len(lpips) == len(rows) else None,
        fvd=distance,
        bits_per_pixel=mean([row.bits_per_pixel for row in rows], pixels),
        codebook=None if codes is None else CodebookUse.of(codes),
        seams=SeamComparison.of(row.seams for row in rows),
        encode_fps=float(np.median([row.frames / row.encode_s for row in rows])),
        decode_fps=float(np.median([row.frames / row.decode_s for row in rows])),
        device=candidate.device,
        precision=candidate.precision,
    )
