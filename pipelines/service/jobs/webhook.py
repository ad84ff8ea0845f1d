"""Tells another server when a job has ended.

Where to is the server owner's to say: no request names an address. Each end is sent at least once,
also over restarts, in the order in which jobs ended: which ones were sent is kept in a file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.service.jobs.queue import JobQueue

SIGNATURE = "Reelmill-Signature"
_POLL_S = 1.0
_WAITS_S = (1.0, 4.0, 15.0, 60.0, 240.0, 900.0)
"""Between the tries of one end; afterwards it is given up, and logged."""
_TIMEOUT_S = 10.0
_log = logging.getLogger("reelmill.service")
Post = Callable[[str, bytes, dict[str, str]], int]
"""Sends a body with headers to an address; the status, or raises `OSError`."""


def sign(secret: str, at: int, body: bytes) -> str:
    """The signature: `t=SECONDS,v1=HEX`, an HMAC-SHA256 of `SECONDS.BODY`."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def post(address: str, body: bytes, headers: dict[str, str]) -> int:
    """Over HTTP, without following redirects."""
    import httpx2

    try:
        answer = httpx2.post(address, content=body, headers=headers, timeout=_TIMEOUT_S)
    except httpx2.HTTPError as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    return answer.status_code


class Webhook:
    """A thread that sends ends of jobs."""

    def __init__(
        self, address: str, secret: str, queue: JobQueue, sent: Path, *, send: Post = post
    ) -> None:
        """`sent` is the file that says how far it is; without it only later ends are sent."""
        self._address, self._secret = address, secret
        self._queue, self._sent, self._send = queue, sent, send
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="webhook", daemon=True)
        if not sent.exists():
            self._keep(queue.last_event())

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; what was not sent is sent by the next server."""
        self._closed.set()
        self._thread.join(_TIMEOUT_S)

    def deliver(self) -> None:
        """Sends every end that has not been sent."""
        for event in self._queue.ends(int(self._sent.read_text(encoding="utf-8"))):
            body = {
                "job_id": event.job_id, "state": event.kind, "at": event.at, "owner": event.owner,
                "kind": event.job_kind, "collection": event.collection, "detail": event.detail,
            }  # fmt: skip
            was_sent = self._sends(json.dumps(body).encode())
            if not was_sent and self._closed.is_set():
                return
            if not was_sent:
                _log.warning("webhook: the end of job %s is given up", event.job_id)
            self._keep(event.seq)

    def _sends(self, body: bytes) -> bool:
        """Whether it was accepted, by the last of several tries."""
        for wait_s in (*_WAITS_S, None):
            at = int(time.time())
            headers = {"Content-Type": "application/json", SIGNATURE: sign(self._secret, at, body)}
            try:
                status = self._send(self._address, body, headers)
                if 200 <= status < 300:
                    return True
                problem = f"status {status}"
            except OSError as error:
                problem = str(error)
            _log.warning("webhook: %s", problem)
            if wait_s is None or self._closed.wait(wait_s):
                break
        return False

    def _keep(self, seq: int) -> None:
        temporary = self._sent.with_name(f"{self._sent.name}.{os.getpid()}")
        temporary.write_text(str(seq), encoding="utf-8")
        os.replace(temporary, self._sent)

    def _loop(self) -> None:
        while not self._closed.wait(_POLL_S):
            try:
                self.deliver()
            except Exception:  # such as a full disk: a later round may succeed
                _log.exception("a round of the webhook failed")
