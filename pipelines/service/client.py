"""A client of a server.

    from pipelines.service.client import Client
    with Client("http://127.0.0.1:8470") as reelmill:
        job = reelmill.submit(kind="curate", collection="drive", inputs=["videos/drive"])
        reelmill.wait(job["job_id"])
        hits = reelmill.search("drive", text="a pedestrian at night")

A request that the server puts off (429, 503) is repeated after the time that it names. A submission
carries an idempotency key, so that repeating it makes no second job.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

from curation.errors import ReelmillError
from pipelines.service.schemas import FINAL

DEFAULT = "http://127.0.0.1:8470"
_ATTEMPTS = 5
_LATER = (429, 503)
"""Statuses of a server that puts a request off."""
_SILENCE_S = 30.0
"""Without a byte for so long a stream is opened again."""
_PATIENCE_S = 120.0
"""For so long a server may be away from one who follows a job."""
_PAUSE_S, _MAX_PAUSE_S = 0.5, 10.0
"""From one opening of a stream to the next, at least; doubled while streams do not last so long."""


class ServiceError(ReelmillError):
    """The server refuses, or is unavailable; `status` is the HTTP status, 0 without one."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """A connection to one server."""

    def __init__(self, server: str = DEFAULT, api_key: str | None = None) -> None:
        """`api_key` defaults to the variable `REELMILL_SERVER_KEY`."""
        secret = api_key or os.environ.get("REELMILL_SERVER_KEY")
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self._server = server
        self._http = httpx2.Client(base_url=server, headers=headers, timeout=90.0)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def submit(self, *, key: str | None = None, **request: Any) -> dict[str, Any]:
        """Queues a job; fields as in `JobRequest`. The same `key` gives the same job."""
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        return self._object("POST", "/v1/jobs", json=request, headers=headers)

    def plan(self, **request: Any) -> dict[str, Any]:
        """What a job would do and cost."""
        return self._object("POST", "/v1/plan", json=request)

    def job(self, job_id: str) -> dict[str, Any]:
        """One job as it is now."""
        return self._object("GET", f"/v1/jobs/{job_id}")

    def jobs(self, **filters: str | int) -> list[dict[str, Any]]:
        """Jobs, newest first: of a `state` or `collection`, at most `limit`."""
        jobs: list[dict[str, Any]] = self._object("GET", "/v1/jobs", params=filters)["jobs"]
        return jobs

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """The events of a job."""
        return self._list("GET", f"/v1/jobs/{job_id}/events")

    def watch(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The job whenever it changes, until it has ended; a broken stream is opened again."""
        path = f"/v1/jobs/{job_id}/watch"
        for chunk in self._reopening(lambda _: (path, None), lambda: False):
            if chunk.startswith(b"data: "):
                view = json.loads(chunk.removeprefix(b"data: "))
                yield view
                if view["state"] in FINAL:
                    return

    def wait(self, job_id: str) -> dict[str, Any]:
        """Waits until a job has ended; the job as it is then."""
        view: dict[str, Any] = {}
        for view in self.watch(job_id):  # noqa: B007  the last one counts
            pass
        return view

    def log(self, job_id: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """Lines of a job's log: all, the last ones, or as they come until the job has ended.

        A stream that is silent or breaks is opened again where it was.
        """
        path = f"/v1/jobs/{job_id}/log"
        if not follow:
            parameters = {"tail": tail} if tail else None
            response = self._send("GET", path, stream=True, params=parameters, timeout=_SILENCE_S)
            with contextlib.closing(response):
                yield from response.iter_lines()
            return
        lines = self._reopening(
            lambda start: (f"{path}/follow", {"start": start}),
            lambda: self.job(job_id)["state"] in FINAL,
        )
        for line in lines:
            yield line.decode("utf-8", "replace").removesuffix("\r")

    def cancel(self, job_id: str, reason: str = "") -> dict[str, Any]:
        """Cancels a job."""
        return self._object("POST", f"/v1/jobs/{job_id}/cancel", json={"reason": reason})

    def retry(self, job_id: str) -> dict[str, Any]:
        """Queues a job again that has ended."""
        return self._object("POST", f"/v1/jobs/{job_id}/retry")

    def artefacts(self, job_id: str) -> list[dict[str, Any]]:
        """The files that a job made."""
        return self._list("GET", f"/v1/jobs/{job_id}/artefacts")

    def collections(self) -> list[str]:
        """The outputs, by name."""
        return self._list("GET", "/v1/collections")

    def search(self, collection: str, **query: Any) -> dict[str, Any]:
        """Clips that match; fields as in `SearchRequest`."""
        return self._object("POST", f"/v1/collections/{collection}/search", json=query)

    def _object(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response: dict[str, Any] = self._request(method, path, **request)
        return response

    def _list(self, method: str, path: str, **request: Any) -> list[Any]:
        response: list[Any] = self._request(method, path, **request)
        return response

    def _request(self, method: str, path: str, **request: Any) -> Any:
        return self._send(method, path, **request).json()

    def _send(
        self, method: str, path: str, *, stream: bool = False, **request: Any
    ) -> httpx2.Response:
        """The answer, after further attempts where the server is away or asks to come later.

        Raises `ServiceError` for anything but success.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                built = self._http.build_request(method, path, **request)
                response = self._http.send(built, stream=stream)
            except httpx2.TransportError as error:
                is_repeatable = method != "POST" or "headers" in request
                if attempt == _ATTEMPTS or not is_repeatable:
                    raise ServiceError(f"{self._server}: {error}") from error
                time.sleep(0.5)
                continue
            if response.status_code not in _LATER or attempt == _ATTEMPTS:
                break
            response.close()
            named = response.headers.get("retry-after", "")  # by a proxy maybe as a date
            time.sleep(min(30, int(named)) if named.isdecimal() else 1)
        check(response)
        return response

    def _reopening(
        self,
        request: Callable[[int], tuple[str, dict[str, int] | None]],
        is_over: Callable[[], bool],
    ) -> Iterator[bytes]:
        """Lines of a stream that `request` opens from a byte on, until one ends that began when all
        was over.

        Silence is survived, and for `_PATIENCE_S` a server that is away or breaks each stream
        before its first byte. A stream that does not last is opened again after pauses that grow.
        """
        start, rest, pause_s = 0, b"", _PAUSE_S
        reached = time.monotonic()
        while True:
            opened = time.monotonic()
            try:
                is_last = is_over()
                path, parameters = request(start)
                rest = rest if parameters else b""
                with self._stream(path, parameters) as response:
                    for chunk in response.iter_bytes():
                        reached = time.monotonic()
                        start += len(chunk)
                        *lines, rest = (rest + chunk).split(b"\n")
                        yield from lines
                reached = time.monotonic()
                if is_last:
                    break
            except httpx2.ReadTimeout:
                reached = time.monotonic()
            except httpx2.TransportError as error:
                if time.monotonic() - reached > _PATIENCE_S:
                    raise ServiceError(f"{self._server}: {error}") from error
            except ServiceError as error:
                is_away = error.status in (0, *_LATER)
                if not is_away or time.monotonic() - reached > _PATIENCE_S:
                    raise
            lasted_s = time.monotonic() - opened
            pause_s = _PAUSE_S if lasted_s >= pause_s else min(2 * pause_s, _MAX_PAUSE_S)
            time.sleep(max(0.0, pause_s - lasted_s))
        if rest:
            yield rest

    @contextlib.contextmanager
    def _stream(self, path: str, params: dict[str, int] | None = None) -> Iterator[httpx2.Response]:
        with contextlib.ExitStack() as stack:
            try:
                response = stack.enter_context(
                    self._http.stream("GET", path, params=params, timeout=_SILENCE_S)
                )
            except httpx2.TransportError as error:
                raise ServiceError(str(error)) from error
            check(response)
            yield response


def check(response: httpx2.Response) -> None:
    """Raises `ServiceError` with the server's message for anything but success."""
    if not response.is_error:
        return
    response.read()
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.reason_phrase
    if isinstance(detail, list):
        detail = "; ".join(f"{part['loc']}: {part['msg']}" for part in detail)
    raise ServiceError(str(detail), response.status_code)
