"""Jobs as the API shows them: what the queue remembers, and how far the job itself says it is."""

from __future__ import annotations

from typing import Any

from pipelines.service.jobs.local_backend import JobFolder, read_json
from pipelines.service.jobs.queue import Job
from pipelines.service.schemas import JobView, Step, Wish

_SHOWN = (
    "job_id", "kind", "collection", "state", "priority", "attempt", "owner", "created", "started",
    "ended", "exit_code", "error", "cancelled_by", "cancel_reason",
)  # fmt: skip


def job_view(job: Job, folder: JobFolder) -> JobView:
    """One job as it is now."""
    said = read_json(folder.progress) if job.attempt else None
    steps = [_step(entry) for entry in said["steps"]] if said else []
    shown = {name: getattr(job, name) for name in _SHOWN}
    return JobView(**shown, wish=Wish.model_validate_json(job.wish), steps=steps)


def _step(entry: dict[str, Any]) -> Step:
    done, total = entry["done"], entry["total"]
    elapsed_s = max(0.0, entry["at"] - entry["began"])
    rate = done / elapsed_s if done and elapsed_s > 0 else None
    return Step(
        step=entry["step"], things=entry["things"], done=done, total=total,
        counts=entry["counts"], elapsed_s=round(elapsed_s, 3),
        rate=None if rate is None else round(rate, 4),
        eta_s=None if rate is None else round((total - done) / rate, 1),
    )  # fmt: skip
