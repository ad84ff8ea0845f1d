"""Prometheus metrics: requests by route and status, their times, and jobs by state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from pipelines.service.jobs.queue import JobQueue
from pipelines.service.schemas import JobState

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Metrics:
    """The metrics of one server."""

    def __init__(self, queue: JobQueue) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "reelmill_requests", "Requests answered.", ["method", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "reelmill_request_seconds", "Seconds to the end of an answer.", ["route"],
            registry=self._registry,
        )  # fmt: skip
        self._registry.register(_JobCollector(queue))

    def record_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one request; `route` is its pattern, which bounds the number of series."""
        self._requests.labels(method if method in _METHODS else "other", route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _JobCollector:
    """Counts jobs at each scrape."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts = self._queue.counts()
        family = GaugeMetricFamily("reelmill_jobs", "Jobs by state.", labels=["state"])
        for state in get_args(JobState):
            family.add_metric([state], counts.get(state, 0))
        yield family
