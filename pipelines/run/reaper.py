"""Run as a program of its own beside a private Ray: cleans up after a driver that was killed.

Usage: reaper.py FOLDER, with a pipe as standard input that the driver holds open. When the driver
ends in whatever way, the pipe closes; every process that still has a file of the folder open is
then ended, and the folder removed. Ray's own agents may outlive a killed driver for minutes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path


def find_holders(folder: str, spared: set[int]) -> list[int]:
    """Processes that have a file below the folder open, but for the spared ones."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) not in spared:
            with contextlib.suppress(OSError):
                links = (os.readlink(fd) for fd in (process / "fd").iterdir())
                if any(link.startswith(folder + "/") for link in links):
                    found.append(int(process.name))
    return found


def main(folder: str) -> None:
    """Waits for the driver's end, then cleans up."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    spared = {os.getpid(), os.getppid()}
    sys.stdin.buffer.read()
    for _ in range(50):
        left = find_holders(folder, spared)
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
