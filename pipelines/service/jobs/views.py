"""Jobs as the API shows them: the queue's record and the progress that the job writes."""

from __future__ import annotations

from typing import Any, Literal

from curation.reasons import INPUT_REASONS
from curation.select.policy import FILTER_REASONS
from pipelines.run.step_runner import UNAVAILABLE
from pipelines.service.jobs.local_backend import JobFolder, read_json
from pipelines.service.jobs.queue import JobRecord
from pipelines.service.schemas import JobRequest, JobView, StepProgress

_WITHOUT_OUTCOME = (UNAVAILABLE, "not_filled", "skipped", "failed")
_STORED = JobView.model_fields.keys() - {"request", "steps"}


def job_view(job: JobRecord, folder: JobFolder) -> JobView:
    """One job as it is now."""
    progress = read_json(folder.progress) if job.attempt else None
    return JobView(
        **{name: getattr(job, name) for name in _STORED},
        request=JobRequest.model_validate_json(job.request),
        steps=[_step_progress(step) for step in progress["steps"]] if progress else [],
    )


def _tone(outcome: str) -> Literal["kept", "duplicate", "filtered", "failed"]:
    if outcome == "duplicate":
        return "duplicate"
    if outcome in FILTER_REASONS:
        return "filtered"
    return "failed" if outcome in (*INPUT_REASONS, *_WITHOUT_OUTCOME) else "kept"


def _step_progress(step: dict[str, Any]) -> StepProgress:
    done, total, counts = step["done"], step["total"], step["counts"]
    elapsed_s = max(0.0, step["at"] - step["began"])
    done_now = done - step.get("before", 0)
    rate = done_now / elapsed_s if done_now and elapsed_s > 0 else None
    return StepProgress(
        step=step["step"], unit=step["unit"], done=done, total=total, counts=counts,
        tones={outcome: _tone(outcome) for outcome in counts}, elapsed_s=round(elapsed_s, 3),
        rate=None if rate is None else round(rate, 4),
        eta_s=None if rate is None else round((total - done) / rate, 1),
        video_s=round(step.get("video_s", 0.0), 1), workers=step.get("workers", 0),
        waiting=step.get("waiting", 0), busy=step.get("busy"),
    )  # fmt: skip
