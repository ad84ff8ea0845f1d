"""Joining a Ray cluster, or a private one for as long as a command runs.

The address is always explicit: `local` starts a private Ray on this machine and stops it at the
end; anything else is a cluster to join. A bare `ray.init()` could join somebody else's.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.errors import InfrastructureError
from pipelines.run.workers import ClusterError

_CONNECT_S = 5.0


@contextlib.contextmanager
def cluster(address: str = "local", *, cpus: int = 0, object_store_mb: int = 512) -> Iterator[None]:
    """Joins the cluster at an address, or starts one here for as long as the block lasts.

    `cpus` (0: all cores) is for `local` only. A private Ray listens on loopback, and makes its own
    token, as token authentication is always on; to join a cluster, give its token in
    `RAY_AUTH_TOKEN` or its usual file.

    Raises `ClusterError` if it cannot be joined: within seconds where nothing listens, after some
    20 s for a wrong token, and possibly after minutes where something other than Ray listens; and
    `InfrastructureError` if a private one does not start, as on a machine with too much to do. If a
    node process of Ray dies, native code ends this process up to a minute later: see `ray_workers`.
    """
    _check_reachable(address)
    os.environ["RAY_AUTH_MODE"] = "token"  # Ray reads these once, when it is imported
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address == "local":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # The default of macOS and Windows, and the only way to listen on loopback alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray

    with contextlib.ExitStack() as stack:
        settings: dict[str, Any] = {"address": address, "log_to_driver": False}
        if address == "local":
            settings |= {
                "num_cpus": cpus or os.cpu_count() or 1,
                "include_dashboard": False,
                "object_store_memory": object_store_mb << 20,
                "_temp_dir": stack.enter_context(reaped_folder()),
            }
        stack.callback(ray.shutdown)
        try:
            with _quiet_stderr(), _restored_signals():
                ray.init(**settings, configure_logging=False)
        except Exception as error:
            if address == "local" and not isinstance(error, ValueError):
                raise InfrastructureError(f"a private Ray does not start: {error}") from error
            raise _connection_error(address, error) from error
        yield


@contextlib.contextmanager
def reaped_folder() -> Iterator[str]:
    """A folder for a private Ray; it and its processes end even if this process is killed."""
    parent = tempfile.gettempdir()
    if len(parent) >= 40:  # Ray's socket paths must stay under 107 bytes
        parent = "/tmp"
    folder = tempfile.mkdtemp(prefix="reelmill-ray-", dir=parent)
    command = [sys.executable, "-I", str(Path(__file__).with_name("reaper.py")), folder]
    reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield folder
    finally:
        reaper.communicate()


@contextlib.contextmanager
def _restored_signals() -> Iterator[None]:
    """Restores the signal handlers that Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Silences Ray's native code, which prints its log level; errors are raised anyway."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


def _check_reachable(address: str) -> None:
    """Fails fast for a dead `host:port`, which Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
        except (OSError, OverflowError, UnicodeError) as error:
            raise _connection_error(address, error) from error


def _connection_error(address: str, error: Exception) -> ClusterError:
    if address == "local":
        return ClusterError(f"a private Ray cannot be started here: {error}")
    return ClusterError(
        f"cannot join the Ray cluster at {address}: {error}; check that it runs, that "
        "execution.address is its host:port, and that RAY_AUTH_TOKEN is its token"
    )
