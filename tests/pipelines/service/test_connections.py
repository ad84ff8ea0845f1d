"""Bounds of connections, over raw sockets against a real server process.

Each is met while a well-behaved client goes on being answered.
"""

import contextlib
import json
import sys
import time
from dataclasses import replace

import pytest

from pipelines.service.api_keys import ApiKeys
from pipelines.service.database import Database
from pipelines.service.jobs.queue import JobQueue
from pipelines.service.schemas import JobRequest
from pipelines.service.service import database_file
from pipelines.service.settings import ServerLimits
from tests.pipelines.service.live_server import GET, is_closed, live_server, status

LIMITS = ServerLimits(
    rate=1e6, burst=1_000_000, connections=40, connections_per_address=10, head_s=1.5, idle_s=1.5,
    body_s=5.0, write_s=1.5,
)  # fmt: skip
PATIENCE_S = 20
"""What no bound comes near, even on a busy machine."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="clients use several loopback addresses"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    (folder / "root").mkdir()
    with live_server(folder / "root", folder / "state", LIMITS) as running:
        yield running


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
BODY = b"POST /v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (HEALTH + b"X-A: 1\r\n" * 63 + b"\r\n", 200),
        (HEALTH + b"X-A: 1\r\n" * 64 + b"\r\n", 431),
        (HEALTH + b"X-A: " + b"a" * 16_000 + b"\r\n\r\n", 200),
        (HEALTH + b"X-A: " + b"a" * 17_000 + b"\r\n\r\n", 431),
        (HEALTH + b"X-A: " + b"a" * 2_000_000 + b"\r\n\r\n", 431),
        (HEALTH + b"a:\r\n" * 60_000 + b"\r\n", 431),
        (HEALTH + b"Cookie: " + b"a" * 4096 + b"\r\n\r\n", 200),
        (HEALTH + b"Cookie: " + b"a" * 4097 + b"\r\n\r\n", 431),
        (HEALTH + b"Cookie: " + b"a" * 2100 + b"\r\nCookie: " + b"a" * 2100 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 431),
        (BODY + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 50_000, 411),
        (BODY + b"Content-Length: 100000000\r\n\r\n", 413),
        (b"\x16\x03\x01\x02\x00 is no HTTP\r\n\r\n", 400),
    ],
    ids=range(13),
)
def test_a_head_has_so_many_bytes_headers_and_cookies(server, request_bytes, expected):
    with server.connect() as client:
        with contextlib.suppress(ConnectionError):  # refused before all of it was sent
            client.sendall(request_bytes)
        assert status(client) in {expected, 0 if len(request_bytes) > 200_000 else expected}
        if expected != 200:
            assert is_closed(client, PATIENCE_S)
    assert server.health()


def test_endless_headers_end(server):
    sent = 0
    with server.connect() as client, contextlib.suppress(ConnectionError):
        client.sendall(HEALTH)
        while sent < 10_000_000:
            client.sendall(b"X-A: " + b"a" * 1000 + b"\r\n")
            sent += 1000
            time.sleep(0.001)
    assert sent < 1_000_000
    assert server.health()


def test_a_slow_head_is_cut_off(server):
    started = time.monotonic()
    with server.connect() as client, contextlib.ExitStack() as stack:
        silent = stack.enter_context(server.connect())
        while time.monotonic() - started < PATIENCE_S:
            try:
                client.sendall(b"G" if time.monotonic() - started > 0.1 else b"GET /")
            except ConnectionError:
                break
            assert server.health()
            time.sleep(0.1)
        assert is_closed(silent, PATIENCE_S), "without a byte"
    assert LIMITS.head_s * 0.9 < time.monotonic() - started < PATIENCE_S
    with server.connect() as client:
        client.sendall(HEALTH[:20])
        assert status(client) == 408


def test_an_open_connection_waits_for_the_next_request_so_long(server):
    with server.connect() as client:
        for _ in range(3):
            client.sendall(HEALTH + b"\r\n")
            assert status(client) == 200
            time.sleep(0.5)
        started = time.monotonic()
        assert is_closed(client, PATIENCE_S)
        assert time.monotonic() - started > 0.5


def test_a_slow_body_is_cut_off(server):
    with server.connect() as client:
        client.sendall(BODY + b"Content-Length: 100\r\n\r\n{")
        assert server.health()
        assert status(client) == 408


def test_an_address_has_so_many_connections(server):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect("127.0.0.9")) for _ in range(10)]
        for client in clients:
            client.sendall(HEALTH + b"\r\n")
            assert status(client) == 200
        with server.connect("127.0.0.9") as client:
            assert status(client) == 429
        assert server.health()
    assert _recovers(lambda: server.health("127.0.0.9"))


def test_a_full_server_drops_who_waits_longest_for_a_head(server):
    """Slow senders from many addresses shut nobody out."""
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(40):
            client = stack.enter_context(server.connect(f"127.0.1.{number // 8}"))
            client.sendall(HEALTH)
            clients.append(client)
        assert server.health()
        assert server.health()
        assert is_closed(clients[0], PATIENCE_S)
    assert _recovers(server.health)


def test_a_server_full_of_requests_refuses_more_until_they_end(server):
    with contextlib.ExitStack() as stack:
        for number in range(40):
            client = stack.enter_context(server.connect(f"127.0.2.{number // 8}"))
            client.sendall(BODY + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n")
            assert status(client) == 100, "it waits for the body"
        with server.connect() as client:
            assert status(client) == 503
        assert _recovers(server.health), "their bodies are late"


def test_a_client_that_takes_no_bytes_is_dropped(server):
    queue = JobQueue(Database(database_file(server.state)))
    command = [sys.executable, "-c", ""]
    job = queue.submit("me", JobRequest(kind="verify", collection="a"), command, None, 1)[0]
    folder = server.state / "jobs" / job.job_id
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log", "wb") as log:
        log.truncate(200 << 20)
    with server.connect("127.0.0.8") as client:
        client.sendall(GET % (f"/v1/jobs/{job.job_id}/log".encode(), b""))
        assert _recovers(lambda: _connections(server, "127.0.0.8") == 1)
        assert server.health()
        assert _recovers(lambda: _connections(server, "127.0.0.8") == 0)


def test_refusals_are_recorded_up_to_a_rate(server):
    before = len(server.audit())
    for _ in range(150):
        with server.connect("127.0.0.7") as client:
            client.sendall(b"nonsense\r\n\r\n")
            assert status(client) == 400
    lines = [line for line in server.audit()[before:] if line["address"] == "127.0.0.7"]
    assert 30 <= len(lines) < 120
    assert {line["status"] for line in lines} == {400}
    statuses = {line["status"] for line in server.audit()}
    assert {400, 408, 411, 413, 429, 431, 503} <= statuses


def test_a_trusted_proxy_speaks_for_its_clients(tmp_path):
    (tmp_path / "root").mkdir()
    limits = replace(LIMITS, connections_per_address=3)
    root, state = tmp_path / "root", tmp_path / "state"
    secret = ApiKeys(Database(database_file(state))).create("read")
    body = json.dumps({"key": secret}).encode()
    forwarded = b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.7\r\n"
    sign_in = BODY + forwarded + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with live_server(root, state, limits, proxies=["127.0.0.5"]) as server:
        for address, is_trusted in (("127.0.0.5", True), ("127.0.0.6", False)):
            with server.connect(address) as client:
                client.sendall(sign_in)
                answer = client.recv(1 << 16).lower()
            assert b" 204 " in answer.splitlines()[0]
            assert (b"secure" in answer) == is_trusted
            client_address = "192.0.2.7" if is_trusted else address
            assert _recovers(lambda a=client_address: [x["address"] for x in server.audit()] == [a])
            (state / "audit.jsonl").write_text("")
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(server.connect("127.0.0.5"))
            assert server.health("127.0.0.5"), "it carries the connections of many"


def _connections(server, address: str) -> int:
    """Open connections of the server with an address."""
    connections = server.process.net_connections("tcp")
    return sum(c.raddr[:1] == (address,) and c.status == "ESTABLISHED" for c in connections)


def _recovers(condition) -> bool:
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        with contextlib.suppress(OSError):
            if condition():
                return True
        time.sleep(0.1)
    return False
