"""The contract of a captioner: a stage that turns clips into captions.

A captioner is a frozen dataclass whose fields are its settings. It names its table by what decides
the text, so that other settings fill another table, and declares what it reads of a clip: the
measured facts, the frames, or captions by another captioner.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from curation.catalog import Catalog
from curation.errors import ReelmillError
from curation.lineage import RenderOrigin
from curation.media.sandbox import Limits
from curation.records import Caption, CaptionedClip
from curation.render.rendered_clip import RenderedClip
from curation.stage import Failed, Resources

Reads = Literal["facts", "frames", "captions"]


class CaptionerError(ReelmillError, ValueError):
    """A setting that cannot be used, or a model or package that is missing."""


@dataclass(frozen=True, slots=True)
class CaptionClip:
    """A clip, with as much of it as its captioner reads."""

    clip_id: str
    source_id: str
    start_frame: int
    """First frame, counted in the source."""
    end_frame: int
    """End frame, exclusive."""
    duration_s: float
    facts: Mapping[str, Any] | None = None
    """Its row with all scores, for a captioner that reads facts."""
    file: RenderedClip | None = None
    """Its rendered file, for one that reads frames."""
    captions: tuple[str, ...] = ()
    """Captions of its windows in order, for one that reads captions."""
    origin: RenderOrigin = field(default_factory=RenderOrigin)
    """Which render the file is, for one that reads frames."""

    @property
    def key(self) -> str:
        """The clip's id."""
        return self.clip_id


@dataclass(frozen=True, slots=True)
class CaptionBatch:
    """The clips that go to a worker together."""

    key: str
    """Names the batch among all batches."""
    clips: tuple[CaptionClip, ...]
    """In a fixed order."""
    limits: Limits = field(default_factory=Limits)
    """Of the sandboxed decoder, for clips without a file of their own."""


@dataclass(frozen=True, slots=True)
class CaptionedBatch:
    """The result of one batch."""

    clips: list[CaptionedClip] = field(default_factory=list)
    """One outcome for each decided clip."""
    captions: list[Caption] = field(default_factory=list)
    """Their captions, without model, prompt and render, which the ledger adds."""
    deferred: list[str] = field(default_factory=list)
    """For each undecided clip, why it is left for another run."""


@dataclass(frozen=True)
class Identity:
    """What wrote a table's captions; the same in each of its rows."""

    model: str | None = None
    """The model's name as configured."""
    model_digest: str | None = None
    """sha256 over its files."""
    prompt_digest: str | None = None
    """Of all prompt templates."""


@dataclass(frozen=True)
class Budget:
    """What one table of captions may cost, over all runs that fill it."""

    requests: int | None = None
    """Requests; null for any number."""
    tokens: int | None = None
    """Tokens read and written; null for any number."""

    @property
    def is_unlimited(self) -> bool:
        """Whether it bounds nothing."""
        return self.requests is None and self.tokens is None

    def affordable(self, spent: tuple[int, int], price: tuple[int, int], count: int) -> int:
        """How many more items the rest pays for, at the mean price so far.

        `spent` and `price` are requests and tokens: `spent` of all runs, `price` of the last
        `count` items. Where these cost nothing, the whole rest is the number of items.
        """
        counts = []
        for limit, used, cost in zip((self.requests, self.tokens), spent, price, strict=True):
            if limit is not None:
                remaining = max(0, limit - used)
                counts.append(remaining * count // cost if cost else remaining)
        return min(counts, default=sys.maxsize)


class Captioner(Protocol):
    """The captioning stage, with what its step needs to know of it."""

    version: ClassVar[int]

    @property
    def resources(self) -> Resources:
        """What one worker reserves."""

    @property
    def reads(self) -> Reads:
        """What it reads of a clip."""

    @property
    def rewrite(self) -> str:
        """For one that reads captions: their table."""

    @property
    def batch_size(self) -> int:
        """Clips per batch."""

    @property
    def budget(self) -> Budget:
        """What its captions may cost."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By question, the confidence from which the answer counts as yes; 0.5 by default."""

    @property
    def questions(self) -> Mapping[str, str]:
        """Yes-or-no questions by name."""

    def table(self, catalog: Catalog) -> str:
        """Names the captions by all that decides them, except the renders.

        `curation.caption.step.table_name` makes the table's name of it. Raises `CaptionerError`.
        """

    def identity(self) -> Identity:
        """What writes the captions."""

    def setup(self) -> Callable[[CaptionBatch], CaptionedBatch]:
        """Loads what the work needs, and returns the work."""


def captioned_row(
    clip: CaptionClip, captions: list[Caption], *, requests: int = 0
) -> CaptionedClip:
    """The outcome of a clip that has captions."""
    return CaptionedClip(
        clip.clip_id,
        clip.source_id,
        "captioned",
        windows=len(captions),
        requests=requests,
        tokens_in=sum(caption.tokens_in or 0 for caption in captions),
        tokens_out=sum(caption.tokens_out or 0 for caption in captions),
        **asdict(clip.origin),
    )


def failed_row(
    clip: CaptionClip,
    outcome: Failed,
    *,
    requests: int = 0,
    tokens_in: int = 0,
    tokens_out: int = 0,
) -> CaptionedClip:
    """The outcome of a clip that failed, and what it cost."""
    return CaptionedClip(
        clip.clip_id,
        clip.source_id,
        "failed",
        outcome.reason,
        outcome.detail,
        requests=requests,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        **asdict(clip.origin),
    )
