"""Which process a process id means: its machine and start, by counters that no clock changes."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def machine_id() -> str:
    """The kernel's boot and the process namespace; the host name where there is no `/proc`.

    Within one machine, a process id and its `start_time` mean one process.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def start_time(pid: int) -> str | None:
    """When a process of this machine started, in ticks since boot; None if there is none.

    Empty where there is no `/proc`.
    """
    if not os.path.isdir("/proc/self"):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]
