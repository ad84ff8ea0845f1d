"""What stands before every route: names, origins, rates, sizes and times; and headers behind it.

Pure ASGI, so that a request that is refused costs next to nothing. A server on loopback is reached
by every page that a browser on the machine shows: the Host header has to be one of the server's
names (a rebound name is another), and a request that changes something has to come from its own
origin or from no browser at all.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.service.api_keys import LOCAL, Caller, Tokens, digest
from pipelines.service.metrics import Metrics
from pipelines.service.rate_limit import Buckets
from pipelines.service.settings import Settings

COOKIE = "reelmill_token"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " media-src 'self' blob:; connect-src 'self'; font-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.S)
_BRACKET = re.compile(rb"[\[\]{}]")
_SAFE = {"GET", "HEAD", "OPTIONS"}
_REMEMBERED_S = 1.0
"""How long a token that was looked up is believed; so long a revoked one may still work."""
_MOST_REMEMBERED = 10_000


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818  an answer, not a mistake
    """An answer without asking a route."""

    status: int
    words: str
    wait_s: float | None = None


class Callers:
    """Finds who calls, from the token that a request shows."""

    def __init__(self, tokens: Tokens, is_loopback: bool) -> None:
        self._tokens = tokens
        self._is_loopback = is_loopback
        self._known: dict[str, tuple[Caller | None, float]] = {}

    def find(self, headers: Headers) -> Caller | None:
        """The caller; None without a token that holds, where one is asked for."""
        secret = _secret(headers)
        key = digest(secret) if secret else ""
        found = self._known.get(key)
        now = time.monotonic()
        if found is None or now >= found[1]:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            found = (self._look_up(secret), now + _REMEMBERED_S)
            self._known[key] = found
        return found[0]

    def _look_up(self, secret: str) -> Caller | None:
        if secret:
            return self._tokens.find(secret)
        return LOCAL if self._is_loopback and not self._tokens.exist() else None


def _secret(headers: Headers) -> str:
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return shown.strip()
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, settings: Settings, tokens: Tokens, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._limits = settings.limits
        self._callers = Callers(tokens, settings.is_loopback)
        self._buckets = Buckets(self._limits.rate, self._limits.burst)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no route speaks anything else; the server answers 403
        began = time.perf_counter()
        answer = _Answer(send)
        try:
            await self._pass_on(scope, receive, answer)
        except Refusal as refusal:
            await answer.refuse(refusal)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "") if answer.status != 429 else "(limited)"
            took = time.perf_counter() - began
            self._metrics.saw(scope["method"], path or "(none)", answer.status, took)

    async def _pass_on(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers = Headers(scope=scope)
        self._check_place(scope, headers)
        caller = self._callers.find(headers)
        scope.setdefault("state", {})["caller"] = caller
        client = scope.get("client") or ("?", 0)
        wait_s = self._buckets.take(caller.name if caller else f"address:{client[0]}")
        if wait_s:
            raise Refusal(429, "too many requests; wait a little", wait_s)
        body = await self._body(headers, receive)
        await self._answered(scope, _again(body, receive), answer)

    def _check_place(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        if (name or "").lower() not in self._settings.hosts:
            raise Refusal(421, "this server does not go by that name; see --name")
        if scope["method"] in _SAFE:
            return
        origin = headers.get("origin")
        if origin is not None and urlsplit_host(origin) != host.lower():
            raise Refusal(403, "a page of another origin may change nothing here")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refusal(403, "a page of another site may change nothing here")

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """All of the body; refused as soon as it is too long, too slow or too deep."""
        is_picture = headers.get("content-type", "").startswith("image/")
        most = self._limits.picture_bytes if is_picture else self._limits.body_bytes
        try:
            declared = int(headers.get("content-length", "0"))
        except ValueError:
            raise Refusal(400, "Content-Length is no number") from None
        if declared > most:
            raise Refusal(413, f"a body may have {most} bytes")
        body = bytearray()
        try:
            with anyio.fail_after(self._limits.body_s):
                more = True
                while more:
                    message = await receive()
                    body += message.get("body", b"")
                    more = message["type"] == "http.request" and message.get("more_body", False)
                    if len(body) > most:
                        raise Refusal(413, f"a body may have {most} bytes")
        except TimeoutError:
            raise Refusal(408, "the body took too long to arrive") from None
        if "json" in headers.get("content-type", "json"):
            check_depth(bytes(body), self._limits.depth)
        return bytes(body)

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Runs the application; its answer has to begin in time."""
        work = asyncio.ensure_future(self._app(scope, receive, answer))
        begun = asyncio.ensure_future(answer.begun.wait())
        try:
            await asyncio.wait(
                {work, begun}, timeout=self._limits.answer_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not work.done() and not answer.begun.is_set():
                raise Refusal(503, "this takes too long; ask for less, or later", 10.0)
            await work
        finally:
            begun.cancel()
            if not work.done():
                work.cancel()


class _Answer:
    """Sends an answer with the headers that all of them have, and knows how it went."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = asyncio.Event()
        self.status = 500
        self._is_over = False

    async def __call__(self, message: Message) -> None:
        if self._is_over:
            return  # it was refused for being late
        if message["type"] == "http.response.start":
            self.begun.set()
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answers that it will not."""
        if self.begun.is_set():
            return
        body = json.dumps({"detail": refusal.words}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if refusal.wait_s is not None:
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(refusal.wait_s))))
        if refusal.status in (408, 413):
            headers.append((b"connection", b"close"))
        await self({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})
        self._is_over = True


def _again(body: bytes, receive: Receive) -> Receive:
    """Hands out a body that was read already, then whatever comes."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


def urlsplit_host(origin: str) -> str:
    """Host and port of an origin, in small letters; empty where there is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def check_depth(body: bytes, most: int) -> None:
    """Raises `Refusal` for JSON that is nested too deeply, without parsing it."""
    depth = 0
    for bracket in _BRACKET.finditer(_TEXT.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > most:
            raise Refusal(422, f"JSON may be {most} deep")
