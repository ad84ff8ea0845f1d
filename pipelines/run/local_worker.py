"""A worker process of this machine: items in through a socket, outcomes out.

Its parent sends bytes, each a pickle of a stage, which replaces the last one, or of an item. The
process ends with its parent, and leaves Ctrl-C to it.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from curation.stage import attempt
from pipelines.run.stage_setup import limit_threads, set_up_stage
from pipelines.run.startup import leave_out_pandas

_PR_SET_PDEATHSIG = 1


def main(descriptor: int, parent: int) -> None:
    """Works until the parent closes the socket."""
    leave_out_pandas()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection: Connection[Any, bytes] = Connection(descriptor)
    work: Callable[[Any], Any] | None = None
    while True:
        try:
            is_stage, content = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        if is_stage:
            work = None  # its models go before those of the next stage come
            limit_threads()
            work = set_up_stage(content)
        elif work is not None:
            connection.send_bytes(pickle.dumps(attempt(work, pickle.loads(content))))
