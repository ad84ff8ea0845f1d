"""A local S3 server, started when a test first asks for a bucket, and a proxy that fails."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

_NUMBERS = itertools.count(1)
Fault = Literal["error", "reset", "lost", "slow", "cut"]
"""`error`: 503, the server never hears of it; `reset`: the connection breaks before it hears of it;
`lost`: the connection breaks after it has carried out the request; `slow`: the answer takes half a
second; `cut`: the answer breaks off in the middle of its body."""
Decide = Callable[[str, str], Fault | None]
"""From method and path of a request to what happens to it."""


@cache
def _server() -> str:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """An `s3://` address of an empty bucket; the environment says how to reach it."""
    settings = {
        "AWS_ENDPOINT_URL": _server(),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{next(_NUMBERS)}"
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
    return f"s3://{name}"


@contextlib.contextmanager
def serving(name: str, host: str = "127.0.0.1") -> Iterator[Any]:
    """A client of a server of its own with an empty bucket; the environment says how to reach it.

    Servers of one process share what they store, so each bucket needs another name.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address=host, port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket=name)
        yield client
    server.stop()


@contextlib.contextmanager
def proxy(decide: Decide) -> Iterator[str]:
    """The address of a proxy before the server, which asks `decide` about each request."""

    class Handler(_Handler):
        fault = staticmethod(decide)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fault: Decide

    def _handle(self) -> None:
        body = self._body()
        fault = self.fault(self.command, self.path)
        if fault == "error":
            self._answer(503, {}, b"<Error><Code>SlowDown</Code></Error>")
        elif fault == "reset":
            self._break()
        else:
            upstream = urlsplit(_server())
            connection = HTTPConnection(upstream.hostname or "", upstream.port)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                response = connection.getresponse()
                content = response.read()
            except (OSError, HTTPException):
                self._break()
                return
            finally:
                connection.close()
            self._reply(fault, response, content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def _reply(self, fault: Fault | None, response: HTTPResponse, content: bytes) -> None:
        if fault == "lost":
            self._break()
            return
        if fault == "slow":
            time.sleep(0.5)
        headers = dict(response.getheaders())
        is_cut = fault == "cut" and len(content) > 1 and self.command != "HEAD"
        self._answer(response.status, headers, content, len(content) // 2 if is_cut else None)
        if is_cut:
            self._break()

    def _answer(
        self, status: int, headers: dict[str, str], content: bytes, sent: int | None = None
    ) -> None:
        self.send_response_only(status)
        left_out = {"transfer-encoding", "connection", "content-length"}
        for name, value in headers.items():
            if name.lower() not in left_out:
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content[:sent])

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        del self.headers["Transfer-Encoding"]
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        body = b"".join(parts)
        self.headers["Content-Length"] = str(len(body))
        return body

    def _break(self) -> None:
        """Resets the connection."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile = _Closed()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class _Closed:
    closed = False

    def flush(self) -> None:
        """Nothing: the connection is broken."""

    def close(self) -> None:
        """Nothing: the connection is broken."""
