"""Captions by a vision-language model that runs here: any of transformers' image-text-to-text.

Windows of several clips go through the model together, `batch` at a time. A clip that cannot be
read fails alone; where a batch fails, each of its clips is tried again alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from curation.caption.base import (
    Budget,
    CaptionBatch,
    CaptionClip,
    CaptionedBatch,
    Identity,
    captioned,
    failed,
)
from curation.caption.prompted import Describing, Reply, caption_of, cleaned
from curation.caption.vlm_model import Asked, VisionLanguageModel, model_digest
from curation.caption.windows import Seen
from curation.catalog import Catalog
from curation.errors import InfrastructureError, MediaError
from curation.stage import Away, Done, Failed, Fault, Needs, Outcome, attempt

_Windows = tuple[CaptionClip, list[Seen]]


@dataclass(frozen=True)
class VlmCaption(Describing):
    """Describes clips with a model that is loaded here."""

    budget: ClassVar[Budget] = Budget()

    device: str = "cpu"
    """`cpu`, `cuda`, or one of several such as `cuda:1`."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the model computes in; fills a table of its own."""
    batch: int = 1
    """Windows that the model describes at once; on a GPU as many as fit."""
    gpus: float = 1.0
    """Share of a GPU that a worker takes, where the device is one."""
    memory_mb: int = 8192
    """Memory that a worker takes."""

    def __post_init__(self) -> None:
        """Refuses what cannot be loaded anywhere."""
        super().__post_init__()
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device {self.device!r} is neither cpu nor cuda, such as cuda:0")
        if self.batch < 1:
            raise ValueError(f"a batch holds at least one window, not {self.batch}")

    @property
    def needs(self) -> Needs:
        """A core, the share of a GPU, and the memory."""
        return Needs(1.0, 0.0 if self.device == "cpu" else self.gpus, self.memory_mb)

    @property
    def together(self) -> int:
        """Clips to a batch: a few times what the model takes at once."""
        return max(8, 4 * self.batch)

    def table(self, catalog: Catalog) -> str:
        """By the model's files and all that it is told; device and batch move last bits only."""
        return self.named(model_digest(self.model) if self.model else None, self.precision)

    def identity(self) -> Identity:
        """The model and its words."""
        return Identity(self.model, model_digest(self.model), self.words.digest)

    def setup(self) -> Callable[[CaptionBatch], CaptionedBatch]:
        """Loads the model; `ValueError` for one that is not there."""
        model = VisionLanguageModel(
            self.model, device=self.device, precision=self.precision, vision=not self.rewrite
        )
        return _Describer(self, model).captioned


@dataclass(frozen=True)
class _Describer:
    """The work of one worker."""

    stage: VlmCaption
    model: VisionLanguageModel

    def captioned(self, batch: CaptionBatch) -> CaptionedBatch:
        """Describes the clips of a batch."""
        made = CaptionedBatch()
        for group in self._groups(batch, made):
            windows = [window for _, listed in group for window in listed]
            replies = iter(self._tried(windows))
            for clip, listed in group:
                self._add(made, clip, listed, [next(replies) for _ in listed])
        return made

    def _groups(self, batch: CaptionBatch, made: CaptionedBatch) -> Iterator[list[_Windows]]:
        """Clips with their windows, so many that a batch is full.

        What becomes of those that cannot be read goes into `made`.
        """
        group: list[_Windows] = []
        for clip in batch.clips:
            outcome = _decided(attempt(lambda c: list(self.stage.shown(c, batch.limits)), clip))
            if isinstance(outcome, Failed):
                made.clips.append(failed(clip, outcome))
            elif isinstance(outcome, Away):
                made.waiting.append(outcome.detail)
            else:
                group.append((clip, outcome.value))
            if sum(len(windows) for _, windows in group) >= self.stage.batch:
                yield group
                group = []
        if group:
            yield group

    def _tried(self, windows: Sequence[Seen]) -> list[Reply | None]:
        """A reply a window; none at all if any brings the model down."""
        try:
            return list(self._replies(windows))
        except InfrastructureError:
            raise
        except Exception:  # whose fault it is, each clip tells alone
            return [None] * len(windows)

    def _add(
        self,
        made: CaptionedBatch,
        clip: CaptionClip,
        windows: Sequence[Seen],
        replies: Sequence[Reply | None],
    ) -> None:
        """Adds what became of one clip."""
        known = [reply for reply in replies if reply is not None]

        def work(_: CaptionClip) -> list[Reply]:
            found = known or list(self._replies(windows))
            if not all(reply.text for reply in found):
                raise MediaError("no_caption", "the model wrote nothing")
            return found

        outcome = _decided(attempt(work, clip))
        if isinstance(outcome, Failed):
            made.clips.append(failed(clip, outcome, requests=len(windows)))
        elif isinstance(outcome, Done):
            replied: list[Reply] = outcome.value
            rows = [caption_of(window, r) for window, r in zip(windows, replied, strict=True)]
            made.captions.extend(rows)
            requests = sum(reply.requests for reply in replied)
            made.clips.append(captioned(clip, rows, requests=requests))

    def _replies(self, windows: Sequence[Seen]) -> Iterator[Reply]:
        """A reply a window, `batch` windows at a time."""
        for at in range(0, len(windows), self.stage.batch):
            yield from self._together(windows[at : at + self.stage.batch])

    def _together(self, windows: Sequence[Seen]) -> Iterator[Reply]:
        words = self.stage.words
        said = self.model.say(
            _asked(windows, lambda w, n: words.description(n, w.seconds, w.captions)),
            self.stage.max_tokens,
        )
        answers: list[dict[str, float]] = [{} for _ in windows]
        read = [each.tokens_in for each in said]
        for name in words.questions:
            told = functools.partial(words.question, name)
            asked = _asked(windows, lambda w, n, told=told: told(n, w.seconds))  # type: ignore[misc]
            for place, (sure, tokens) in enumerate(self.model.sureness(asked)):
                answers[place][name] = sure
                read[place] += tokens
        for each, found, tokens_in in zip(said, answers, read, strict=True):
            text = cleaned(each.text, cut_short=each.cut_short)
            yield Reply(text, found, tokens_in, each.tokens_out, 1 + len(found))


def _asked(windows: Sequence[Seen], words: Callable[[Seen, int], str]) -> list[Asked]:
    return [Asked(window.pictures, words(window, len(window.pictures))) for window in windows]


def _decided(outcome: Outcome) -> Done | Failed | Away:
    """What is said of the clip; raises what is said of the surroundings."""
    if isinstance(outcome, Fault):
        raise InfrastructureError(outcome.detail)
    return outcome
