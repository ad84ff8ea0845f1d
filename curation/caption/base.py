"""What a captioner is: a stage that takes clips, as much of each as it reads, and gives captions.

A captioner is a frozen dataclass whose fields are its settings. It names its table by what decides
the words, so that other settings fill another table, and says what it wants to know of a clip: its
measured facts, its frames, or captions that another captioner wrote.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from curation.catalog import Catalog
from curation.lineage import MadeFrom
from curation.media.sandbox import Limits
from curation.records import Caption, CaptionedClip
from curation.render.rendered_clip import ClipFile
from curation.stage import Failed, Needs

Reads = Literal["facts", "frames", "captions"]


@dataclass(frozen=True, slots=True)
class CaptionClip:
    """A clip, and as much of it as its captioner reads."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    start_frame: int
    """First frame, counted in the source."""
    end_frame: int
    """End frame, exclusive."""
    seconds: float
    """How long it is."""
    facts: Mapping[str, Any] | None = None
    """Its row with all scores, for a captioner that reads facts."""
    file: ClipFile | None = None
    """Its rendered file, for one that reads frames."""
    captions: tuple[str, ...] = ()
    """What another captioner says of its windows, in order, for one that reads captions."""
    made_from: MadeFrom = field(default_factory=MadeFrom)
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
    """What the decoder of clips that are no files of their own may use."""


@dataclass(frozen=True, slots=True)
class CaptionedBatch:
    """What one batch gave."""

    clips: list[CaptionedClip] = field(default_factory=list)
    """The outcome of each clip about which something is decided."""
    captions: list[Caption] = field(default_factory=list)
    """Their captions, without model, prompt and render, which the table's owner adds."""
    waiting: list[str] = field(default_factory=list)
    """What kept each clip about which nothing is decided; it waits for another run."""


@dataclass(frozen=True)
class Identity:
    """What wrote a table's captions; the same in each of its rows."""

    model: str | None = None
    """The model, as it was asked for."""
    model_digest: str | None = None
    """sha256 over its files."""
    prompt_digest: str | None = None
    """Of everything that it was told beside the clip."""


@dataclass(frozen=True)
class Budget:
    """What one table of captions may cost, over all runs that fill it."""

    requests: int | None = None
    """Requests; null for any number."""
    tokens: int | None = None
    """Tokens read and written; null for any number."""

    def pays_for(self, spent: tuple[int, int], price: tuple[int, int], count: int) -> int:
        """How many more items it pays for when so much is spent, requests and tokens.

        `count` items before them have cost `price`; at least one is paid for by whatever is left
        where nothing is known of the price yet.
        """
        paid = []
        for limit, gone, cost in zip((self.requests, self.tokens), spent, price, strict=True):
            if limit is not None:
                left = max(0, limit - gone)
                paid.append(left * count // cost if cost else left)
        return min(paid, default=sys.maxsize)


class Captioner(Protocol):
    """The stage of captioning, with what its step has to know of it."""

    version: ClassVar[int]

    @property
    def needs(self) -> Needs:
        """What one worker reserves."""

    @property
    def reads(self) -> Reads:
        """What it wants to know of a clip."""

    @property
    def rewrite(self) -> str:
        """For one that reads captions: the table that they are in."""

    @property
    def together(self) -> int:
        """Clips to a batch."""

    @property
    def budget(self) -> Budget:
        """What its captions may cost."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By question, from which certainty on the answer counts as yes; 0.5 where none is said."""

    @property
    def questions(self) -> Mapping[str, str]:
        """Yes-or-no questions by name."""

    def table(self, catalog: Catalog) -> str:
        """Names the captions by what decides them, but for the renders that it reads frames of.

        `curation.caption.step.table_name` makes the table's name of it. Raises `ValueError` for
        settings that cannot be used.
        """

    def identity(self) -> Identity:
        """What writes the captions."""

    def setup(self) -> Callable[[CaptionBatch], CaptionedBatch]:
        """Loads what it needs, and returns the work."""


def captioned(
    clip: CaptionClip,
    captions: list[Caption],
    *,
    requests: int = 0,
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
        **asdict(clip.made_from),
    )


def failed(
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
        **asdict(clip.made_from),
    )
