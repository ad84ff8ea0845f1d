"""The API's models of jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from curation.reasons import INPUT_REASONS
from curation.steps import STEPS, StepInfo

JobState = Literal["queued", "running", "cancelling", "cancelled", "failed", "stopped", "done"]
FINAL: tuple[JobState, ...] = ("cancelled", "failed", "stopped", "done")

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""Of collections and sources. No dot and no slash: a name is never a path."""
Name = Annotated[str, Field(pattern=NAME)]
Reason = Annotated[str, Field(pattern=f"^({'|'.join(INPUT_REASONS)})$")]
_Key = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]
_Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Value = Annotated[
    bool
    | Annotated[int, Field(ge=-(2**31), le=2**31)]
    | float
    | _Word
    | Annotated[list[_Word], Field(max_length=1000)]
    | None,
    Field(union_mode="left_to_right"),
]


class JobKindInfo(BaseModel):
    """A kind of job: a command, and what it can be given."""

    kind: str
    summary: str
    takes_inputs: bool = False
    takes_retry: bool = False
    takes_selection: bool = False
    takes_settings: bool = False
    steps: tuple[str, ...] = ()
    """The steps of the pipeline that it runs."""


def _kind_of_step(step: StepInfo) -> JobKindInfo:
    return JobKindInfo(
        kind=step.name, summary=step.summary, takes_inputs=step.unit == "sources",
        takes_retry=step.name != "select", takes_selection=step.is_of_clips, takes_settings=True,
        steps=(step.name,),
    )  # fmt: skip


JOB_KINDS = {
    info.kind: info
    for info in (
        JobKindInfo(
            kind="curate", summary=f"Run all steps: {', '.join(STEPS)}.", takes_inputs=True,
            takes_retry=True, takes_settings=True, steps=tuple(STEPS),
        ),
        *map(_kind_of_step, STEPS.values()),
        JobKindInfo(kind="index", summary="Bring the search index up to date."),
        JobKindInfo(kind="report", summary="Write the report as a file."),
        JobKindInfo(kind="export", summary="Copy a selection into shards.", takes_selection=True),
        JobKindInfo(kind="verify", summary="Check every invariant of the tables."),
    )
}  # fmt: skip
JobKind = Annotated[str, Field(pattern=f"^({'|'.join(JOB_KINDS)})$")]


class StrictModel(BaseModel):
    """A request body: unknown keys, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class JobRequest(StrictModel):
    """A job to run."""

    kind: JobKind
    """What to do: the command of the same name."""
    collection: Name
    """The output; `curate` and `scan` create it."""
    inputs: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=1000)
    ] = []
    """For kinds that take inputs: a configured source, or `SOURCE/folder/or/file` below it."""
    settings: Annotated[dict[_Key, Value], Field(max_length=100)] = {}
    """Changes to the server's profile, as `--set` takes them."""
    retry: Annotated[list[Reason], Field(max_length=100)] = []
    """For kinds that run a step: reasons whose failures are retried."""
    format: Literal["webdataset", "hf"] = "webdataset"
    """For `export`."""
    selection: Name | None = None
    """For kinds that take one: a selection or subset, by its id or name; the newest selection if
    left out."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Higher ones start first; those above 0 are for admins."""


class StepProgress(BaseModel):
    """Progress of one step of a job."""

    step: str
    unit: str
    """What is counted: `sources`, `clips`."""
    done: int
    total: int
    counts: dict[str, int]
    """Outcomes so far."""
    tones: dict[str, Literal["kept", "duplicate", "filtered", "failed"]]
    """What each outcome is: a success is `kept`."""
    elapsed_s: float
    rate: float | None
    """Units per second."""
    eta_s: float | None
    """Seconds left at that rate; null before the first unit is done."""
    video_s: float
    """Seconds of video that this run finished."""
    workers: int
    waiting: int
    """Items that have been made and no worker has yet."""
    busy: float | None
    """Share of the workers' time in which they worked; null where there are none."""


class JobView(BaseModel):
    """A job as it is now."""

    job_id: str
    kind: JobKind
    collection: str
    state: JobState
    priority: int
    attempt: int
    """Number of starts."""
    owner: str
    """The caller who submitted it."""
    created: str
    started: str | None
    ended: str | None
    exit_code: int | None
    """Of the command: 0 all accounted for, 3 some inputs failed, 4 stopped and resumable."""
    error: str | None
    cancelled_by: str | None
    cancel_reason: str | None
    request: JobRequest
    steps: list[StepProgress]
    """Steps so far; the last one is running while the job runs."""


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobView]
    next: str | None
    """The `before` of the next page."""


class JobEvent(BaseModel):
    """A change of a job."""

    seq: int
    at: str
    kind: str
    who: str
    detail: str


class Artefact(BaseModel):
    """A file that a job made."""

    artefact_id: str
    name: str
    size_bytes: int
    sha256: str


class StepEstimate(BaseModel):
    """The cost of one step."""

    items: int | None
    """Sources or clips; null where no previous run tells how many clips new sources give."""
    seconds: float | None
    """At the rate of previous runs; null if there are none."""


class JobPlan(BaseModel):
    """What a job would do; nothing is started."""

    command: list[str]
    """The command line, with names in place of paths."""
    config: dict[str, Any]
    """The resolved configuration."""
    inputs: int
    new_inputs: int
    """Those without an outcome."""
    new_bytes: int
    steps: dict[str, StepEstimate]
    seconds: float | None
    """Of all steps; null if one of them is unknown."""
    measured_on: list[str]
    """Collections whose runs the rates are measured on."""


class CancelRequest(StrictModel):
    """The reason for cancelling a job."""

    reason: Annotated[str, Field(max_length=500)] = ""
