"""The tokenize stage: rendered clips in, one shard of token windows out.

Threads read clips ahead, at the size that the tokenizer takes; windows of several clips go through
it together, and back again to record how much each head keeps. A clip that fails in company, for
whatever reason, is tried once more alone, and then fails alone; the shard holds all windows of
every other clip of the batch, in order. What a window becomes depends on that window alone, so that
a shard's bytes do not depend on the batch, on the readers or on how many workers there are.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar

import numpy as np

from curation.errors import InfrastructureError, UnavailableError
from curation.lineage import MadeFrom, named_by
from curation.media.sandbox import Limits
from curation.records import TokenizedClip
from curation.stage import Away, Done, Failed, Needs, attempt
from curation.storage import Storage
from tokenizer.models.inference import Placement, Precision
from tokenizer.models.interface import Rate, StreamingTokenizer, Tokenizer
from tokenizer.models.load import load
from tokenizer.tokenize.clip_windows import ClipFile, Piece, pieces
from tokenizer.tokenize.encode import GATHERED, Encoder, SliceEncoder, WindowEncoder, encode_clips
from tokenizer.tokenize.prefetch import Source
from tokenizer.tokenize.psnr import Measured
from tokenizer.tokenize.shards import Shard, TokenWindow, metadata, write_shard
from tokenizer.tokenize.windows import MAX_FRAMES, Kind, fitted, split


@dataclass(frozen=True, slots=True)
class ClipBatch:
    """The clips of one shard. All their tokens are in memory at once: about 0.5 MB a window."""

    key: str
    """Names the batch among all batches."""
    clips: tuple[ClipFile, ...]
    """In the order of their rows."""
    storage: Storage
    """The output folder."""
    directory: str
    """Where the shard goes, relative to the output folder."""
    made_from: tuple[MadeFrom, ...] = ()
    """Which render each clip is, in their order; empty if that is not known."""

    @property
    def origins(self) -> tuple[MadeFrom, ...]:
        """Which render each clip is."""
        return self.made_from or (MadeFrom(),) * len(self.clips)


@dataclass(frozen=True, slots=True)
class TokenizedBatch:
    """What one batch gave."""

    shard: Shard | None
    """None if every clip failed."""
    clips: list[TokenizedClip] = field(default_factory=list)
    """One outcome a clip, in the batch's order."""


@dataclass(frozen=True)
class Tokenize:
    """Rendered clips to token windows."""

    version: ClassVar[int] = 2

    tokenizer: str = "causal-8x8x8"
    """What `models.load` takes: a shipped tokenizer, a file, or another family's model."""
    short_side: int = 256
    """The picture's short side is reduced to at most this many pixels."""
    max_frames: int = MAX_FRAMES
    """Frames of a window; 1 + rate · k."""
    windows: Kind = "independent"
    """`independent` windows decode alone; `stream` makes slices of one stream a clip, which keep a
    little more and need those before them."""
    device: str = "cpu"
    """`cpu`, `cuda`, or one of several such as `cuda:1`."""
    precision: Precision = "fp32"
    """What the network computes in."""
    batch: int = 1
    """Windows that the network computes at once."""
    compile: bool = False
    """Whether `torch.compile` fuses the network."""
    quality: Measured = "first"
    """Which windows are decoded again to record their PSNR: the first of each clip, all, or none.
    Decoding from both heads costs several times as much as encoding."""
    readers: int = 1
    """Threads that decode clips ahead of the tokenizer; each reserves a core."""
    limits: Limits = field(default_factory=Limits)
    """What the decoder of clips that are no files of their own may use."""

    def __post_init__(self) -> None:
        """Refuses what no tokenizer could do."""
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device {self.device!r} is neither cpu nor cuda, such as cuda:0")
        if self.readers < 1:
            raise ValueError(f"clips need at least one reader, not {self.readers}")
        self.placement  # noqa: B018  which checks its own

    @property
    def placement(self) -> Placement:
        """Where and how the network computes."""
        return Placement(self.device, self.precision, self.batch, self.compile)

    def table(self, renders: str) -> str:
        """Names the tokens by what decides them; `tokens/<table>` holds them.

        The renders that are read decide as well: `renders` is their table. Device, batch and
        compilation only move the last bits of what a network computes, so that a run
        may go on elsewhere and fill the same table; precision moves more.
        """
        tokenizer = load(self.tokenizer)
        settings = [self.short_side, self.max_frames, self.windows, self.precision, self.version]
        decides = json.dumps([tokenizer.digest, *settings])
        digest = hashlib.sha256(decides.encode()).hexdigest()[:8]
        return named_by(f"{tokenizer.name}-{digest}", renders)

    @property
    def needs(self) -> Needs:
        """A core for each reader, a GPU for a network on one, and memory for what is gathered."""
        window_mb = self.max_frames * 6 * self.short_side**2 >> 20  # of a picture twice as wide
        windows = 2 * GATHERED * self.batch + 4 * (self.readers + 1)
        gpus = 0.0 if self.device == "cpu" else 1.0
        return Needs(float(self.readers), gpus, 1024 + 512 * self.readers + windows * window_mb)

    def check(self, tokenizer: Tokenizer) -> None:
        """Raises `ValueError` for windows that the tokenizer does not take."""
        if self.windows == "stream" and not isinstance(tokenizer, StreamingTokenizer):
            raise ValueError(
                f"windows: {tokenizer.name} cannot carry its state from slice to slice; choose"
                " independent windows or another tokenizer"
            )
        split(1, tokenizer.rate.time, self.max_frames, self.windows)

    def setup(self) -> Callable[[ClipBatch], TokenizedBatch]:
        """Loads the weights; `ValueError` for settings that they or this machine do not take."""
        if self.device != "cpu":
            self.placement.check()
        tokenizer = load(self.tokenizer, self.placement)
        self.check(tokenizer)
        return functools.partial(self._tokenized, tokenizer)

    def _tokenized(self, tokenizer: Tokenizer, batch: ClipBatch) -> TokenizedBatch:
        together = self._encoded(batch.clips, tokenizer)
        outcomes: list[TokenizedClip] = []
        rows: list[TokenWindow] = []
        for clip, origin, found in zip(batch.clips, batch.origins, together, strict=True):
            made = self._again(clip, tokenizer, found) if isinstance(found, Exception) else found
            if isinstance(made, Failed):
                outcomes.append(failed(clip, made, origin))
            else:
                outcomes.append(_done(clip, made, origin))
                rows += [_from(origin, row) for row in made]
        if not rows:
            return TokenizedBatch(None, outcomes)
        facts = metadata(tokenizer, self.precision, self.windows)
        return TokenizedBatch(write_shard(rows, batch.storage, batch.directory, facts), outcomes)

    def _encoded(
        self, clips: Sequence[ClipFile], tokenizer: Tokenizer, gathered: int | None = None
    ) -> list[list[TokenWindow] | Exception]:
        """The rows of each clip, or what went wrong; `gathered` windows at a time."""
        encoder: Encoder
        if self.windows == "stream" and isinstance(tokenizer, StreamingTokenizer):
            encoder = SliceEncoder(tokenizer, quality=self.quality)
        else:
            encoder = WindowEncoder(tokenizer, self.batch, gathered, quality=self.quality)
        sources = {clip.clip_id: self._source(clip, tokenizer.rate) for clip in clips}
        found = encode_clips(sources, encoder, self.readers)
        return [found[clip.clip_id] for clip in clips]

    def _source(self, clip: ClipFile, rate: Rate) -> Source[Piece]:
        windows = split(max(clip.frames, 1), rate.time, self.max_frames, self.windows)
        picture = fitted(max(clip.width, 1), max(clip.height, 1), self.short_side, rate)
        return lambda: pieces(clip, windows, picture, self.limits)

    def _again(
        self, clip: ClipFile, tokenizer: Tokenizer, error: Exception
    ) -> list[TokenWindow] | Failed:
        """What becomes of a clip that failed among others: its rows, or the reason."""
        errors = [error]

        def once_more(clip: ClipFile) -> list[TokenWindow]:
            found = errors.pop() if errors else self._encoded([clip], tokenizer, gathered=1)[0]
            if isinstance(found, Exception):
                raise found
            return found

        result = attempt(once_more, clip)
        if isinstance(result, Done):
            rows: list[TokenWindow] = result.value
            return rows
        if isinstance(result, Failed):
            return result
        if isinstance(result, Away):
            raise UnavailableError(result.detail)
        raise InfrastructureError(f"clip {clip.clip_id}: {result.detail}")


def failed(clip: ClipFile, outcome: Failed, origin: MadeFrom) -> TokenizedClip:
    """The outcome of a clip that failed, and which render it is."""
    ids = clip.clip_id, clip.source_id
    return TokenizedClip(*ids, "failed", outcome.reason, outcome.detail, **asdict(origin))


def _from(origin: MadeFrom, row: TokenWindow) -> TokenWindow:
    return replace(row, render_profile=origin.render_profile, render_sha256=origin.render_sha256)


def _done(clip: ClipFile, rows: Sequence[TokenWindow], origin: MadeFrom) -> TokenizedClip:
    codes = _mean([(row.psnr_codes_db, row.frames) for row in rows])
    latents = _mean([(row.psnr_latents_db, row.frames) for row in rows])
    return TokenizedClip(
        clip.clip_id, clip.source_id, "tokenized", windows=len(rows), psnr_codes_db=codes,
        psnr_latents_db=latents, **asdict(origin),
    )  # fmt: skip


def _mean(weighted: Sequence[tuple[float | None, int]]) -> float | None:
    """The mean of the values that are known, with their weights; None without any."""
    known = [(value, weight) for value, weight in weighted if value is not None]
    if not known:
        return None
    values, weights = zip(*known, strict=True)
    return float(np.average(values, weights=weights))
