"""Captions by an OpenAI-compatible server: vLLM, Ollama, or a paid one.

Clips of a batch are captioned concurrently, one thread each. A request that the server cannot
answer just now is not the clip's fault: the clip is left for another run, and the run stops once
the server answers nothing any more. A request that the server refuses fails its clip only if the
server takes grey images with the same text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

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
from curation.caption.chat import ChatClient, ChatReply, ChatServer, RefusedError, UnansweredError
from curation.caption.prompted import PromptedCaptioner, WindowCaption, caption_row, clean_text
from curation.caption.vqa import AnswersError, parse_answers
from curation.caption.windows import FrameWindow
from curation.catalog import Catalog
from curation.errors import InfrastructureError, MediaError
from curation.media.sandbox import Limits
from curation.records import Caption
from curation.stage import Done, Failed, Outcome, Resources, Unavailable, attempt

_MAX_ANSWER_REQUESTS = 3
"""Requests until answers that are no valid JSON fail the clip."""


@dataclass(frozen=True)
class ApiCaption(PromptedCaptioner):
    """Captions by a server."""

    url: str = "http://127.0.0.1:8000/v1"
    """The server's address, up to and with `/v1`; no other is ever asked."""
    key_variable: str = "REELMILL_API_KEY"
    """The environment variable that holds the key, if the server requires one."""
    concurrency: int = 8
    """Requests at once, from each worker."""
    retries: int = 6
    """Of a request that the server could not answer."""
    timeout_s: float = 120.0
    """Longest wait for one answer."""
    temperature: float = 0.0
    """0 for the most likely text."""
    seed: int = 0
    """For servers that sample."""
    options: dict[str, Any] = field(default_factory=dict)
    """More that goes into each request, as the server knows it."""
    request_limit: int | None = None
    """The run stops when this table has cost so many requests, over all runs; null for any."""
    token_limit: int | None = None
    """The same for tokens, read and written."""

    def __post_init__(self) -> None:
        """Raises `CaptionerError` for settings that cannot be used."""
        super().__post_init__()
        self.server  # noqa: B018  which checks its own
        if self.concurrency < 1 or self.retries < 0:
            raise CaptionerError("needs a request at once, and no fewer than 0 retries")

    @property
    def server(self) -> ChatServer:
        """Address and settings of the server."""
        return ChatServer(self.url, self.model, self.key_variable, self.timeout_s, self.retries)

    @property
    def resources(self) -> Resources:
        """A core, for decoding and encoding images; the rest is waiting."""
        return Resources(cpus=1.0, memory_mb=1024 + 64 * self.concurrency)

    @property
    def batch_size(self) -> int:
        """Clips per batch; small where there is a limit."""
        limited = self.request_limit is not None or self.token_limit is not None
        return self.concurrency * (1 if limited else 4)

    @property
    def budget(self) -> Budget:
        """The limits."""
        return Budget(self.request_limit, self.token_limit)

    def table(self, catalog: Catalog) -> str:
        """By the model's name, its prompts and sampling; the server's address does not matter."""
        return self.model_table(self.model, self.temperature, self.seed, self.options)

    def identity(self) -> Identity:
        """The model's name and its prompts; its files are the server's."""
        return Identity(self.model, None, self.templates.digest)

    def setup(self) -> Callable[[CaptionBatch], CaptionedBatch]:
        """Opens the connection; `CaptionerError` without the openai package."""
        sampling = {
            "max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed,
        }  # fmt: skip
        return _ApiWorker(self, ChatClient(self.server, sampling | self.options)).caption_batch


class _SilenceMonitor:
    """Counts clips in a row that the server gave no answer for, over all threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._unanswered = 0
        self._lock = threading.Lock()

    def record(self, *, answered: bool) -> None:
        with self._lock:
            self._unanswered = 0 if answered else self._unanswered + 1

    @property
    def limit_reached(self) -> bool:
        return self._unanswered >= self._limit


@dataclass
class _Usage:
    """What the requests for one clip cost, for every outcome."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, reply: ChatReply) -> None:
        self.requests += reply.requests
        self.tokens_in += reply.tokens_in or 0
        self.tokens_out += reply.tokens_out or 0


_ClipResult = tuple[CaptionClip, Outcome, _Usage]


@dataclass(frozen=True)
class _ApiWorker:
    """The work of one worker."""

    stage: ApiCaption
    chat: ChatClient

    def caption_batch(self, batch: CaptionBatch) -> CaptionedBatch:
        """Captions the clips of a batch; `InfrastructureError` if none gets an outcome."""
        monitor = _SilenceMonitor(max(2, self.stage.concurrency))

        def caption_clip(clip: CaptionClip) -> _ClipResult:
            usage = _Usage()
            if monitor.limit_reached:
                return clip, Unavailable(clip.key, "the server has stopped answering"), usage
            work = _ClipCaptioner(self.stage, self.chat, batch.limits, usage, monitor)
            return clip, attempt(work.caption_rows, clip), usage

        with ThreadPoolExecutor(self.stage.concurrency) as pool:
            return _batch_result(pool.map(caption_clip, batch.clips))


def _batch_result(clip_results: Iterable[_ClipResult]) -> CaptionedBatch:
    result = CaptionedBatch()
    for clip, outcome, usage in clip_results:
        if isinstance(outcome, Done):
            result.captions.extend(outcome.value)
            result.clips.append(captioned_row(clip, outcome.value, requests=usage.requests))
        elif isinstance(outcome, Failed):
            result.clips.append(failed_row(clip, outcome, **vars(usage)))
        elif isinstance(outcome, Unavailable):
            result.deferred.append(outcome.detail)
        else:
            raise InfrastructureError(outcome.detail)
    if result.deferred and not result.clips:
        raise InfrastructureError(result.deferred[0])
    return result


@dataclass(frozen=True)
class _ClipCaptioner:
    """The requests for one clip."""

    stage: ApiCaption
    chat: ChatClient
    limits: Limits
    usage: _Usage
    monitor: _SilenceMonitor

    def caption_rows(self, clip: CaptionClip) -> list[Caption]:
        """A caption for each window; raises what prevents one."""
        try:
            windows = self.stage.windows(clip, self.limits)
            rows = [caption_row(window, self._caption(window)) for window in windows]
        except RefusedError as error:
            self.monitor.record(answered=True)
            raise MediaError("refused", str(error)) from error
        except UnansweredError:
            self.monitor.record(answered=False)
            raise
        self.monitor.record(answered=True)
        return rows

    def _caption(self, window: FrameWindow) -> WindowCaption:
        templates, frames = self.stage.templates, len(window.frames)
        prompt = templates.caption_prompt(frames, window.duration_s, window.captions)
        reply = self._ask(window, prompt)
        text = clean_text(reply.text, truncated=reply.truncated)
        if reply.content_filtered:
            raise MediaError("refused", "the server's filter withheld the answer")
        if not text:
            raise MediaError("no_caption", "the server's answer is empty")
        answers: dict[str, float] = {}
        replies = [reply]
        if templates.questions:
            prompt = templates.questions_prompt(frames, window.duration_s)
            answers = self._answers(window, prompt, replies)
        tokens_in = _sum_known([reply.tokens_in for reply in replies])
        tokens_out = _sum_known([reply.tokens_out for reply in replies])
        return WindowCaption(text, answers, tokens_in, tokens_out)

    def _answers(
        self, window: FrameWindow, prompt: str, replies: list[ChatReply]
    ) -> dict[str, float]:
        """The confidence of each yes; all replies are added to `replies`."""
        questions = list(self.stage.questions)
        message = ""
        for _ in range(_MAX_ANSWER_REQUESTS):
            replies.append(self._ask(window, prompt, questions))
            try:
                return parse_answers(replies[-1].text, questions)
            except AnswersError as error:
                message = str(error)
        raise MediaError("no_caption", f"{_MAX_ANSWER_REQUESTS} times no answers: {message}")

    def _ask(
        self, window: FrameWindow, prompt: str, questions: list[str] | None = None
    ) -> ChatReply:
        reply = self.chat.ask(window.frames, prompt, questions or [])
        self.usage.add(reply)
        if self.stage.token_limit is not None and reply.tokens_in is None:
            raise InfrastructureError(
                "the server does not say how many tokens it used, so token_limit cannot be kept;"
                " set request_limit instead"
            )
        return reply


def _sum_known(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
