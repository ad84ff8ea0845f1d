"""Prometheus metrics: requests, jobs by state, and the steps of running jobs and their workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from pipelines.service.jobs.local_backend import JobFolder
from pipelines.service.jobs.queue import JobQueue
from pipelines.service.jobs.views import job_view
from pipelines.service.schemas import JobState, StepProgress

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Metrics:
    """The metrics of one server."""

    def __init__(self, queue: JobQueue, jobs: Path) -> None:
        """`jobs` is the folder of all jobs' folders."""
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
        self._registry.register(_StepCollector(queue, jobs))

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


_STEP_GAUGES = {
    "done": "Sources or clips with an outcome, those of earlier runs included.",
    "total": "Sources or clips that the step has to give an outcome.",
    "video_seconds": "Seconds of video that the step has finished in this run.",
    "failed": "Sources or clips that failed in this run.",
    "workers": "Workers of the step.",
    "waiting": "Items that no worker has yet.",
    "busy": "Workers of the step, times the share of their time in which they worked.",
}


class _StepCollector:
    """Reads the progress of active jobs at each scrape; series are of a collection and a step."""

    def __init__(self, queue: JobQueue, jobs: Path) -> None:
        self._queue, self._jobs = queue, jobs

    def collect(self) -> Iterator[GaugeMetricFamily]:
        sums: dict[str, dict[tuple[str, str], float]] = {name: {} for name in _STEP_GAUGES}
        for job in self._queue.active():
            view = job_view(job, JobFolder(self._jobs / job.job_id))
            for step in view.steps:
                labels = view.collection, step.step
                for name, value in _gauges(step).items():
                    sums[name][labels] = sums[name].get(labels, 0.0) + value
        for name, help_text in _STEP_GAUGES.items():
            family = GaugeMetricFamily(
                f"reelmill_step_{name}", help_text, labels=["collection", "step"]
            )
            for labels, value in sums[name].items():
                family.add_metric(labels, value)
            yield family


def _gauges(step: StepProgress) -> dict[str, float]:
    is_running = step.done < step.total
    return {
        "done": step.done,
        "total": step.total,
        "video_seconds": step.video_s,
        "failed": sum(n for outcome, n in step.counts.items() if step.tones[outcome] == "failed"),
        "workers": step.workers if is_running else 0,
        "waiting": step.waiting if is_running else 0,
        "busy": (step.busy or 0.0) * step.workers if is_running else 0.0,
    }
