"""How quickly the service answers: `python benchmarks/service.py OUTPUTS`.

Starts a server over a folder of outputs, with one API key per client, and measures three loads:

1. all clients at their rate limit, a tenth of the requests `/healthz`: its latencies;
2. the same at four times that rate: responses by status;
3. submissions one after another: time to the answer (accepted, on disk).

The load runs in a process of its own on the same machine. Prints one line per measurement.
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np

ROOT = Path(__file__).parents[1]


def started(root: Path, state: Path, rate: float, *options: str) -> tuple[subprocess.Popen, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", str(root), "--state", str(state), "--port", str(port), "--rate", str(rate)]
    words += options
    process = subprocess.Popen([sys.executable, "-m", "pipelines", *words], cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    while True:
        try:
            httpx2.get(f"{url}/healthz")
            return process, url
        except httpx2.TransportError:
            if process.poll() is not None:
                raise SystemExit("the server did not start") from None
            time.sleep(0.2)


def token(root: Path, state: Path, scope: str) -> str:
    from pipelines.service.api_keys import ApiKeys
    from pipelines.service.database import Database
    from pipelines.service.service import database_file

    return ApiKeys(Database(database_file(state))).create(scope)


async def one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, secret: str
) -> int:
    """One GET over a connection that is kept; its status. Lean, so that the load costs little."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n\r\n"
    writer.write(head.encode())
    answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(answer.split("content-length: ")[1].split("\r\n")[0])
    await reader.readexactly(length)
    return int(answer.split(" ")[1])


@dataclass
class Load:
    """Clients that ask at a steady rate, and what they are answered."""

    url: str
    seconds: float
    rate: float
    seen: Counter = field(default_factory=Counter)
    health: list[float] = field(default_factory=list)

    async def client(self, secret: str, number: int) -> None:
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        ends = time.monotonic() + self.seconds
        await asyncio.sleep(number % 97 / 97 / self.rate)
        turn = number
        while (began := time.monotonic()) < ends:
            turn += 1
            path = "/healthz" if turn % 10 == 0 else PATHS[turn % 2]
            status = await one(reader, writer, path, secret)
            self.seen[status] += 1
            if path == "/healthz" and status == 200:
                self.health.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, began + 1 / self.rate - time.monotonic()))
        writer.close()

    async def run(self, secrets: list[str]) -> None:
        await asyncio.gather(*(self.client(s, number) for number, s in enumerate(secrets)))
        if errors := {status for status in self.seen if status >= 500}:
            raise SystemExit(f"the server failed: {errors} in {self.seen}")
        p50, p99 = np.percentile(np.array(self.health) * 1000, [50, 99])
        print(
            f"{len(secrets)} clients for {self.seconds:g} s, each {self.rate:g}/s:"
            f" {sum(self.seen.values()) / self.seconds:,.0f}/s answered,"
            f" {json.dumps(dict(sorted(self.seen.items())))};"
            f" /healthz p50 {p50:.1f} ms, p99 {p99:.1f} ms",
            flush=True,
        )


PATHS = ("/v1/me", "/v1/jobs?limit=1")


def submissions(url: str, secret: str, name: str, count: int) -> None:
    times = []
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}) as http:
        blocker = {"kind": "verify", "collection": name}
        for number in range(count + 5):
            began = time.perf_counter()
            answer = http.post("/v1/jobs", json=blocker, headers={"Idempotency-Key": f"k{number}"})
            times.append(time.perf_counter() - began)
            answer.raise_for_status()
            job = answer.json()["job_id"]
            http.post(f"/v1/jobs/{job}/cancel")
            time.sleep(0.05)
    p50, p99 = np.percentile(np.array(times[5:]) * 1000, [50, 99])
    print(f"{count} submissions: accepted p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path, help="folder whose folders are outputs")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--limit", type=float, default=2.0, help="requests a second of one caller")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        secrets = [token(arguments.root, state, "read") for _ in range(arguments.clients)]
        admin = token(arguments.root, state, "admin")
        connections = "--connections", str(2 * arguments.clients)  # all are of one address
        process, url = started(arguments.root, state, arguments.limit, *connections)
        try:
            with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {admin}"}) as http:
                name = http.get("/v1/collections").json()[0]
            for rate in (arguments.limit, 4 * arguments.limit):
                asyncio.run(Load(url, arguments.seconds, rate).run(secrets))
        finally:
            process.terminate()
            process.wait()
        process, url = started(arguments.root, state, 1000)
        try:
            submissions(url, admin, name, 100)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
