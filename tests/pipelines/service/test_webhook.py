"""Ends of jobs are sent to another server: signed, in order, again until it accepts them."""

import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipelines.service.database import Database
from pipelines.service.jobs import webhook
from pipelines.service.jobs.queue import JobQueue
from pipelines.service.jobs.webhook import SIGNATURE, Webhook
from pipelines.service.schemas import JobRequest

SECRET = "a secret of some length"


@contextmanager
def receiver(statuses):
    """An address, and the requests that came to it, which are answered with these statuses."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((body, self.headers[SIGNATURE]))
            self.send_response(statuses.pop(0) if statuses else 204)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got
    server.shutdown()
    server.server_close()


@pytest.fixture
def queue(tmp_path, monkeypatch):
    monkeypatch.setattr(webhook, "_WAITS_S", (0.01, 0.01))
    return JobQueue(Database(tmp_path / "service.db"))


def add(queue: JobQueue, collection: str) -> str:
    request = JobRequest(kind="verify", collection=collection)
    return queue.submit("ann", request, ["verify"], None, 10)[0].job_id


def end(queue: JobQueue, code: int) -> str:
    job = queue.start_next(10, 10)
    queue.finish(queue.get(job.job_id), code)
    return job.job_id


def test_each_end_is_sent_once_and_signed(queue, tmp_path):
    with receiver([]) as (address, got):
        add(queue, "before")
        end(queue, 0)
        hook = Webhook(address, SECRET, queue, tmp_path / "sent")
        for name in ("a", "b", "c"):
            add(queue, name)
        done, stopped = end(queue, 0), end(queue, 4)
        waiting = [job.job_id for job in queue.newest(limit=9) if job.state == "queued"]
        queue.cancel(waiting[0], "ann", "enough")
        hook.deliver()
        hook.deliver()
        bodies = [json.loads(body) for body, _ in got]
        assert [(body["job_id"], body["state"]) for body in bodies] == [
            (done, "done"), (stopped, "stopped"), (waiting[0], "cancelled"),
        ]  # fmt: skip
        assert bodies[0]["collection"] == "a"
        for body, signature in got:
            at, _, digest = signature.removeprefix("t=").partition(",v1=")
            signed = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256)
            assert digest == signed.hexdigest()


def test_an_end_is_sent_again_until_it_is_accepted_and_then_the_next_one(queue, tmp_path):
    with receiver([503, 302, 200, 500, 500, 500]) as (address, got):
        hook = Webhook(address, SECRET, queue, tmp_path / "sent")
        first, given_up, last = (add(queue, name) for name in "abc")
        for _ in range(3):
            end(queue, 0)
        hook.deliver()
        sent = [json.loads(body)["job_id"] for body, _ in got]
        assert sent == [first] * 3 + [given_up] * 3 + [last]


def test_the_next_server_sends_what_the_last_one_did_not(queue, tmp_path):
    def refuse(*_):
        hook._closed.set()
        raise OSError("nobody listens")

    hook = Webhook("http://h/p", SECRET, queue, tmp_path / "sent", send=refuse)
    job_id = add(queue, "a")
    end(queue, 0)
    hook.deliver()
    with receiver([]) as (address, got):
        Webhook(address, SECRET, queue, tmp_path / "sent").deliver()
        assert [json.loads(body)["job_id"] for body, _ in got] == [job_id]


def test_the_thread_sends_and_ends(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(webhook, "_POLL_S", 0.01)
    came = threading.Event()

    def accept(*_):
        came.set()
        return 200

    hook = Webhook("http://h/p", SECRET, queue, tmp_path / "sent", send=accept)
    hook.start()
    add(queue, "a")
    end(queue, 0)
    assert came.wait(30)
    hook.close()
    assert not hook._thread.is_alive()


def test_a_webhook_needs_an_address_and_a_secret(reelmill, tmp_path, monkeypatch):
    monkeypatch.setenv("REELMILL_WEBHOOK_SECRET", SECRET)
    ended = reelmill("serve", str(tmp_path), "--webhook", "ftp://h/p")
    assert (ended.code, "https://HOST/PATH" in ended.err) == (2, True)
    monkeypatch.setenv("REELMILL_WEBHOOK_SECRET", "short")
    ended = reelmill("serve", str(tmp_path), "--webhook", "https://h/p")
    assert (ended.code, "REELMILL_WEBHOOK_SECRET" in ended.err) == (2, True)
