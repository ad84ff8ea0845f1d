"""Requests to an OpenAI-compatible server (vLLM, Ollama and others), by the openai package.

The package retries 408, 409, 429, 5xx, time-outs and broken connections, with exponential backoff
or after what `Retry-After` says (two minutes at most). Redirects are not followed, so no other
address is ever asked. The key comes from the environment and goes nowhere else.
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

from curation.caption.base import CaptionerError
from curation.caption.vqa import answers_schema
from curation.errors import ReelmillError, UnavailableError
from curation.extras import install_command
from curation.media.decode import Frames

_JPEG_QUALITY = 85
_NO_KEY = "none"
_MAX_REQUESTS = 3
"""Requests until a response that is no chat completion counts as none."""
_REFUSALS = frozenset((400, 413, 415, 422))
_HINTS = {
    401: "; the key has to be in {key}",
    403: "; the key in {key} may not ask this",
    404: "; is this the address up to /v1, and does the server know the model?",
}


class UnansweredError(UnavailableError):
    """The server gave no answer after all retries; not the clip's fault."""


class RefusedError(ReelmillError):
    """The server answers, but rejects this request."""


@dataclass(frozen=True)
class ChatServer:
    """Address and settings of a server. Raises `CaptionerError` for a url that cannot be used."""

    url: str
    """Up to and with `/v1`."""
    model: str
    """As the server names it."""
    key_variable: str
    """The environment variable that holds the key."""
    timeout_s: float
    """Longest wait for one answer."""
    retries: int
    """Of one request."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CaptionerError(f"url {self.url!r} is no http:// or https:// address")
        if parts.username or parts.password or parts.query:
            raise CaptionerError(
                "url: a key or password belongs in the environment, not the address"
            )


@dataclass(frozen=True, slots=True)
class ChatReply:
    """The server's answer."""

    text: str
    truncated: bool
    """Whether the limit on tokens stopped it."""
    content_filtered: bool
    """Whether the server's filter withheld it."""
    tokens_in: int | None
    tokens_out: int | None
    requests: int
    """Requests that it took, with retries."""


class ChatClient:
    """A connection that threads may share. Raises `CaptionerError` without the openai package."""

    def __init__(self, server: ChatServer, options: Mapping[str, Any]) -> None:
        """`options` go into every request, beside the model and the messages."""
        try:
            import openai
        except ModuleNotFoundError as error:
            raise CaptionerError(
                f"{error.name} is not installed: {install_command('api')}"
            ) from error
        self._openai = openai
        self._server = server
        self._options = dict(options)
        self._accepted_kinds: set[str] = set()
        self._lock = threading.Lock()
        self._client = openai.OpenAI(
            base_url=server.url,
            api_key=os.environ.get(server.key_variable) or _NO_KEY,
            max_retries=server.retries,
            timeout=server.timeout_s,
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        )

    def ask(self, images: Frames, text: str, questions: Sequence[str] = ()) -> ChatReply:
        """The answer about images, RGB uint8 [n, height, width, 3]; JSON if there are questions.

        Raises `RefusedError` where the server takes other images with the same text, and
        `UnansweredError` where it does not answer.
        """
        kind = "answers" if questions else "text"
        try:
            reply = self._request(images, text, questions)
        except RefusedError as error:
            with self._lock:
                if kind not in self._accepted_kinds:
                    self._try_grey_images(images, text, questions, error)
                    self._accepted_kinds.add(kind)
            raise
        self._accepted_kinds.add(kind)
        return reply

    def _try_grey_images(
        self, images: Frames, text: str, questions: Sequence[str], refusal: Exception
    ) -> None:
        """Raises `UnansweredError` if grey images are refused too: the settings are at fault."""
        grey = images[:, :64, :64] * 0 + 128
        try:
            self._request(grey.astype(images.dtype), text, questions)
        except RefusedError:
            raise UnansweredError(
                f"{self._server.url} refuses every request of this kind: {refusal}"
            ) from refusal

    def _request(self, images: Frames, text: str, questions: Sequence[str]) -> ChatReply:
        content = [*map(_image_part, images), {"type": "text", "text": text}]
        extra_body = dict(self._options)
        if questions:
            schema = {"name": "answers", "strict": True, "schema": answers_schema(questions)}
            extra_body["response_format"] = {"type": "json_schema", "json_schema": schema}
        requests = 0
        for _ in range(_MAX_REQUESTS):
            with self._translated_errors():
                response = self._client.chat.completions.with_raw_response.create(
                    model=self._server.model,
                    messages=[{"role": "user", "content": content}],
                    extra_body=extra_body,
                )
            requests += 1 + response.retries_taken
            with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
                return _parse_reply(response.content, requests)
        raise UnansweredError(
            f"{self._server.url} answers with no chat completion: {response.text[:200]!r}"
        )

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        openai, url = self._openai, self._server.url
        try:
            yield
        except openai.APIStatusError as error:
            text = error.message.removeprefix(f"Error code: {error.status_code} - ")
            message = f"{error.status_code}: {' '.join(text.split())[:300]}"
            if error.status_code in _REFUSALS:
                raise RefusedError(message) from error
            hint = _HINTS.get(error.status_code, "").format(key=self._server.key_variable)
            raise UnansweredError(f"{url} answers {message}{hint}") from error
        except openai.OpenAIError as error:
            cause = error.__cause__ or error
            message = f"{type(cause).__name__}: {cause}".rstrip(": ")
            raise UnansweredError(f"{url} does not answer: {message}") from error


def _image_part(rgb: Any) -> dict[str, Any]:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def _parse_reply(body: bytes, requests: int) -> ChatReply:
    """The first choice; a body of another form raises one of several built-in errors."""
    completion = json.loads(body)
    choice, usage = completion["choices"][0], completion.get("usage") or {}
    tokens_in, tokens_out = (usage.get(name) for name in ("prompt_tokens", "completion_tokens"))
    reason = choice.get("finish_reason")
    return ChatReply(
        text=str(choice["message"].get("content") or ""),
        truncated=reason == "length",
        content_filtered=reason == "content_filter",
        tokens_in=None if tokens_in is None else int(tokens_in),
        tokens_out=None if tokens_out is None else int(tokens_out),
        requests=requests,
    )
