"""Connections: how many, how large the head of a request is, and how long it takes to arrive.

These bounds hold before the application sees a request, so before it knows who sends it. uvicorn's
own protocol on h11 bounds a head that is incomplete, and nothing else. Here a connection is closed
whose head is too large or too slow, or which takes no bytes; an address has so many connections,
and the server so many in all. Where the server is full, the connection goes first that has waited
longest for a head: who opens connections to send nothing on them shuts nobody out.

A body has to declare its length: one that comes in chunks of a byte each costs seconds of parsing.
"""

from __future__ import annotations

import asyncio
import http
import ipaddress
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipelines.service.settings import ServerLimits

RefusalCallback = Callable[[str, int, str], None]
"""Receives the address, status and detail of a refused connection or request."""
_SLICE_BYTES = 1 << 14
"""Bytes that are parsed before the bounds are looked at again."""


def client_network(address: str) -> str:
    """What counts as one address: an IPv4 address, or the 64-bit prefix that one IPv6 host has."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


class ConnectionTable:
    """The open connections of one server."""

    def __init__(
        self,
        limits: ServerLimits,
        proxies: frozenset[str] = frozenset(),
        on_refusal: RefusalCallback = lambda *_: None,
    ) -> None:
        """The addresses of `proxies` carry the connections of others and are not bounded each."""
        self.limits = limits
        self.on_refusal = on_refusal
        self._proxies = proxies
        self._open: dict[BoundedProtocol, str] = {}
        """Each with its network."""
        self._per_network: Counter[str] = Counter()
        self._waiting: dict[BoundedProtocol, None] = {}
        """Those without a complete head, the longest waiting first."""

    def add(self, protocol: BoundedProtocol, address: str) -> tuple[int, str] | None:
        """Counts a connection; the status and detail to refuse it with, if there is no room."""
        network = client_network(address)
        if (
            self._per_network[network] >= self.limits.connections_per_address
            and address not in self._proxies
        ):
            return 429, "this address has too many open connections"
        if len(self._open) >= self.limits.connections:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                return 503, "the server has too many open connections"
            oldest.drop(503, "the server needs the connection for another request")
            self.remove(oldest)
        self._open[protocol] = network
        self._per_network[network] += 1
        return None

    def remove(self, protocol: BoundedProtocol) -> None:
        """Counts a connection no longer; nothing happens for one that was not counted."""
        self._waiting.pop(protocol, None)
        network = self._open.pop(protocol, None)
        if network is not None:
            self._per_network[network] -= 1
            if not self._per_network[network]:
                del self._per_network[network]

    def set_waiting(self, protocol: BoundedProtocol, is_waiting: bool) -> None:
        """Records whether a connection waits for the head of a request."""
        if not is_waiting:
            self._waiting.pop(protocol, None)
        elif protocol in self._open:
            self._waiting.setdefault(protocol)


class BoundedConnection(h11.Connection):
    """Parses requests, and refuses those whose head is beyond the bounds."""

    def __init__(self, limits: ServerLimits) -> None:
        super().__init__(h11.SERVER, limits.head_bytes)
        self._limits = limits
        self.refusal: h11.RemoteProtocolError | None = None
        """Why the last request was refused."""

    def next_event(self) -> Any:
        """See h11; raises `RemoteProtocolError` with a status for what is refused."""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._check(event)
        except h11.RemoteProtocolError as error:
            self.refusal = error
            raise
        return event

    def _check(self, request: h11.Request) -> None:
        limits, headers = self._limits, list(request.headers)
        size_bytes = len(request.target) + sum(len(name) + len(value) for name, value in headers)
        cookie_bytes = sum(len(value) for name, value in headers if name == b"cookie")
        for is_wrong, status, detail in (
            (size_bytes > limits.head_bytes, 431, f"a head may have {limits.head_bytes} bytes"),
            (len(headers) > limits.headers, 431, f"a request may have {limits.headers} headers"),
            (cookie_bytes > limits.cookie_bytes, 431,
             f"cookies may have {limits.cookie_bytes} bytes"),
            (any(name == b"transfer-encoding" for name, _ in headers), 411,
             "a body has to declare its Content-Length"),
        ):  # fmt: skip
            if is_wrong:
                raise h11.RemoteProtocolError(detail, error_status_hint=status)


class BoundedProtocol(H11Protocol):
    """One connection."""

    conn: BoundedConnection

    def __init__(self, *arguments: Any, table: ConnectionTable, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._table = table
        self._limits = table.limits
        self.conn = BoundedConnection(table.limits)
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counts the connection, and waits for a head."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that each unsent byte starts the timer
        refusal = self._table.add(self, self._address)
        if refusal is not None:
            self._refuse(*refusal)
        else:
            self._await_head()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else "?"

    def data_received(self, data: bytes) -> None:
        """Parses what has arrived, in slices, so that a large head is refused before the rest."""
        for start in range(0, len(data), _SLICE_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + _SLICE_BYTES])
        self._await_head()

    def on_response_complete(self) -> None:
        """Waits for the next request; uvicorn's own timer ends that."""
        super().on_response_complete()
        self._table.set_waiting(self, self.conn.their_state is h11.IDLE)

    def _await_head(self) -> None:
        """Starts the clock for a head that is not complete, and stops it for one that is."""
        is_waiting = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        self._table.set_waiting(self, is_waiting)
        if not is_waiting:
            _cancel(self._head_timer)
            self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(
                self._limits.head_s, self.drop, 408, "the head took too long to arrive"
            )

    def pause_writing(self) -> None:
        """The peer takes no more: if that lasts, the connection ends."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Everything was sent."""
        super().resume_writing()
        _cancel(self._write_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts the connection no longer."""
        _cancel(self._head_timer)
        _cancel(self._write_timer)
        self._table.remove(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """See uvicorn."""
        if not self.transport.is_closing():
            super().shutdown()

    def drop(self, status: int, detail: str) -> None:
        """Ends a connection that waits for a head; without a word if none has begun."""
        if self.conn.trailing_data[0]:
            self._refuse(status, detail)
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answers a request that was refused while it was parsed."""
        error = self.conn.refusal
        status = error.error_status_hint if error else 400
        self._refuse(status, str(error) if status != 400 else msg)

    def _refuse(self, status: int, detail: str) -> None:
        if self.transport.is_closing():
            return
        self._table.on_refusal(self._address, status, detail)
        body = json.dumps({"detail": detail}).encode()
        head = (
            f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: application/json"
            f"\r\ncontent-length: {len(body)}\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
