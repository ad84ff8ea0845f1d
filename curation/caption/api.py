"""Captions by a server that speaks OpenAI's language: vLLM, Ollama, or a paid one.

How it is asked is in `curation.caption.chat`, what becomes of the answers in
`curation.caption.api_worker`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from curation.caption.api_worker import Interview
from curation.caption.base import Budget, CaptionBatch, CaptionedBatch, Identity
from curation.caption.chat import Chat, Server
from curation.caption.prompted import Describing
from curation.catalog import Catalog
from curation.stage import Needs


@dataclass(frozen=True)
class ApiCaption(Describing):
    """Describes clips by asking a server."""

    url: str = "http://127.0.0.1:8000/v1"
    """The server's address, up to and with `/v1`; no other is ever asked."""
    key_variable: str = "REELMILL_API_KEY"
    """The environment variable that holds the key, if the server wants one."""
    concurrency: int = 8
    """Requests at once, from each worker."""
    retries: int = 6
    """How often a request is sent again that the server could not answer."""
    timeout_s: float = 120.0
    """Longest wait for one answer."""
    temperature: float = 0.0
    """0 asks for the likeliest words."""
    seed: int = 0
    """For servers that draw words."""
    options: dict[str, Any] = field(default_factory=dict)
    """More that goes into each request, as the server knows it."""
    request_limit: int | None = None
    """The run stops when this table has cost so many requests, over all runs; null for any."""
    token_limit: int | None = None
    """The same for tokens, read and written."""

    def __post_init__(self) -> None:
        """Refuses what is no server."""
        super().__post_init__()
        self.server  # noqa: B018  which checks its own
        if self.concurrency < 1 or self.retries < 0:
            raise ValueError("needs a request at once, and no fewer than 0 retries")

    @property
    def server(self) -> Server:
        """Where and how to ask."""
        return Server(self.url, self.model, self.key_variable, self.timeout_s, self.retries)

    @property
    def needs(self) -> Needs:
        """A core, for decoding and packing pictures; the rest is waiting."""
        return Needs(cpus=1.0, memory_mb=1024 + 64 * self.concurrency)

    @property
    def together(self) -> int:
        """Clips to a batch; small where a limit has to be kept."""
        limited = self.request_limit is not None or self.token_limit is not None
        return self.concurrency * (1 if limited else 4)

    @property
    def budget(self) -> Budget:
        """The limits."""
        return Budget(self.request_limit, self.token_limit)

    def table(self, catalog: Catalog) -> str:
        """By the model's name and all that it is told; where it runs decides nothing."""
        return self.named(self.model, self.temperature, self.seed, self.options)

    def identity(self) -> Identity:
        """The model's name and its words; its files are the server's."""
        return Identity(self.model, None, self.words.digest)

    def setup(self) -> Callable[[CaptionBatch], CaptionedBatch]:
        """Opens the connection; `ValueError` without the openai package."""
        chosen = {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed}
        chat = Chat(self.server, chosen | self.options)
        return Interview(self, chat, self.concurrency, self.token_limit is not None).captioned
