"""A Ray cluster of several nodes on this machine, each in a network namespace of its own.

Where namespaces cannot be made, which takes root, nodes have loopback addresses of their own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipelines.run.ray_cluster import reaped_folder
from tests.outputs import ROOT

_PORT = 6399
_START_S, _STARTS = 120, 3


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Network:
    """Namespaces that are joined by a bridge; without a bridge, loopback addresses."""

    bridge: str | None
    prefix: str
    """The first three numbers of all addresses."""
    _last: Iterator[int] = field(default_factory=lambda: itertools.count(2))

    @property
    def host(self) -> str:
        """The address of this process."""
        return f"{self.prefix}.1"

    def add(self) -> tuple[str, list[str]]:
        """A new address, and what a command at it begins with."""
        number = next(self._last)
        address = f"{self.prefix}.{number}"
        if self.bridge is None:
            return address, []
        name, inner = f"{self.bridge}-{number}", f"{self.bridge}i{number}"
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", inner)
        _ip("link", "set", inner, "netns", name)
        _ip("link", "set", name, "master", self.bridge, "up")
        for words in (["addr", "add", f"{address}/24", "dev", inner], ["link", "set", inner, "up"],
                      ["link", "set", "lo", "up"]):  # fmt: skip
            _ip("-n", name, *words)
        return address, ["ip", "netns", "exec", name]


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network that is removed at the end, with all of its namespaces."""
    bridge = f"rm{secrets.token_hex(3)}"
    prefix = f"198.18.{random.randrange(256)}"  # of the block for benchmarks, RFC 2544
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{prefix}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        _ip("netns", "add", f"{bridge}-1")
    except (OSError, subprocess.CalledProcessError):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            _ip("link", "del", bridge)
        yield Network(None, "127.0.0")
        return
    try:
        yield Network(bridge, prefix)
    finally:
        for line in subprocess.check_output(["ip", "netns"], text=True).splitlines():
            if line.startswith(bridge):
                _ip("netns", "del", line.split()[0])
        _ip("link", "del", bridge)


@dataclass
class Node:
    """One machine of the cluster."""

    address: str
    prefix: list[str]
    """What a command on it begins with."""
    process: subprocess.Popen[bytes]

    def actors(self) -> list[psutil.Process]:
        """Its workers that have a stage."""
        return [p for p in self._processes() if "ray::_Actor" in _title(p)]

    def kill(self) -> None:
        """Kills everything on it at once."""
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.kill()
        self.process.wait()

    def _processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@dataclass
class Cluster:
    """A head and further nodes, with one processor each."""

    network: Network
    folder: str
    nodes: list[Node] = field(default_factory=list)
    """The head first."""

    @property
    def head(self) -> Node:
        return self.nodes[0]

    @property
    def address(self) -> str:
        """Where drivers join."""
        return f"{self.head.address}:{_PORT}"

    def add(self) -> Node:
        """Starts the head, or one more node, and waits until it has joined."""
        address, prefix = self.network.add()
        role = ["--address", self.address] if self.nodes else [
            "--head", "--port", str(_PORT), "--include-dashboard", "false",
            "--temp-dir", f"{self.folder}/{address}"]  # fmt: skip
        command = [
            *prefix, sys.executable, "-m", "ray.scripts.scripts", "start", *role, "--block",
            "--node-ip-address", address, "--num-cpus", "1", "--object-store-memory", "80000000",
            "--disable-usage-stats",
        ]  # fmt: skip
        for _ in range(_STARTS):
            node = Node(address, prefix, self._start(command, address))
            if node.process.poll() is None:
                self.nodes.append(node)
                return node
            node.kill()
        raise AssertionError(Path(self.folder, f"{address}.log").read_text())

    def _start(self, command: list[str], address: str) -> subprocess.Popen[bytes]:
        """Starts a node, and waits until it runs or has ended: Ray gives it 30 s to join."""
        log = Path(self.folder, f"{address}.log")
        with open(log, "wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
        ends = time.monotonic() + _START_S
        while b"runtime started" not in log.read_bytes() and process.poll() is None:
            assert time.monotonic() < ends, log.read_text()
            time.sleep(0.1)
        return process

    def kill(self) -> None:
        """Kills all nodes."""
        for node in self.nodes:
            node.kill()
        self.nodes.clear()


@contextlib.contextmanager
def cluster(joined: Network) -> Iterator[Cluster]:
    """An empty cluster; the environment of this process holds its token while it lives."""
    variables = {
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    try:
        with reaped_folder() as folder:
            started = Cluster(joined, folder)
            try:
                yield started
            finally:
                started.kill()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
