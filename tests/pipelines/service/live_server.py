"""A server as a process of its own with limits of its own, and clients on raw sockets."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from pipelines.service.settings import ServerLimits
from tests.outputs import ROOT, environment

_PROGRAM = """
import json, sys
from pathlib import Path
from pipelines.service.server import run_server
from pipelines.service.service import Service
from pipelines.service.settings import ServerLimits, ServerSettings

port, limits, settings = json.loads(sys.argv[1])
settings["state"] = Path(settings["state"])
service = Service.at(ServerSettings(limits=ServerLimits(**limits), **settings))
run_server(service, port)
"""
_START_S = 120
GET = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n"


@dataclass(frozen=True)
class LiveServer:
    """A server that runs."""

    port: int
    state: Path
    process: psutil.Process

    def connect(self, address: str = "127.0.0.1") -> socket.socket:
        """A connection from one of the addresses of this machine, 127.0.0.0/8 on Linux."""
        return socket.create_connection(("127.0.0.1", self.port), 10, (address, 0))

    def health(self, address: str = "127.0.0.1") -> bool:
        """Whether a well-behaved client is answered, over a connection of its own."""
        with self.connect(address) as client:
            client.sendall(GET % (b"/healthz", b""))
            return status(client) == 200

    def audit(self) -> list[dict]:
        """The lines of the audit log."""
        return [json.loads(line) for line in (self.state / "audit.jsonl").open()]


@contextlib.contextmanager
def live_server(
    root: Path, state: Path, limits: ServerLimits, preamble: str = "", **settings: object
) -> Iterator[LiveServer]:
    """Runs a server; `preamble` is code that it runs first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    values = {"root": str(root), "state": str(state), **settings}
    argument = json.dumps([port, asdict(limits), values])
    log = state.parent / "server.log"
    with open(log, "wb") as output:
        process = psutil.Popen(
            [sys.executable, "-c", preamble + _PROGRAM, argument],
            env=environment(), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        server = LiveServer(port, state, process)
        ends = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError):
                assert server.health()
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends, log.read_text()
            time.sleep(0.1)
        yield server
        assert process.poll() is None, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.kill()
        process.wait(20)


def status(client: socket.socket) -> int:
    """The status of the next response; 0 if the connection ends without one."""
    received = b""
    while b"\r\n\r\n" not in received:
        try:
            data = client.recv(1 << 16)
        except ConnectionResetError:
            break
        if not data:
            break
        received += data
    return int(received.split(b" ", 2)[1]) if received else 0


def is_closed(client: socket.socket, within_s: float) -> bool:
    """Whether the server ends the connection in time; what it sends until then is dropped."""
    client.settimeout(within_s)
    try:
        while client.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True
