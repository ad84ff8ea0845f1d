"""Asking an OpenAI-compatible server (vLLM, Ollama and others), by the openai package.

The package waits and asks again after 408, 409, 429, 5xx, time-outs and connections that break, at
growing distances or as long as `Retry-After` says (two minutes at most). One address is asked and
no other: redirects are not followed. The key comes from the environment and goes nowhere else.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from curation.caption.vqa import schema_of
from curation.errors import ReelmillError, UnavailableError
from curation.media.decode import Frames

_QUALITY = 85
_NO_KEY = "none"
_BROKEN = 3
"""How often an answer is asked for whose bytes are no answer."""


class UnansweredError(UnavailableError):
    """The server gave no answer, however often it was asked; that says nothing of the clip."""


class RefusedError(ReelmillError):
    """The server answers, but not this request."""


@dataclass(frozen=True)
class Server:
    """Where and how to ask."""

    url: str
    """Up to and with `/v1`."""
    model: str
    """As the server names it."""
    key_variable: str
    """The environment variable that holds the key."""
    timeout_s: float
    """Longest wait for one answer."""
    retries: int
    """How often one request is sent again."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url {self.url!r} is no http:// or https:// address")
        if parts.username or parts.password or parts.query:
            raise ValueError("url: a key or password belongs in the environment, not the address")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    text: str
    cut_short: bool
    """Whether it was stopped by the limit on tokens."""
    withheld: bool
    """Whether the server's filter kept it back."""
    tokens_in: int | None
    tokens_out: int | None
    requests: int
    """How often it was asked, with those sent again."""


class Chat:
    """A connection; threads may share it. Raises `ValueError` without the openai package."""

    def __init__(self, server: Server, options: Mapping[str, Any]) -> None:
        """`options` go into every request, beside the model and the messages."""
        try:
            import openai
        except ModuleNotFoundError as error:
            words = f"{error.name} is not installed: pip install 'reelmill[api]'"
            raise ValueError(words) from error
        self._openai = openai
        self._server = server
        self._options = dict(options)
        self._taken: set[str] = set()
        self._lock = threading.Lock()
        self._client = openai.OpenAI(
            base_url=server.url,
            api_key=os.environ.get(server.key_variable) or _NO_KEY,
            max_retries=server.retries,
            timeout=server.timeout_s,
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        )

    def ask(self, pictures: Frames, words: str, questions: Sequence[str] = ()) -> Answer:
        """Asks about pictures, RGB uint8 [n, height, width, 3]; for JSON if there are questions.

        Raises `RefusedError` where the server takes other pictures with the same words, and
        `UnansweredError` where it does not answer.
        """
        kind = "answers" if questions else "words"
        try:
            answer = self._asked(pictures, words, questions)
        except RefusedError as error:
            with self._lock:
                if kind not in self._taken:
                    self._try_plain(pictures, words, questions, error)
                    self._taken.add(kind)
            raise
        self._taken.add(kind)
        return answer

    def _try_plain(
        self, pictures: Frames, words: str, questions: Sequence[str], refused: Exception
    ) -> None:
        """Grey pictures in place of the clip's tell whether the settings are at fault."""
        grey = pictures[:, :64, :64] * 0 + 128
        try:
            self._asked(grey.astype(pictures.dtype), words, questions)
        except RefusedError:
            raise UnansweredError(
                f"{self._server.url} refuses every request of this kind: {refused}"
            ) from refused

    def _asked(self, pictures: Frames, words: str, questions: Sequence[str]) -> Answer:
        content = [*map(_picture, pictures), {"type": "text", "text": words}]
        more = dict(self._options)
        if questions:
            schema = {"name": "answers", "strict": True, "schema": schema_of(questions)}
            more["response_format"] = {"type": "json_schema", "json_schema": schema}
        sent = 0
        for _ in range(_BROKEN):
            with self._errors():
                raw = self._client.chat.completions.with_raw_response.create(
                    model=self._server.model,
                    messages=[{"role": "user", "content": content}],
                    extra_body=more,
                )
            sent += 1 + raw.retries_taken
            with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
                return _read(raw.content, sent)
        raise UnansweredError(f"{self._server.url} gives answers that are none: {raw.text[:200]!r}")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        openai, where = self._openai, self._server.url
        try:
            yield
        except openai.APIStatusError as error:
            said = error.message.removeprefix(f"Error code: {error.status_code} - ")
            words = f"{error.status_code}: {' '.join(said.split())[:300]}"
            if error.status_code in _REFUSALS:
                raise RefusedError(words) from error
            hint = _HINTS.get(error.status_code, "").format(key=self._server.key_variable)
            raise UnansweredError(f"{where} answers {words}{hint}") from error
        except openai.OpenAIError as error:
            cause = error.__cause__ or error
            words = f"{type(cause).__name__}: {cause}".rstrip(": ")
            raise UnansweredError(f"{where} does not answer: {words}") from error


_REFUSALS = frozenset((400, 413, 415, 422))
_HINTS = {
    401: "; the key has to be in {key}",
    403: "; the key in {key} may not ask this",
    404: "; is this the address up to /v1, and does the server know the model?",
}


def _picture(rgb: Any) -> dict[str, Any]:
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(rgb).save(held, "JPEG", quality=_QUALITY)
    data = base64.b64encode(held.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def _read(body: bytes, requests: int) -> Answer:
    """The first choice; raises what a body of another form brings about."""
    held = json.loads(body)
    choice, usage = held["choices"][0], held.get("usage") or {}
    text = choice["message"].get("content") or ""
    read, written = (usage.get(name) for name in ("prompt_tokens", "completion_tokens"))
    reason = choice.get("finish_reason")
    return Answer(
        text=str(text),
        cut_short=reason == "length",
        withheld=reason == "content_filter",
        tokens_in=None if read is None else int(read),
        tokens_out=None if written is None else int(written),
        requests=requests,
    )
