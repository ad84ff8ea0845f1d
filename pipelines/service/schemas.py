"""The API's models of jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from curation.reasons import INPUT_REASONS

JobKind = Literal[
    "curate", "scan", "select", "render", "caption", "tokenize", "index", "report", "export",
    "verify",
]  # fmt: skip
JobState = Literal["queued", "running", "cancelling", "cancelled", "failed", "stopped", "done"]
FINAL: tuple[JobState, ...] = ("cancelled", "failed", "stopped", "done")

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""Of collections and sources. No dot and no slash: a name is never a path."""
Name = Annotated[str, Field(pattern=NAME)]
Reason = Annotated[str, Field(pattern=f"^({'|'.join(INPUT_REASONS)})$")]
_Key = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]
_Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Value = Annotated[
    bool | Annotated[int, Field(ge=-(2**31), le=2**31)] | float | _Word | list[_Word] | None,
    Field(union_mode="left_to_right"),
]


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
    """For `curate` and `scan`: a configured source, or `SOURCE/folder/or/file` below it."""
    settings: Annotated[dict[_Key, Value], Field(max_length=100)] = {}
    """Changes to the server's profile, as `--set` takes them."""
    retry: Annotated[list[Reason], Field(max_length=100)] = []
    """For `curate`, `scan` and `caption`: reasons whose inputs are retried."""
    format: Literal["webdataset", "hf"] = "webdataset"
    """For `export`."""
    selection: Name | None = None
    """For `render`, `caption`, `tokenize` and `export`: a selection or subset, by its id or name;
    the newest selection if left out."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Higher ones start first."""


class StepProgress(BaseModel):
    """Progress of one step of a job."""

    step: str
    things: str
    """The unit that is counted."""
    done: int
    total: int
    counts: dict[str, int]
    """Outcomes so far."""
    elapsed_s: float
    rate: float | None
    """Units per second."""
    eta_s: float | None
    """Seconds left at that rate; null before the first unit is done."""


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

    items: int
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
