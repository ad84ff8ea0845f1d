"""What a caller may ask for as a job, and what the service says of one: the API's own records."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from curation.reasons import INPUT_REASONS

Kind = Literal[
    "curate", "scan", "select", "render", "caption", "tokenize", "index", "report", "export",
    "verify",
]  # fmt: skip
State = Literal["queued", "running", "cancelling", "cancelled", "failed", "stopped", "done"]
LIVE: tuple[State, ...] = ("running", "cancelling")
FINAL: tuple[State, ...] = ("cancelled", "failed", "stopped", "done")

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


class Record(BaseModel):
    """Refuses unknown keys, and numbers that are none."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Wish(Record):
    """A job that is asked for."""

    kind: Kind
    """What to do: the command of the same name."""
    collection: Name
    """The output; `curate` and `scan` make it if it is not there."""
    inputs: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=1000)
    ] = []
    """For `curate` and `scan`: a configured source, or `SOURCE/folder/or/file` below it."""
    settings: Annotated[dict[_Key, Value], Field(max_length=100)] = {}
    """Changes to the server's profile, as `--set` takes them."""
    retry: Annotated[list[Reason], Field(max_length=100)] = []
    """For `curate`, `scan` and `caption`: reasons whose inputs get another chance."""
    format: Literal["webdataset", "hf"] = "webdataset"
    """For `export`."""
    selection: Name | None = None
    """For `render`, `caption`, `tokenize` and `export`: a selection or subset, by its id or name;
    the newest selection if left out."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Higher ones start first."""


class Step(BaseModel):
    """How far one step of a job is."""

    step: str
    things: str
    """What is counted."""
    done: int
    total: int
    counts: dict[str, int]
    """Outcomes so far."""
    elapsed_s: float
    rate: float | None
    """Things a second."""
    eta_s: float | None
    """Seconds left at that rate; null before the first thing is done."""


class JobView(BaseModel):
    """A job as it is now."""

    job_id: str
    kind: Kind
    collection: str
    state: State
    priority: int
    attempt: int
    """How often it was started."""
    owner: str
    """Who asked for it."""
    created: str
    started: str | None
    ended: str | None
    exit_code: int | None
    """Of the command: 0 all accounted for, 3 some inputs failed, 4 stopped and resumable."""
    error: str | None
    cancelled_by: str | None
    cancel_reason: str | None
    wish: Wish
    steps: list[Step]
    """Steps so far; the last one is at work while the job runs."""


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobView]
    next: str | None
    """Give it as `before` to go on."""


class Event(BaseModel):
    """Something that happened to a job."""

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


class Estimate(BaseModel):
    """What one step would cost."""

    items: int
    seconds: float | None
    """At the rate of the runs before; null where none tells."""


class Plan(BaseModel):
    """What a job would do; nothing was started."""

    command: list[str]
    """The command line, with names in the place of paths."""
    config: dict[str, Any]
    """The resolved configuration."""
    inputs: int
    new_inputs: int
    """Of them, those without an outcome."""
    new_bytes: int
    steps: dict[str, Estimate]
    seconds: float | None
    """Of all steps; null if one of them is not known."""
    measured_on: list[str]
    """Collections whose runs gave the rates."""


class Cancel(Record):
    """Why a job is cancelled."""

    reason: Annotated[str, Field(max_length=500)] = ""
