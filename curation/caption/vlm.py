"""Captions by a vision-language model that runs here: any of transformers' image-text-to-text.

Windows of several clips go through the model together, `batch` at a time. A clip that cannot be
read fails alone; where a batch fails, each of its clips is retried alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from curation.caption.base import (
    Budget,
    CaptionBatch,
    CaptionClip,
    CaptionedBatch,
    CaptionerError,
    Identity,
    captioned_row,
    failed_row,
)
from curation.caption.prompted import PromptedCaptioner, WindowCaption, caption_row, clean_text
from curation.caption.vlm_model import VisionLanguageModel, VlmPrompt, model_digest
from curation.caption.windows import FrameWindow
from curation.catalog import Catalog
from curation.errors import InfrastructureError, MediaError
from curation.stage import Done, Failed, Fault, Resources, Unavailable, attempt


@dataclass(frozen=True)
class VlmCaption(PromptedCaptioner):
    """Captions by a model that is loaded here."""

    budget: ClassVar[Budget] = Budget()

    device: str = "cpu"
    """`cpu`, `cuda`, or one of several such as `cuda:1`."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the model computes in; fills a table of its own."""
    batch: int = 1
    """Windows that the model captions at once; on a GPU as many as fit."""
    gpus: float = 1.0
    """Share of a GPU that a worker reserves, where the device is one."""
    memory_mb: int = 8192
    """Memory that a worker reserves."""

    def __post_init__(self) -> None:
        """Raises `CaptionerError` for settings that cannot be used."""
        super().__post_init__()
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise CaptionerError(f"device {self.device!r} is neither cpu nor cuda, such as cuda:0")
        if self.batch < 1:
            raise CaptionerError(f"a batch holds at least one window, not {self.batch}")

    @property
    def resources(self) -> Resources:
        """A core, the share of a GPU, and the memory."""
        return Resources(1.0, 0.0 if self.device == "cpu" else self.gpus, self.memory_mb)

    @property
    def batch_size(self) -> int:
        """Clips per batch: a few times the model's batch."""
        return max(8, 4 * self.batch)

    def table(self, catalog: Catalog) -> str:
        """By the model's files and its prompts; device and batch change last bits only."""
        return self.model_table(model_digest(self.model) if self.model else None, self.precision)

    def identity(self) -> Identity:
        """The model and its prompts."""
        return Identity(self.model, model_digest(self.model), self.templates.digest)

    def setup(self) -> Callable[[CaptionBatch], CaptionedBatch]:
        """Loads the model; raises `CaptionerError` for one that cannot be loaded."""
        model = VisionLanguageModel(
            self.model, device=self.device, precision=self.precision, vision=not self.rewrite
        )
        return _VlmWorker(self, model).caption_batch


@dataclass(frozen=True)
class _VlmWorker:
    """The work of one worker."""

    stage: VlmCaption
    model: VisionLanguageModel

    def caption_batch(self, batch: CaptionBatch) -> CaptionedBatch:
        """Captions the clips of a batch."""
        result = CaptionedBatch()
        for group in self._groups(batch, result):
            windows = [window for _, clip_windows in group for window in clip_windows]
            try:
                captions: list[WindowCaption] | None = list(self._captions(windows))
            except InfrastructureError:
                raise
            except Exception:  # which clip is at fault shows when each is retried alone
                captions = None
            start = 0
            for clip, clip_windows in group:
                end = start + len(clip_windows)
                self._add(result, clip, clip_windows, captions and captions[start:end])
                start = end
        return result

    def _groups(
        self, batch: CaptionBatch, result: CaptionedBatch
    ) -> Iterator[list[tuple[CaptionClip, list[FrameWindow]]]]:
        """Clips with their windows, enough of them to fill a batch of the model.

        The outcomes of clips that cannot be read go into `result`.
        """
        group: list[tuple[CaptionClip, list[FrameWindow]]] = []
        for clip in batch.clips:
            outcome = _attempt(lambda c: list(self.stage.windows(c, batch.limits)), clip)
            if isinstance(outcome, Failed):
                result.clips.append(failed_row(clip, outcome))
            elif isinstance(outcome, Unavailable):
                result.deferred.append(outcome.detail)
            else:
                group.append((clip, outcome.value))
            if sum(len(windows) for _, windows in group) >= self.stage.batch:
                yield group
                group = []
        if group:
            yield group

    def _add(
        self,
        result: CaptionedBatch,
        clip: CaptionClip,
        windows: Sequence[FrameWindow],
        captions: Sequence[WindowCaption] | None,
    ) -> None:
        """Adds the outcome of one clip; without `captions` it is captioned alone."""

        def work(_: CaptionClip) -> list[WindowCaption]:
            texts = list(captions or self._captions(windows))
            if not all(caption.text for caption in texts):
                raise MediaError("no_caption", "the model wrote nothing")
            return texts

        outcome = _attempt(work, clip)
        if isinstance(outcome, Failed):
            result.clips.append(failed_row(clip, outcome, requests=len(windows)))
        elif isinstance(outcome, Done):
            rows = [caption_row(w, c) for w, c in zip(windows, outcome.value, strict=True)]
            result.captions.extend(rows)
            requests = sum(caption.requests for caption in outcome.value)
            result.clips.append(captioned_row(clip, rows, requests=requests))

    def _captions(self, windows: Sequence[FrameWindow]) -> Iterator[WindowCaption]:
        """A caption for each window, `batch` windows at a time."""
        for start in range(0, len(windows), self.stage.batch):
            yield from self._model_batch(windows[start : start + self.stage.batch])

    def _model_batch(self, windows: Sequence[FrameWindow]) -> Iterator[WindowCaption]:
        templates = self.stage.templates
        prompts = [
            VlmPrompt(w.frames, templates.caption_prompt(len(w.frames), w.duration_s, w.captions))
            for w in windows
        ]
        generations = self.model.generate(prompts, self.stage.max_tokens)
        answers: list[dict[str, float]] = [{} for _ in windows]
        tokens_in = [generation.tokens_in for generation in generations]
        for name in templates.questions:
            prompts = [
                VlmPrompt(w.frames, templates.question_prompt(name, len(w.frames), w.duration_s))
                for w in windows
            ]
            for index, (confidence, tokens) in enumerate(self.model.yes_confidence(prompts)):
                answers[index][name] = confidence
                tokens_in[index] += tokens
        for generation, answer, tokens in zip(generations, answers, tokens_in, strict=True):
            text = clean_text(generation.text, truncated=generation.truncated)
            yield WindowCaption(text, answer, tokens, generation.tokens_out, 1 + len(answer))


def _attempt(
    work: Callable[[CaptionClip], object], clip: CaptionClip
) -> Done | Failed | Unavailable:
    """The outcome of a clip; raises `InfrastructureError`."""
    outcome = attempt(work, clip)
    if isinstance(outcome, Fault):
        raise InfrastructureError(outcome.detail)
    return outcome
