"""The commands of a server and its clients: `serve`, `key`, `submit`, `jobs`, `status` …"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curation.media.sandbox import printable
from pipelines.cli import terminal
from pipelines.cli.exit import STOPPED, UsageError, requires_extra
from pipelines.cli.rows import Column, print_objects, print_rows, print_text
from pipelines.cli.terminal import escape

if TYPE_CHECKING:
    from pipelines.service.client import Client

_EXIT_CODES = {"done": 0, "stopped": STOPPED}
Server = Annotated[
    str,
    typer.Option(
        envvar="REELMILL_SERVER",
        help="The address of the server; the API key is read from REELMILL_SERVER_KEY.",
    ),
]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
_HOW = "--server or REELMILL_SERVER names another address"
_DEFAULT_SERVER = "http://127.0.0.1:8470"
_JOBS = (
    Column("job_id", "job", printable),
    Column("kind", show=printable),
    Column("collection", show=printable),
    Column("state", show=printable),
    Column("at", show=printable),
    Column("created", show=lambda time: printable(time[:19])),
)


def submit(
    kind: Annotated[
        str, typer.Argument(help="The command: curate, scan, select, render, tokenize, report …")
    ],
    collection: Annotated[str, typer.Argument(help="The name of the output.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="The inputs: SOURCE or SOURCE/path, as the server names them."),
    ] = None,
    *,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="Change one value, as KEY=VALUE. May be given again."),
    ] = None,
    retry: Annotated[
        list[str] | None, typer.Option(help="Retry inputs that failed for this reason.")
    ] = None,
    priority: Annotated[
        int, typer.Option(help="The priority: higher ones start first; above 0 for admins alone.")
    ] = 0,
    key: Annotated[
        str | None,
        typer.Option(help="An idempotency key: submitting it again creates no second job."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show what the job would do and cost, without submitting it."
        ),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job until it ends.")] = False,
    server: Server = _DEFAULT_SERVER,
) -> None:
    """Submits the job and prints its id."""
    request: dict[str, Any] = {
        "kind": kind, "collection": collection, "inputs": inputs or [], "retry": retry or [],
        "priority": priority, "settings": dict(_setting(text) for text in set_ or ()),
    }  # fmt: skip
    with _client(server) as client:
        if dry_run:
            plan = client.plan(**request)
            print_text(plan, json.dumps(plan, indent=2))
            return
        job = client.submit(key=key, **request)
        print_text(job, job["job_id"])
        if wait:
            _follow(client, job["job_id"])


def _setting(text: str) -> tuple[str, Any]:
    import yaml

    key, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set {text}: write it as KEY=VALUE")
    return key, yaml.safe_load(value)


def _follow(client: Client, job_id: str) -> None:
    """Prints the log until the job has ended, and exits as the job did; Ctrl-C leaves the job."""
    try:
        for line in client.log(job_id, follow=True):
            terminal.console.print(escape(printable(line, 10_000)))
        job = client.wait(job_id)
    except KeyboardInterrupt:
        terminal.errors.print(f"the job goes on: reelmill logs {job_id} --follow")
        raise typer.Exit(STOPPED) from None
    if terminal.output.json_lines:
        print_objects([job])
    terminal.errors.print(f"{job['state']}{_cause(job)}")
    if job["state"] != "done" or job["exit_code"]:
        raise typer.Exit(job["exit_code"] or _EXIT_CODES.get(job["state"], 1))


def _cause(job: dict[str, Any]) -> str:
    cause = job["error"] or job["cancel_reason"] or ""
    return f": {escape(printable(cause))}" if cause else ""


def jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    collection: Annotated[str | None, typer.Option(help="Only jobs of this output.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=200, help="The number of jobs, newest first.")
    ] = 20,
    server: Server = _DEFAULT_SERVER,
) -> None:
    """Prints the jobs."""
    filters: dict[str, Any] = {"state": state, "collection": collection, "limit": limit}
    with _client(server) as client:
        rows = client.jobs(**{name: value for name, value in filters.items() if value is not None})
    print_rows([{**job, "at": _position(job)} for job in rows], _JOBS, empty="no jobs")


def _position(job: dict[str, Any]) -> str:
    if not job["steps"]:
        return ""
    step = job["steps"][-1]
    return f"{step['step']} {step['done']}/{step['total']}"


def status(
    job_id: JobId,
    server: Server = _DEFAULT_SERVER,
) -> None:
    """Prints the job's state, steps and events."""
    with _client(server) as client:
        job, events = client.job(job_id), client.events(job_id)
    if terminal.output.json_lines:
        print_objects([{**job, "events": events}])
        return
    terminal.results.print(
        f"{job['kind']} {job['collection']}: [bold]{job['state']}[/]{_cause(job)}"
    )
    for step in job["steps"]:
        rate = "" if step["rate"] is None else f", {step['rate']:.2f}/s"
        live = job["state"] == "running" and step["eta_s"]
        remaining = f", about {step['eta_s']:.0f} s left" if live else ""
        counts = f" ({terminal.format_counts(step['counts'])})" if step["counts"] else ""
        words = f"{step['done']}/{step['total']} {step['unit']}{rate}{remaining}{counts}"
        terminal.results.print(f"  {escape(printable(step['step']))}: {escape(printable(words))}")
    for event in events:
        words = " ".join((event["at"][:19], event["kind"], "by", event["who"], event["detail"]))
        terminal.results.print(f"  {escape(printable(words, 600))}")


def logs(
    job_id: JobId,
    tail: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Only this many of the last lines.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow until the job ends.")
    ] = False,
    server: Server = _DEFAULT_SERVER,
) -> None:
    """Prints the log."""
    with _client(server) as client:
        for line in client.log(job_id, tail=tail, follow=follow):
            typer.echo(printable(line, 10_000))


def cancel(
    job_id: JobId,
    reason: Annotated[str, typer.Option(help="The reason, which is recorded.")] = "",
    server: Server = _DEFAULT_SERVER,
) -> None:
    """Cancels the job and prints its state."""
    with _client(server) as client:
        job = client.cancel(job_id, reason)
        print_text(job, job["state"])


def retry(job_id: JobId, server: Server = _DEFAULT_SERVER) -> None:
    """Queues the job and prints its state."""
    with _client(server) as client:
        job = client.retry(job_id)
        print_text(job, job["state"])


@contextlib.contextmanager
def _client(server: str) -> Iterator[Client]:
    """A client whose errors are reported as those of the command line."""
    with requires_extra("service"):
        from pipelines.service.client import Client, ServiceError
    try:
        with Client(server) as client:
            yield client
    except ServiceError as error:
        hint = "" if error.status else f": does `reelmill serve` run there? {_HOW}"
        raise UsageError(f"{printable(str(error), 1000)}{hint}") from error
