"""What one server serves, and its limits on callers."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.object_stores import store_scheme
from pipelines.service.api_keys import Scope

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class ServerLimits:
    """Limits on connections and requests; beyond them callers get 4xx, or 503 for a busy server."""

    connections: int = 512
    """Open connections in all."""
    connections_per_address: int = 100
    """Open connections of one address; a proxy's are not bounded."""
    head_bytes: int = 1 << 14
    """Bytes of a request's line and headers."""
    headers: int = 64
    """Number of a request's headers."""
    cookie_bytes: int = 4096
    """Bytes of a request's cookies."""
    head_s: float = 10.0
    """Seconds for the line and headers to arrive."""
    idle_s: float = 15.0
    """Seconds that an open connection waits for the next request."""
    write_s: float = 60.0
    """Seconds for which a client may take no bytes of a response."""
    body_bytes: int = 1 << 18
    """Bytes of a request's body."""
    image_bytes: int = 8 << 20
    """Bytes of an image to search by."""
    json_depth: int = 20
    """Nesting depth of JSON."""
    json_items: int = 5000
    """Values in JSON."""
    rate: float = 50.0
    """Requests per second of one caller: an API key, or an address without one."""
    burst: int = 200
    """Requests at once, above the rate."""
    body_s: float = 10.0
    """Seconds for a body to arrive."""
    response_s: float = 60.0
    """Seconds for a response to start."""
    threads: int = 2
    """Threads of light requests over local outputs: more would only wait for the interpreter."""
    remote_threads: int = 16
    """Threads of light requests over outputs on S3, which wait for that."""
    computations: int = 2
    """Searches, plans and reports that are computed at a time; others wait their turn."""
    decoders: int = 2
    """Pictures and videos that are decoded at a time."""
    all_computations: int = 100
    """Of both, those that run or wait."""
    computations_per_caller: int = 8
    """Of these, those of one caller."""
    streams: int = 64
    """Concurrent streams (logs, progress)."""
    streams_per_caller: Mapping[Scope, int] = field(
        default_factory=lambda: {"read": 8, "search": 8, "submit": 16, "admin": 64}
    )
    """Of these, those of one caller, by scope."""
    stream_s: float = 3600.0
    """Seconds of one stream; the caller reconnects."""
    queued_per_caller: int = 1000
    """Queued jobs of one caller."""
    running_per_caller: int = 4
    """Running jobs of one caller."""
    priority: Mapping[Scope, int] = field(
        default_factory=lambda: {"read": 0, "search": 0, "submit": 0, "admin": 100}
    )
    """The highest priority that a caller may give a job, by scope."""


@dataclass(frozen=True)
class ServerSettings:
    """One server."""

    root: str
    """Folder or address whose folders are the outputs."""
    state: Path
    """Local folder for the database, jobs, logs and previews."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Folders and prefixes of stores of inputs, by name. Nothing else is ever read."""
    profile: str | None = None
    """Profile that jobs build on."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    host_names: tuple[str, ...] = ()
    """Further names of the server that the Host header may hold."""
    proxies: tuple[str, ...] = ()
    """Addresses of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    keep_days: float | None = 90.0
    """Days after which ended jobs, their files and unused previews are deleted; None keeps them."""
    max_running: int = 1
    """Jobs that run at a time."""
    ray_address: str | None = None
    """Of the Ray Jobs API, such as `http://ray-head:8265`; None runs jobs on this machine."""
    ray_environment: Mapping[str, Any] = field(default_factory=dict)
    """Runtime environment of jobs on that cluster, as Ray defines it."""
    limits: ServerLimits = field(default_factory=ServerLimits)
    """Limits on callers."""
    webhook: str | None = None
    """Where the ends of jobs are sent."""
    webhook_secret: str = field(default="", repr=False)
    """What they are signed with."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host in LOOPBACK_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Names that the Host header may hold; any other may be a rebound name."""
        return LOOPBACK_NAMES | {self.host.lower(), *(name.lower() for name in self.host_names)}


def default_state(root: str) -> Path | None:
    """The state folder unless configured: beside the outputs, if they are local."""
    return None if store_scheme(root) else Path(root).expanduser().absolute() / ".reelmill"
