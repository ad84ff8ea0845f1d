"""What all captioners that ask a model have in common: what is shown, what is asked, how much."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from curation.caption.base import CaptionClip, Reads
from curation.caption.prompt import Prompt
from curation.caption.windows import Seen, seen
from curation.media.sandbox import Limits
from curation.records import Caption

_CLOSING = re.compile(r"(?<=[.!?…])[\"”’)\]]*(?=\s|$)")
_THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Describing:
    """Settings of a captioner that asks a model."""

    version: ClassVar[int] = 1

    model: str = ""
    """Which model: a folder or a name on the hub, or a name that the server knows."""
    use: str = "general"
    """Which template of words: general, driving, robotics."""
    length: str = "medium"
    """How much it is to say: short, medium, long."""
    prompt: str = ""
    """Words of one's own in place of the template, with `{pictures}`, `{seconds}`, `{captions}`."""
    questions: dict[str, str] = field(default_factory=dict)
    """Yes-or-no questions by name, answered beside each caption."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """From which certainty on an answer counts as yes, by question; 0.5 where none is said."""
    frames: int = 8
    """Pictures of a window, at most."""
    window_s: float | None = None
    """Longest window in seconds; null for one window a clip."""
    longest_side: int = 448
    """Pictures shrink to this many pixels; none is enlarged."""
    rewrite: str = ""
    """Table of captions to write anew, such as `facts-1a2b3c4d`; empty to look at the frames."""
    max_tokens: int = 512
    """Longest caption, in tokens."""

    def __post_init__(self) -> None:
        """Refuses what cannot be asked."""
        self.words  # noqa: B018  which checks its own
        if self.frames < 1 or self.longest_side < 16 or self.max_tokens < 1:
            raise ValueError("needs a frame, a longest side of 16 pixels and a token, or more")
        if self.rewrite and self.questions:
            raise ValueError("questions are about frames; ask them where captions are first made")
        for name in self.questions:
            if not _NAME.fullmatch(name):
                raise ValueError(f"question {name!r} needs a name of small letters, digits and _")
        for name, bound in self.thresholds.items():
            if name not in self.questions or not 0 <= bound <= 1:
                raise ValueError(f"threshold {name!r}: {bound} needs a question and to be 0–1")

    @property
    def words(self) -> Prompt:
        """What the model is told."""
        return Prompt.of(
            self.use, self.length, self.prompt, self.questions, rewrites=bool(self.rewrite)
        )

    @property
    def reads(self) -> Reads:
        """Frames, or the captions that are to be written anew."""
        return "captions" if self.rewrite else "frames"

    def named(self, model: str | None, *more: Any) -> str:
        """The table's name: the model's, and a digest of all that decides the words.

        `model` is what tells the model from others: a digest of its files, or its name.
        """
        if not self.model:
            raise ValueError(f"{type(self).__name__} needs to be told which model")
        if self.rewrite:
            shown: list[Any] = [self.rewrite]
        else:
            shown = [self.frames, self.window_s, self.longest_side]
        decides = [self.version, model, self.words.digest, shown, self.max_tokens, *more]
        told = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:8]
        name = re.sub(r"[^a-z0-9.]+", "-", self.model.rstrip("/").rsplit("/", 1)[-1].lower())
        return f"{name.strip('-.') or 'model'}-{told}"

    def shown(self, clip: CaptionClip, limits: Limits) -> Iterator[Seen]:
        """What the model is shown of a clip, window by window."""
        return seen(clip, self.frames, self.window_s, self.longest_side, limits)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said of one window."""

    text: str
    answers: dict[str, float] = field(default_factory=dict)
    """How sure it is of yes, 0–1, by question."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    requests: int = 1


def caption_of(window: Seen, reply: Reply) -> Caption:
    """A reply as a row."""
    clip = window.clip
    return Caption(
        clip.clip_id,
        clip.source_id,
        reply.text,
        window=window.number,
        start_frame=window.start_frame,
        end_frame=window.end_frame,
        tokens_in=reply.tokens_in,
        tokens_out=reply.tokens_out,
        answers=json.dumps(reply.answers, sort_keys=True) if reply.answers else None,
    )


def cleaned(text: str, *, cut_short: bool) -> str:
    """A model's words as a caption: without its thoughts, in one line.

    Where it was cut short by the limit on tokens, only whole sentences stay, if there is one.
    """
    line = " ".join(_THOUGHT.sub("", text).replace("\x00", "").split())
    if cut_short and (ends := [found.end() for found in _CLOSING.finditer(line)]):
        line = line[: ends[-1]]
    return line
