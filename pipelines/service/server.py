"""The process of a server: uvicorn over the application, with the bounds of its connections."""

from __future__ import annotations

import functools
import gc
import sys

import uvicorn

from pipelines.service.app import create_app
from pipelines.service.connections import BoundedProtocol, ConnectionTable
from pipelines.service.service import Service

_BACKLOG = 512
"""Connections that the kernel holds until they are accepted."""
_SHUTDOWN_S = 3
_SWITCH_S = 0.0002
"""Seconds after which a thread hands on the interpreter: the event loop waits so long for each."""


def run_server(service: Service, port: int) -> None:
    """Serves until a signal ends the process.

    On asyncio's own loop, which accepts all connections that wait; uvloop accepts one each time it
    comes round, so that a busy server lets new ones wait for seconds.
    """
    settings = service.settings
    table = ConnectionTable(
        settings.limits, frozenset(settings.proxies), service.audit.record_refusal
    )
    app = create_app(service)
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()  # each traversal of the libraries' 300,000 objects stops requests for 0.1 to 0.3 s
    uvicorn.run(
        app, host=settings.host, port=port,
        http=functools.partial(BoundedProtocol, table=table),  # type: ignore[arg-type]
        loop="asyncio", ws="none", log_level="error", access_log=False, server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=settings.limits.idle_s,  # type: ignore[arg-type]
        timeout_graceful_shutdown=_SHUTDOWN_S, proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
    )  # fmt: skip
