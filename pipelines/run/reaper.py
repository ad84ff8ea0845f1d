"""A program that cleans up a private Ray after its driver, also after one that was killed.

Usage: reaper.py FOLDER, with a pipe as standard input that the driver holds open. When the driver
ends in any way, the pipe closes; every process with an open file in the folder is then killed, and
the folder removed. Ray's own agents may outlive a killed driver for minutes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path


def find_users(folder: str, exclude: set[int]) -> list[int]:
    """Ids of processes with an open file below the folder, without the excluded ones."""
    pids = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) not in exclude:
            with contextlib.suppress(OSError):
                links = (os.readlink(fd) for fd in (process / "fd").iterdir())
                if any(link.startswith(folder + "/") for link in links):
                    pids.append(int(process.name))
    return pids


def main(folder: str) -> None:
    """Waits for the driver's end, then cleans up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    exclude = {os.getpid(), os.getppid()}
    sys.stdin.buffer.read()
    for _ in range(50):
        pids = find_users(folder, exclude)
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
