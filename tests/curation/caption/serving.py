"""Starts the server of `server.py` for tests."""

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def plan(self, *behaviours: str) -> None:
        """How to behave, request by request; clears the log."""
        self._fetch("/plan", json.dumps(behaviours).encode())

    def log(self) -> list[dict]:
        """The requests since the last plan."""
        return self._fetch("/log")

    def _fetch(self, path, body=None):
        address = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(address, body, timeout=10) as answer:
            return json.load(answer)


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    program = Path(__file__).with_name("server.py")
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Server(int(process.stdout.readline()))
        process.stdin.close()
        process.wait(10)
