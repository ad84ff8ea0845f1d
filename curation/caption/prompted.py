"""What all captioners that prompt a model share: settings, prompts, table name, caption rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from curation.caption.base import CaptionClip, CaptionerError, Reads
from curation.caption.prompt import PromptTemplates
from curation.caption.windows import FrameWindow, frame_windows
from curation.media.sandbox import Limits
from curation.records import Caption

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"”’)\]]*(?=\s|$)")
_THINKING = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_QUESTION_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class PromptedCaptioner:
    """Settings of a captioner that prompts a model."""

    version: ClassVar[int] = 1

    model: str = ""
    """Which model: a folder or a name on the hub, or a name that the server knows."""
    domain: str = "general"
    """Which prompt template: general, driving, robotics."""
    length: str = "medium"
    """Length of the caption: short, medium, long."""
    prompt: str = ""
    """Prompt in place of the template, with `{pictures}`, `{seconds}`, `{captions}`."""
    questions: dict[str, str] = field(default_factory=dict)
    """Yes-or-no questions by name, answered beside each caption."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """By question, the confidence from which an answer counts as yes; 0.5 by default."""
    frames: int = 8
    """Frames of a window, at most."""
    window_s: float | None = None
    """Longest window in seconds; null for one window a clip."""
    longest_side: int = 448
    """Frames shrink to this many pixels; none is enlarged."""
    rewrite: str = ""
    """Table of captions to rewrite, such as `facts-1a2b3c4d`; empty to read the frames."""
    max_tokens: int = 512
    """Longest caption, in tokens."""

    def __post_init__(self) -> None:
        """Raises `CaptionerError` for settings that cannot be used."""
        self.templates  # noqa: B018  which checks its own
        if self.frames < 1 or self.longest_side < 16 or self.max_tokens < 1:
            raise CaptionerError("needs a frame, a longest side of 16 pixels and a token, or more")
        if self.rewrite and self.questions:
            raise CaptionerError(
                "questions are about frames; ask them where captions are first made"
            )
        for name in self.questions:
            if not _QUESTION_NAME.fullmatch(name):
                raise CaptionerError(
                    f"question {name!r} needs a name of small letters, digits and _"
                )
        for name, bound in self.thresholds.items():
            if name not in self.questions or not 0 <= bound <= 1:
                raise CaptionerError(f"threshold {name!r}: {bound} needs a question and to be 0–1")

    @property
    def templates(self) -> PromptTemplates:
        """The prompts."""
        return PromptTemplates.of(
            self.domain, self.length, self.prompt, self.questions, rewrite=bool(self.rewrite)
        )

    @property
    def reads(self) -> Reads:
        """Frames, or the captions to rewrite."""
        return "captions" if self.rewrite else "frames"

    def model_table(self, model_key: str | None, *settings: Any) -> str:
        """Names the table by the model, and a digest of all that decides the text.

        `model_key` identifies the model: a digest of its files, or its name. `settings` are those
        of a subclass.
        """
        if not self.model:
            name = type(self).__name__
            raise CaptionerError(f"caption.captioner: {name} needs a model: set {name}.model")
        inputs = [self.rewrite] if self.rewrite else [self.frames, self.window_s, self.longest_side]
        prompts = self.templates.digest
        content = [self.version, model_key, prompts, inputs, self.max_tokens, *settings]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]
        name = re.sub(r"[^a-z0-9.]+", "-", self.model.rstrip("/").rsplit("/", 1)[-1].lower())
        return f"{name.strip('-.') or 'model'}-{digest}"

    def windows(self, clip: CaptionClip, limits: Limits) -> Iterator[FrameWindow]:
        """The model's inputs for a clip, window by window."""
        return frame_windows(clip, self.frames, self.window_s, self.longest_side, limits)


@dataclass(frozen=True, slots=True)
class WindowCaption:
    """A model's caption of one window."""

    text: str
    answers: dict[str, float] = field(default_factory=dict)
    """Confidence of yes, 0–1, by question."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    requests: int = 1


def caption_row(window: FrameWindow, caption: WindowCaption) -> Caption:
    """The row of a window's caption."""
    clip = window.clip
    return Caption(
        clip.clip_id,
        clip.source_id,
        caption.text,
        window=window.number,
        start_frame=window.start_frame,
        end_frame=window.end_frame,
        tokens_in=caption.tokens_in,
        tokens_out=caption.tokens_out,
        answers=json.dumps(caption.answers, sort_keys=True) if caption.answers else None,
    )


def clean_text(text: str, *, truncated: bool) -> str:
    """A model's output as a caption: on one line, without `<think>` blocks.

    Text that the token limit truncated ends with its last complete sentence, if it has one.
    """
    line = " ".join(_THINKING.sub("", text).replace("\x00", "").split())
    if truncated and (ends := [match.end() for match in _SENTENCE_END.finditer(line)]):
        line = line[: ends[-1]]
    return line
