"""Asking a server about the clips of a batch, several at once, and what becomes of each.

Each clip is one thread's work. What the server cannot answer just now is no verdict on a clip: the
clip waits for another run, and the run stops once the server answers nobody. A request that the
server refuses fails its clip only if the server takes grey pictures with the same words.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from curation.caption.base import (
    CaptionBatch,
    CaptionClip,
    CaptionedBatch,
    captioned,
    failed,
)
from curation.caption.chat import Answer, Chat, RefusedError, UnansweredError
from curation.caption.prompted import Describing, Reply, caption_of, cleaned
from curation.caption.vqa import AnswersError, read_answers
from curation.caption.windows import Seen
from curation.errors import InfrastructureError, MediaError
from curation.media.sandbox import Limits
from curation.records import Caption
from curation.stage import Away, Done, Failed, Outcome, attempt

_ASKS = 3
"""How often answers are asked for that are no JSON."""


class _Patience:
    """Ends when nobody was answered for as many clips in a row as are asked about at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._unanswered = 0
        self._lock = threading.Lock()

    def count(self, *, answered: bool) -> None:
        with self._lock:
            self._unanswered = 0 if answered else self._unanswered + 1

    @property
    def ended(self) -> bool:
        return self._unanswered >= self._most


@dataclass
class _Spent:
    """What was asked about one clip, whatever comes of it."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, answer: Answer) -> None:
        self.requests += answer.requests
        self.tokens_in += answer.tokens_in or 0
        self.tokens_out += answer.tokens_out or 0


_Asked = tuple[CaptionClip, Outcome, _Spent]


@dataclass(frozen=True)
class Interview:
    """The work of one worker."""

    stage: Describing
    """What is shown and asked."""
    chat: Chat
    """The server."""
    at_once: int
    """Clips that are asked about at once."""
    counts_tokens: bool
    """Whether the server has to say how many tokens it used."""

    def captioned(self, batch: CaptionBatch) -> CaptionedBatch:
        """Asks about all clips of a batch; `EnvironmentFaultError` if nothing comes of any."""
        patience = _Patience(max(2, self.at_once))

        def one(clip: CaptionClip) -> _Asked:
            spent = _Spent()
            if patience.ended:
                return clip, Away(clip.key, "the server answers nobody"), spent
            work = _Clip(self, batch.limits, spent, patience)
            return clip, attempt(work.rows, clip), spent

        with ThreadPoolExecutor(self.at_once) as pool:
            return _gathered(pool.map(one, batch.clips))


def _gathered(asked: Iterable[_Asked]) -> CaptionedBatch:
    made = CaptionedBatch()
    for clip, outcome, spent in asked:
        if isinstance(outcome, Done):
            made.captions.extend(outcome.value)
            made.clips.append(captioned(clip, outcome.value, requests=spent.requests))
        elif isinstance(outcome, Failed):
            made.clips.append(failed(clip, outcome, **vars(spent)))
        elif isinstance(outcome, Away):
            made.waiting.append(outcome.detail)
        else:
            raise InfrastructureError(outcome.detail)
    if made.waiting and not made.clips:
        raise InfrastructureError(made.waiting[0])
    return made


@dataclass(frozen=True)
class _Clip:
    """What is asked about one clip."""

    interview: Interview
    limits: Limits
    spent: _Spent
    patience: _Patience

    def rows(self, clip: CaptionClip) -> list[Caption]:
        """A caption for each window; raises what keeps it from one."""
        try:
            shown = self.interview.stage.shown(clip, self.limits)
            rows = [caption_of(window, self._reply(window)) for window in shown]
        except RefusedError as error:
            self.patience.count(answered=True)
            raise MediaError("refused", str(error)) from error
        except UnansweredError:
            self.patience.count(answered=False)
            raise
        self.patience.count(answered=True)
        return rows

    def _reply(self, window: Seen) -> Reply:
        words, many = self.interview.stage.words, len(window.pictures)
        told = words.description(many, window.seconds, window.captions)
        said = self._ask(window, told)
        text = cleaned(said.text, cut_short=said.cut_short)
        if said.withheld:
            raise MediaError("refused", "the server's filter keeps the answer back")
        if not text:
            raise MediaError("no_caption", "the server's answer has no words")
        answers: dict[str, float] = {}
        given = [said]
        if words.questions:
            answers = self._answers(window, words.all_questions(many, window.seconds), given)
        read, written = ([getattr(a, n) for a in given] for n in ("tokens_in", "tokens_out"))
        return Reply(text, answers, _sum(read), _sum(written))

    def _answers(self, window: Seen, told: str, given: list[Answer]) -> dict[str, float]:
        """How sure the model is of each yes; what it says is added to `given`."""
        questions = list(self.interview.stage.questions)
        seen = ""
        for _ in range(_ASKS):
            given.append(self._ask(window, told, questions))
            try:
                return read_answers(given[-1].text, questions)
            except AnswersError as error:
                seen = str(error)
        raise MediaError("no_caption", f"{_ASKS} times no answers: {seen}")

    def _ask(self, window: Seen, told: str, questions: list[str] | None = None) -> Answer:
        said = self.interview.chat.ask(window.pictures, told, questions or [])
        self.spent.add(said)
        if self.interview.counts_tokens and said.tokens_in is None:
            raise InfrastructureError(
                "the server does not say how many tokens it used, so token_limit cannot be kept;"
                " set request_limit instead"
            )
        return said


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
