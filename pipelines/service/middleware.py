"""Checks before every route: host, origin, rate, size and time; and security headers after it.

Pure ASGI, so that a refused request is cheap. Any page in a browser on the machine can reach a
server on loopback: the Host header has to be one of the server's names (a rebound name is not), and
a request that changes something has to come from its own origin or from no browser at all.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
import numpy as np
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from curation.errors import ReelmillError
from curation.sql_filter import Interruption
from pipelines.service.api_keys import LOCAL, ApiKeys, Caller, digest
from pipelines.service.audit import REFUSALS, AuditLog
from pipelines.service.connections import client_network
from pipelines.service.metrics import Metrics
from pipelines.service.rate_limit import RateLimiter
from pipelines.service.settings import ServerSettings

COOKIE = "reelmill_session"
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
_JSON_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.S)
"""A text, or one that lacks its end: there is no `"` from which this does not match."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_DEPTH_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_SESSION_COOKIE = re.compile(rf"(?:^|;)\s*{COOKIE}=([0-9a-f]{{64}})\s*(?:;|$)")
UNCHANGING = frozenset({
    "/v1/plan", "/v1/collections/{name}/search", "/v1/collections/{name}/search/picture",
    "/v1/collections/{name}/facets", "/v1/collections/{name}/reselection",
})  # fmt: skip
"""Routes that take a body and change nothing; requests to the others are audited."""
_CALLER_TTL_S = 1.0
"""Seconds for which a looked-up key is trusted; a revoked one may work as long."""
_MAX_CALLERS = 10_000
_MAX_PATH = 300
"""Characters of a path that are recorded."""
_MAX_UNKNOWN_BYTES = 4096
"""Of a body without a valid key."""


@dataclass(eq=False)
class Rejection(ReelmillError):  # noqa: N818  a response, not a mistake
    """A response in place of the route's."""

    status: int
    detail: str
    retry_after_s: float | None = None


class CallerCache:
    """Callers by the API key of a request."""

    def __init__(self, keys: ApiKeys, is_loopback: bool) -> None:
        self._keys = keys
        self._is_loopback = is_loopback
        self._entries: dict[str, tuple[Caller | None, float]] = {}

    def find(self, headers: Headers) -> Caller | None:
        """The caller; None without a valid key where one is required."""
        secret = _bearer_secret(headers)
        if not secret and (session := session_id(headers)):
            caller = self._keys.find_session(session)
            if caller is not None:
                return caller
        secret_digest = digest(secret) if secret else ""
        caller, expires_at = self._entries.get(secret_digest, (None, 0.0))
        now = time.monotonic()
        if now >= expires_at:
            if len(self._entries) >= _MAX_CALLERS:
                self._entries.clear()
            if secret:
                caller = self._keys.find(secret)
            else:
                caller = LOCAL if self._is_loopback and not self._keys.exist() else None
            self._entries[secret_digest] = (caller, now + _CALLER_TTL_S)
        return caller


def _bearer_secret(headers: Headers) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def session_id(headers: Headers) -> str:
    """The id of the session that the cookies name; empty without one."""
    match = _SESSION_COOKIE.search(headers.get("cookie", ""))
    return match[1] if match else ""


class SecurityMiddleware:
    """The outermost layer of the application."""

    def __init__(
        self, app: ASGIApp, settings: ServerSettings, keys: ApiKeys, metrics: Metrics,
        audit: AuditLog,
    ) -> None:  # fmt: skip
        self._app = app
        self._settings = settings
        self._limits = settings.limits
        self._callers = CallerCache(keys, settings.is_loopback)
        self._rate_limiter = RateLimiter(self._limits.rate, self._limits.burst)
        self._metrics = metrics
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no route speaks anything else; the server answers 403
        started = time.perf_counter()
        response = _Response(send)
        try:
            await self._handle(scope, receive, response)
        except Rejection as rejection:
            await response.reject(rejection)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "") if response.status != 429 else "(limited)"
            self._metrics.record_request(
                scope["method"], path or "(none)", response.status, time.perf_counter() - started
            )
            self._record(scope, response, path)

    def _record(self, scope: Scope, response: _Response, route: str) -> None:
        """Adds a refused or changing request to the audit log."""
        caller = scope.get("state", {}).get("caller")
        fields = {
            "caller": caller.name if caller else None, "method": scope["method"],
            "path": scope["path"][:_MAX_PATH],
        }  # fmt: skip
        address, status = _address(scope), response.status
        if status in REFUSALS:
            self._audit.record_refusal(address, status, response.detail, **fields)
        elif status < 400 and scope["method"] not in _SAFE_METHODS and route not in UNCHANGING:
            detail = response.location or None
            self._audit.record(address=address, status=status, detail=detail, **fields)

    async def _handle(self, scope: Scope, receive: Receive, response: _Response) -> None:
        headers = Headers(scope=scope)
        self._check_origin(scope["method"], headers)
        caller = self._callers.find(headers)
        scope.setdefault("state", {})["caller"] = caller
        bucket = caller.name if caller else f"address:{client_network(_address(scope))}"
        wait_s = self._rate_limiter.take(bucket)
        if wait_s:
            raise Rejection(429, "too many requests; wait a little", wait_s)
        body = await self._read_body(headers, receive, is_known=caller is not None)
        await self._run_app(scope, _Channel(body, receive), response)

    def _check_origin(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        if (name or "").lower() not in self._settings.allowed_hosts:
            raise Rejection(421, "the Host header is none of this server's names; see --name")
        if method in _SAFE_METHODS:
            return
        origin = headers.get("origin")
        if origin is not None and _origin_host(origin) != host.lower():
            raise Rejection(403, "a page of another origin may change nothing here")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Rejection(403, "a page of another site may change nothing here")

    async def _read_body(self, headers: Headers, receive: Receive, *, is_known: bool) -> bytes:
        """The whole body; rejected as soon as it is too long, too slow or too deep.

        Without a valid key it may only be as long as signing in takes.
        """
        content_type = headers.get("content-type", "json").lower()
        is_image = content_type.startswith("image/")
        max_bytes = self._limits.image_bytes if is_image else self._limits.body_bytes
        too_long = Rejection(413, f"a body may have {max_bytes} bytes")
        if not is_known and max_bytes > _MAX_UNKNOWN_BYTES:
            max_bytes = _MAX_UNKNOWN_BYTES
            too_long = Rejection(401, "send a valid API key: Authorization: Bearer …")
        try:
            declared_bytes = int(headers.get("content-length", "0"))
        except ValueError:
            raise Rejection(400, "Content-Length is no number") from None
        if declared_bytes > max_bytes:
            raise too_long
        body = bytearray()
        try:
            with anyio.fail_after(self._limits.body_s):
                has_more = True
                while has_more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Rejection(499, "the client hung up")
                    body += message.get("body", b"")
                    has_more = message.get("more_body", False)
                    if len(body) > max_bytes:
                        raise too_long
        except TimeoutError:
            raise Rejection(408, "the body took too long to arrive") from None
        if "json" in content_type:
            check_json(bytes(body), self._limits.json_depth, self._limits.json_items)
        return bytes(body)

    async def _run_app(self, scope: Scope, channel: _Channel, response: _Response) -> None:
        """Runs the application; its response has to start in time, and while the client is there.

        It is never cancelled: it holds the place of its thread until that ends.
        """
        with Interruption() as interruption:
            watch = asyncio.ensure_future(self._watch(channel, response, interruption))
            try:
                await self._app(scope, channel.receive, response)
            finally:
                watch.cancel()

    async def _watch(
        self, channel: _Channel, response: _Response, interruption: Interruption
    ) -> None:
        """Interrupts what is computed too long, or for a client that hung up."""
        rejection = Rejection(499, "the client hung up")  # known to nobody but the metrics
        try:
            await asyncio.wait_for(channel.watch(), self._limits.response_s)
        except asyncio.TimeoutError:
            rejection = Rejection(
                503, "this takes too long; request less, or try again later", 10.0
            )
            if response.has_started:
                await channel.watch()
        if not response.has_started:
            interruption.set()
            await response.reject(rejection)
            channel.is_closed.set()  # what the application would still send has no receiver


class _Response:
    """Sends a response with the security headers, and records its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_started = False
        self.status = 500
        self.location = ""
        self._body = b""
        """Of an error; its start."""
        self._is_rejected = False

    @property
    def detail(self) -> str:
        """What an error says."""
        try:
            return str(json.loads(self._body)["detail"])
        except (ValueError, LookupError, TypeError):
            return ""

    async def __call__(self, message: Message) -> None:
        if not self._is_rejected:
            await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            self.location = headers.get("location", "")
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        elif self.status in REFUSALS:
            self._body = (self._body + message.get("body", b""))[:_MAX_UNKNOWN_BYTES]
        await self._send(message)

    async def reject(self, rejection: Rejection) -> None:
        """Sends the rejection in place of the application's response, unless that has started."""
        if self.has_started:
            return
        self._is_rejected = True
        body = json.dumps({"detail": rejection.detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if rejection.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(rejection.retry_after_s))))
        if rejection.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if rejection.status in (401, 408, 413):
            headers.append((b"connection", b"close"))
        await self._pass_on({
            "type": "http.response.start", "status": rejection.status, "headers": headers,
        })  # fmt: skip
        await self._pass_on({"type": "http.response.body", "body": body})


class _Channel:
    """Delivers a body that was read already, then that the client is gone."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive
        self.is_closed = asyncio.Event()
        """Set once the client has hung up, or has its response."""

    async def watch(self) -> None:
        """Waits until the client hangs up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_closed.set()

    async def receive(self) -> MutableMapping[str, Any]:
        """See ASGI."""
        if self._body is None:
            await self.is_closed.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _address(scope: Scope) -> str:
    return (scope.get("client") or ("?", 0))[0]


def _origin_host(origin: str) -> str:
    """Host and port of an origin in lower case; empty where there is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def check_json(body: bytes, max_depth: int, max_items: int) -> None:
    """Raises `Rejection` for JSON that is too deep or has too many values, without parsing it.

    In two passes: one that leaves texts out and cannot go back, one over what is left.
    """
    outside = _JSON_TEXT.sub(b"", body)
    if outside.count(b",") >= max_items:
        raise Rejection(422, f"JSON may have {max_items} values")
    steps = np.frombuffer(outside.translate(_DEPTH_STEPS, _NO_BRACKETS), np.int8)
    if len(steps) and steps.cumsum(dtype=np.int64).max() > max_depth:
        raise Rejection(422, f"JSON may be {max_depth} deep")
