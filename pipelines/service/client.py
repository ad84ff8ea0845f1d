"""A server, from Python.

    from pipelines.service.client import Client
    with Client("http://127.0.0.1:8470") as reelmill:
        job = reelmill.submit(kind="curate", collection="drive", inputs=["videos/drive"])
        reelmill.wait(job["job_id"])
        hits = reelmill.search("drive", text="a pedestrian at night")

A request that the server puts off (429, 503) is made again after the time that it names. A
submission carries a key of its own, so that making it again makes no second job.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import httpx2

from curation.errors import ReelmillError
from pipelines.service.schemas import FINAL

DEFAULT = "http://127.0.0.1:8470"
_TRIES = 5


class ServiceError(ReelmillError):
    """The server refuses, or cannot be reached; `status` is the HTTP status, 0 without one."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


class Client:
    """A connection to one server."""

    def __init__(self, server: str = DEFAULT, token: str | None = None) -> None:
        """`token` is taken from `REELMILL_TOKEN` unless given."""
        secret = token or os.environ.get("REELMILL_TOKEN")
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self._server = server
        self._http = httpx2.Client(base_url=server, headers=headers, timeout=90.0)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._http.close()

    def submit(self, *, key: str | None = None, **wish: Any) -> dict[str, Any]:
        """Queues a job; fields as in `Wish`. The same `key` gives the same job."""
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        found: dict[str, Any] = self._ask("POST", "/v1/jobs", json=wish, headers=headers)
        return found

    def plan(self, **wish: Any) -> dict[str, Any]:
        """What a job would do and cost."""
        found: dict[str, Any] = self._ask("POST", "/v1/plan", json=wish)
        return found

    def job(self, job_id: str) -> dict[str, Any]:
        """One job as it is now."""
        found: dict[str, Any] = self._ask("GET", f"/v1/jobs/{job_id}")
        return found

    def jobs(self, **filters: str | int) -> list[dict[str, Any]]:
        """Jobs, newest first: of a `state` or `collection`, at most `limit`."""
        found: list[dict[str, Any]] = self._ask("GET", "/v1/jobs", params=filters)["jobs"]
        return found

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """What happened to a job."""
        found: list[dict[str, Any]] = self._ask("GET", f"/v1/jobs/{job_id}/events")
        return found

    def watch(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The job whenever it changes, until it has ended."""
        with self._stream(f"/v1/jobs/{job_id}/watch") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def wait(self, job_id: str) -> dict[str, Any]:
        """Waits until a job has ended; the job as it is then."""
        while True:
            for view in self.watch(job_id):
                if view["state"] in FINAL:
                    return view

    def log(self, job_id: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """Lines of a job's log: all, the last ones, or as they come until the job has ended."""
        where = f"/v1/jobs/{job_id}/log{'/follow' if follow else ''}"
        with self._stream(where, {"tail": tail} if tail and not follow else None) as answer:
            yield from answer.iter_lines()

    def cancel(self, job_id: str, reason: str = "") -> dict[str, Any]:
        """Cancels a job."""
        where = f"/v1/jobs/{job_id}/cancel"
        found: dict[str, Any] = self._ask("POST", where, json={"reason": reason})
        return found

    def retry(self, job_id: str) -> dict[str, Any]:
        """Queues a job again that has ended."""
        found: dict[str, Any] = self._ask("POST", f"/v1/jobs/{job_id}/retry")
        return found

    def artefacts(self, job_id: str) -> list[dict[str, Any]]:
        """The files that a job made."""
        found: list[dict[str, Any]] = self._ask("GET", f"/v1/jobs/{job_id}/artefacts")
        return found

    def collections(self) -> list[str]:
        """The outputs, by name."""
        found: list[str] = self._ask("GET", "/v1/collections")
        return found

    def search(self, collection: str, **question: Any) -> dict[str, Any]:
        """Clips that fit; fields as in `Question`."""
        where = f"/v1/collections/{collection}/search"
        found: dict[str, Any] = self._ask("POST", where, json=question)
        return found

    def _stream(self, path: str, params: dict[str, int] | None = None) -> _Stream:
        return _Stream(self._http, path, params)

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        for last in (*[False] * (_TRIES - 1), True):
            try:
                answer = self._http.request(method, path, **request)
            except httpx2.TransportError as error:
                if last or (method == "POST" and "headers" not in request):
                    raise ServiceError(f"{self._server}: {error}") from error
                time.sleep(0.5)
                continue
            if answer.status_code not in (429, 503) or last:
                break
            time.sleep(min(30, int(answer.headers.get("retry-after", "1"))))
        check(answer)
        return answer.json()


class _Stream:
    """An answer that is read as it comes."""

    def __init__(self, http: httpx2.Client, path: str, params: dict[str, int] | None) -> None:
        self._context = http.stream("GET", path, params=params, timeout=30.0)

    def __enter__(self) -> httpx2.Response:
        try:
            answer = self._context.__enter__()
        except httpx2.TransportError as error:
            raise ServiceError(str(error)) from error
        if answer.is_error:
            answer.read()
            self._context.__exit__(None, None, None)
            check(answer)
        return answer

    def __exit__(self, *raised: Any) -> None:
        self._context.__exit__(*raised)


def check(answer: httpx2.Response) -> None:
    """Raises `ServiceError` with the server's words for anything but success."""
    if not answer.is_error:
        return
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = answer.reason_phrase
    if isinstance(detail, list):
        detail = "; ".join(f"{part['loc']}: {part['msg']}" for part in detail)
    raise ServiceError(str(detail), answer.status_code)
