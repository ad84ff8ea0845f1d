"""What one server serves and how much it lets callers ask of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Limits:
    """What callers may ask for; beyond it they get 413, 422 or 429."""

    body_bytes: int = 1 << 18
    """Bytes of a request's body."""
    picture_bytes: int = 8 << 20
    """Bytes of a picture that is sent to search by."""
    depth: int = 20
    """How deep JSON may be nested."""
    rate: float = 50.0
    """Requests a second of one caller: a token, or an address without one."""
    burst: int = 200
    """Requests at once, above the rate."""
    body_s: float = 10.0
    """Seconds for a body to arrive."""
    answer_s: float = 60.0
    """Seconds for an answer to begin."""
    streams: int = 64
    """Answers that are followed (logs, progress) at a time."""
    stream_s: float = 3600.0
    """Seconds that one of them may last; the caller asks again."""
    waiting_each: int = 1000
    """Jobs of one caller that may wait in the queue."""
    running_each: int = 4
    """Jobs of one caller that may run at a time."""


@dataclass(frozen=True)
class Settings:
    """One server."""

    root: str
    """Folder or `s3://` address whose folders are the outputs."""
    state: Path
    """Local folder for the database, jobs, logs and previews."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where inputs may lie, by name: folders and `s3://` prefixes. Nothing else is ever read."""
    profile: str | None = None
    """Profile that jobs build on."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    names: tuple[str, ...] = ()
    """Further names under which the server may be asked, in the Host header."""
    running: int = 1
    """Jobs that run at a time."""
    ray_address: str | None = None
    """Of the Ray Jobs API, such as `http://ray-head:8265`; None runs jobs on this machine."""
    ray_environment: Mapping[str, Any] = field(default_factory=dict)
    """Runtime environment of jobs on that cluster, as Ray defines it."""
    limits: Limits = field(default_factory=Limits)
    """What callers may ask for."""

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
    def hosts(self) -> frozenset[str]:
        """Names that the Host header may hold; others may be a rebound name of somebody else."""
        return LOOPBACK_NAMES | {self.host.lower(), *(name.lower() for name in self.names)}


def default_state(root: str) -> Path | None:
    """Where a server keeps its state unless told: beside the outputs, if they are local."""
    return None if root.startswith("s3://") else Path(root).expanduser().absolute() / ".reelmill"
