"""How the service stands an attack: `python benchmarks/service_attack.py OUTPUTS`.

Starts a server over a folder of outputs, such as one with the curated sample sources:

    reelmill sample videos && reelmill curate videos --out outputs/samples

and 200 clients in a process of their own, each from an address of its own (127.1.0.0/16, so Linux
only). A tenth of them are hostile, each in one way of `ATTACKS`, at most 20 times a second. The
others make a request a second: lists, searches, clips, thumbnails. A probe, in a process of its own
so that it waits for nothing but the server, asks for `/healthz` 20 times a second over a new
connection each. Prints a table of what each kind of client was answered
and how quickly, and the peak memory of the server and of all its processes.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import socket
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np
import psutil

from service import started, token

_PERIOD_S = 1.0
_ATTACK_PERIOD_S = 0.05
_PROBE_PERIOD_S = 0.05
_TIMEOUT_S = 30.0
_HEAVY = " or ".join(f"regexp_matches(lower(uri), '({n}|.)*{n}.*x$')" for n in range(32))


@dataclass
class Record:
    """What one kind of client was answered."""

    statuses: Counter = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def add(self, status: int | str, started_at: float) -> None:
        self.statuses[status] += 1
        self.seconds.append(time.perf_counter() - started_at)


@dataclass
class Client:
    """One client: its address, its key, and the connection that it keeps."""

    port: int
    address: str
    secret: str | None
    rng: random.Random
    collection: str
    clips: list[str]
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(self.address, 0))

    def head(self, method: str, path: str, length: int | None = None, *more: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *more]
        if self.secret:
            lines.append(f"Authorization: Bearer {self.secret}")
        if length is not None:
            lines.append(f"Content-Length: {length}")
            if not any(line.startswith("Content-Type") for line in more):
                lines.append("Content-Type: application/json")
        return "\r\n".join([*lines, "", ""]).encode()

    async def ask(self, data: bytes, *, keeps: bool = False) -> int:
        """Sends a request; the status of its response."""
        reader, writer = self.streams or await self.open()
        self.streams = None
        keeps_open = False
        try:
            writer.write(data)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if "content-length: " in head:
                await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
                keeps_open = keeps and "connection: close" not in head
            return int(head.split(" ")[1])
        finally:
            if keeps_open:
                self.streams = reader, writer
            else:
                writer.close()

    def post(self, path: str, value: object) -> bytes:
        body = json.dumps(value).encode()
        return self.head("POST", f"/v1/collections/{self.collection}/{path}", len(body)) + body

    def usual(self) -> tuple[str, bytes]:
        """A request of a client that means well, and its kind."""
        base, clip = f"/v1/collections/{self.collection}", self.rng.choice(self.clips)
        return self.rng.choice(
            [
                ("list", self.head("GET", "/v1/collections")),
                ("list", self.head("GET", f"{base}/clips?limit=20")),
                ("search", self.post("search", {"where": "duration_s > 0.5"})),
                ("search", self.post("search", {"like": [clip], "collapse": False})),
                ("search", self.post("facets", {})),
                ("view", self.head("GET", f"{base}/clips/{clip}")),
                ("view", self.head("GET", f"{base}/clips/{clip}/thumbnail")),
            ]
        )


async def long_body(client: Client) -> int:
    return await client.ask(client.head("POST", "/v1/jobs", 8 << 20) + b" " * (1 << 20))


async def endless_headers(client: Client) -> int:
    return await client.ask(client.head("GET", "/healthz")[:-2] + b"X-A: aaaaaaaaaa\r\n" * 50_000)


async def chunks(client: Client) -> int:
    head = client.head("POST", "/v1/session", None, "Transfer-Encoding: chunked")
    return await client.ask(head + b"1\r\n \r\n" * 40_000)


async def deep_json(client: Client) -> int:
    body = client.rng.choice([b"[" * 60_000, b'"' + b'\\"' * 30_000, b'{"a":' * 10_000])
    return await client.ask(client.head("POST", "/v1/plan", len(body)) + body)


async def heavy_condition(client: Client) -> int:
    where = _HEAVY.replace("x$", f"{client.rng.randrange(10**9)}$")  # parsed anew each time
    return await client.ask(client.post("facets", {"where": where}))


async def lying_picture(client: Client) -> int:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    side = client.rng.choice([6000, 30_000, 60_000])
    size = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", _ZEROS) + chunk(b"IEND", b"")
    )
    path = f"/v1/collections/{client.collection}/search/picture"
    return await client.ask(client.head("POST", path, len(body), "Content-Type: image/png") + body)


_ZEROS = zlib.compress(bytes(36_006_000), 9)


async def slow_head(client: Client) -> int:
    reader, writer = await client.open()
    try:
        for byte in client.head("GET", "/healthz"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.5)
            if reader.at_eof():
                break
        return int((await reader.readuntil(b"\r\n")).split(b" ")[1])
    finally:
        writer.close()


async def slow_body(client: Client) -> int:
    return await client.ask(client.head("POST", "/v1/session", 1000) + b"{")


async def hang_up(client: Client) -> int:
    _, writer = await client.open()
    writer.write(client.rng.choice([client.post("search", {"where": _HEAVY}), client.usual()[1]]))
    await writer.drain()
    writer.close()
    return 0


async def many_connections(client: Client) -> int:
    opened = [await client.open() for _ in range(120)]
    await asyncio.sleep(2)
    for _, writer in opened:
        writer.close()
    return 0


ATTACKS: tuple[Callable[[Client], Awaitable[int]], ...] = (
    long_body, endless_headers, chunks, deep_json, heavy_condition, lying_picture, slow_head,
    slow_body, hang_up, many_connections,
)  # fmt: skip


async def repeat(
    act: Callable[[], Awaitable[tuple[str, int]]], records: dict[str, Record], period_s: float,
    ends_at: float,
) -> None:  # fmt: skip
    """Does something again and again, and records what came back."""
    await asyncio.sleep(random.random() * period_s)
    while (now := time.perf_counter()) < ends_at:
        kind, status = "", 0
        try:
            kind, status = await asyncio.wait_for(act(), _TIMEOUT_S)
            records[kind].add(status or "–", now)
        except asyncio.TimeoutError:
            records[kind or act.__name__].add("no answer", now)
        except (OSError, asyncio.IncompleteReadError):
            records[kind or act.__name__].add("closed", now)
        await asyncio.sleep(max(0.0, now + period_s - time.perf_counter()))


def probe(port: int, seconds: float) -> Record:
    """What one client is answered that asks for nothing but `/healthz`."""
    record, ends_at = Record(), time.perf_counter() + seconds
    while (now := time.perf_counter()) < ends_at:
        try:
            with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                answer = client.recv(4096)
            record.add(int(answer.split(b" ")[1]) if answer else "closed", now)
        except OSError as error:
            record.add(type(error).__name__, now)
        time.sleep(max(0.0, now + _PROBE_PERIOD_S - time.perf_counter()))
    return record


async def attack(clients: list[Client], hostile: int, seconds: float) -> dict[str, Record]:
    """All clients at once."""
    records: dict[str, Record] = defaultdict(Record)
    ends_at = time.perf_counter() + seconds
    tasks = []
    for number, client in enumerate(clients):
        if number < hostile:
            tasks.append(repeat(_hostile(ATTACKS[number % len(ATTACKS)], client), records,
                                _ATTACK_PERIOD_S, ends_at))  # fmt: skip
        else:
            tasks.append(repeat(_usual(client), records, _PERIOD_S, ends_at))
    await asyncio.gather(*tasks)
    return records


def _hostile(act: Callable[[Client], Awaitable[int]], client: Client):
    async def once() -> tuple[str, int]:
        return name, await act(client)

    name = once.__name__ = f"hostile: {act.__name__.replace('_', ' ')}"
    return once


def _usual(client: Client):
    async def once() -> tuple[str, int]:
        kind, data = client.usual()
        once.__name__ = kind
        return kind, await client.ask(data, keeps=True)

    return once


@dataclass
class Cost:
    """What a process took meanwhile."""

    peak_bytes: int = 0
    peak_bytes_with_children: int = 0
    cpu_s: float = 0.0


async def measured(process: psutil.Process, work: Awaitable[dict]) -> tuple[dict, Cost]:
    """The result of the work, and what the process took for it."""
    task = asyncio.ensure_future(work)
    own = together = 0
    before = sum(process.cpu_times()[:2])
    while not task.done():
        rss = process.memory_info().rss
        below = 0
        for child in process.children(recursive=True):
            try:
                below += child.memory_info().rss
            except psutil.Error:
                continue
        own, together = max(own, rss), max(together, rss + below)
        await asyncio.wait([task], timeout=0.1)
    return task.result(), Cost(own, together, sum(process.cpu_times()[:2]) - before)


def print_table(records: dict[str, Record], cost: Cost, seconds: float) -> None:
    print("| client | requests | p50 ms | p99 ms | statuses |\n|---|---|---|---|---|")
    for kind, record in sorted(records.items(), key=lambda item: item[0].startswith("hostile")):
        p50, p99 = np.percentile(np.array(record.seconds) * 1000, [50, 99])
        statuses = ", ".join(f"{s}: {n}" for s, n in sorted(record.statuses.items(), key=str))
        print(f"| {kind} | {len(record.seconds)} | {p50:.1f} | {p99:.1f} | {statuses} |")
    print(
        f"\nserver: {cost.cpu_s / seconds:.2f} cores; peak memory {cost.peak_bytes / 1e9:.2f} GB,"
        f" with its children {cost.peak_bytes_with_children / 1e9:.2f} GB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path, help="folder whose folders are outputs")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--hostile", type=float, default=0.1, help="share of hostile clients")
    arguments = parser.parse_args()
    hostile = round(arguments.clients * arguments.hostile)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        secrets = [token(arguments.root, state, "submit") for _ in range(arguments.clients)]
        process, url = started(arguments.root, state, 50)
        try:
            headers = {"Authorization": f"Bearer {secrets[0]}"}
            with httpx2.Client(base_url=url, headers=headers, timeout=120) as http:
                name = http.get("/v1/collections").json()[0]
                rows = http.get(f"/v1/collections/{name}/clips?limit=1000").json()["clips"]
                http.post(f"/v1/collections/{name}/search", json={"where": "true"})  # the index
            clients = [
                Client(
                    int(url.rsplit(":", 1)[1]), f"127.1.{n // 250}.{n % 250 + 1}",
                    None if n < hostile // 2 and n % 2 else secret, random.Random(n), name,
                    [row["clip_id"] for row in rows],
                )
                for n, secret in enumerate(secrets)
            ]  # fmt: skip
            work = attack(clients, hostile, arguments.seconds)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                health = pool.submit(probe, clients[0].port, arguments.seconds)
                records, cost = asyncio.run(measured(psutil.Process(process.pid), work))
                records["/healthz"] = health.result()
            if process.poll() is not None:
                sys.exit("the server ended")
            print(f"{arguments.clients} clients, {hostile} hostile, {arguments.seconds:g} s, load"
                  f" average {os.getloadavg()[0]:.1f}\n")  # fmt: skip
            print_table(records, cost, arguments.seconds)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
