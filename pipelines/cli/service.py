"""`reelmill serve`, and its clients: `submit`, `jobs`, `status`, `logs`, `cancel`, `retry`."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from curation.errors import PrerequisiteError
from curation.media.sandbox import printable
from curation.output_location import check_address
from curation.storage import Storage
from pipelines.cli import terminal
from pipelines.cli.exit import STOPPED
from pipelines.cli.keys import Root, State, state_folder
from pipelines.cli.keys import app as keys_app

if TYPE_CHECKING:
    from pipelines.service.client import Client
    from pipelines.service.settings import ServerSettings

_EXIT_CODES = {"done": 0, "stopped": STOPPED}
Server = Annotated[
    str,
    typer.Option(
        envvar="REELMILL_SERVER",
        help="The address of the server; the API key is read from REELMILL_TOKEN.",
    ),
]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
_DEFAULT_SERVER = "http://127.0.0.1:8470"


def serve(
    root: Root,
    *,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="A place of inputs: NAME=FOLDER or NAME=s3://PREFIX. May be given again."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8470,
    name: Annotated[
        list[str] | None, typer.Option(help="Another host name of the server. May be given again.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="The profile on which jobs are based.")
    ] = None,
    running: Annotated[int, typer.Option(min=1, help="The number of jobs that run at a time.")] = 1,
    ray_jobs: Annotated[
        str | None, typer.Option(help="Run jobs through this Ray Jobs API: http://HEAD:8265.")
    ] = None,
    ray_env: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file with the runtime environment of the jobs there, such as image_uri."
        ),
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0.1, help="The requests per second of one caller, at most.")
    ] = 50.0,
    state: State = None,
) -> None:
    """Serve outputs and run jobs over HTTP: on this machine alone until an API key exists."""
    from pipelines.service.settings import ServerLimits, ServerSettings

    if config is not None and Path(config).is_file():
        config = str(Path(config).absolute())
    check_address(Storage.at(root))
    _serve(
        ServerSettings(
            root=Storage.at(root).root,
            state=state_folder(root, state),
            sources=dict(_source(text) for text in source or ()),
            profile=config,
            host=host,
            host_names=tuple(name or ()),
            max_running=running,
            ray_address=ray_jobs,
            ray_environment=_runtime_environment(ray_env),
            limits=ServerLimits(rate=rate, burst=max(1, round(4 * rate))),
        ),
        port,
    )


def _serve(settings: ServerSettings, port: int) -> None:
    try:
        import uvicorn

        from pipelines.service.app import create_app
    except ImportError as error:
        raise PrerequisiteError(f"{error}; install reelmill[service]") from error
    from pipelines.service.service import Service, StateInUseError, lock_state

    try:
        lock_state(settings.state)
    except StateInUseError as error:
        raise PrerequisiteError(str(error)) from error
    service = Service.at(settings)
    if not settings.is_loopback and not service.api_keys.exist():
        raise PrerequisiteError(
            f"{settings.host} is reachable from other machines, so callers need API keys: create "
            "one with `reelmill key create`"
        )
    service.commands.preload()
    terminal.console.print(f"reelmill at http://{settings.host}:{port}: {escape(settings.root)}")
    with _frozen_objects():
        uvicorn.run(
            create_app(service), host=settings.host, port=port, log_level="warning",
            access_log=False, server_header=False, timeout_keep_alive=15,
            timeout_graceful_shutdown=3, ws="none", proxy_headers=False,
        )  # fmt: skip


@contextlib.contextmanager
def _frozen_objects() -> Iterator[None]:
    """Exempts the present objects, which are mostly of libraries, from garbage collection.

    Each traversal of those 300,000 objects would stop all requests for 0.1 to 0.3 s.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _runtime_environment(path: Path | None) -> dict[str, Any]:
    import yaml

    if path is None:
        return {}
    try:
        environment = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise typer.BadParameter(f"--ray-env {path}: {error}") from error
    if not isinstance(environment, dict) or not isinstance(environment.get("env_vars", {}), dict):
        raise typer.BadParameter(f"--ray-env {path}: it has to hold Ray's runtime_env")
    return environment


def _source(text: str) -> tuple[str, str]:
    import re

    from pipelines.service.schemas import NAME

    name, equals, place = text.partition("=")
    if not equals or not re.match(NAME, name) or not place:
        raise typer.BadParameter(f"--source {text}: write it as NAME=FOLDER or NAME=s3://PREFIX")
    return name, Storage.at(place).root


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
        int, typer.Option(help="The priority; jobs of a higher one start first.")
    ] = 0,
    key: Annotated[
        str | None,
        typer.Option(help="An idempotency key: submitting it again creates no second job."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Show what the job would do and cost, without submitting it.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Follow the job until it ends.")] = False,
    server: Server = _DEFAULT_SERVER,
) -> None:
    """Submit a job to a server."""
    request: dict[str, Any] = {
        "kind": kind, "collection": collection, "inputs": inputs or [], "retry": retry or [],
        "priority": priority, "settings": dict(_setting(text) for text in set_ or ()),
    }  # fmt: skip
    with _client(server) as client:
        if dry_run:
            typer.echo(json.dumps(client.plan(**request), indent=2))
            return
        job = client.submit(key=key, **request)
        typer.echo(job["job_id"])
        if wait:
            _follow(client, job["job_id"])


def _setting(text: str) -> tuple[str, Any]:
    import yaml

    key, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set {text}: write it as KEY=VALUE")
    return key, yaml.safe_load(value)


def _follow(client: Client, job_id: str) -> None:
    for line in client.log(job_id, follow=True):
        typer.echo(printable(line, 10_000))
    job = client.wait(job_id)
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
    """List the jobs of a server."""
    filters: dict[str, Any] = {"state": state, "collection": collection, "limit": limit}
    with _client(server) as client:
        rows = client.jobs(**{name: value for name, value in filters.items() if value is not None})
    table = Table("job", "kind", "collection", "state", "at", "created", box=None, pad_edge=False)
    for job in rows:
        cells = (job["job_id"], job["kind"], job["collection"], job["state"], _position(job),
                 job["created"][:19])  # fmt: skip
        table.add_row(*(escape(printable(cell)) for cell in cells))
    terminal.console.print(table)


def _position(job: dict[str, Any]) -> str:
    if not job["steps"]:
        return ""
    step = job["steps"][-1]
    return f"{step['step']} {step['done']}/{step['total']}"


def status(
    job_id: JobId,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
    server: Server = _DEFAULT_SERVER,
) -> None:
    """Show the progress and the events of a job."""
    with _client(server) as client:
        job, events = client.job(job_id), client.events(job_id)
    if as_json:
        typer.echo(json.dumps({**job, "events": events}, indent=2))
        return
    terminal.console.print(
        f"{job['kind']} {job['collection']}: [bold]{job['state']}[/]{_cause(job)}"
    )
    for step in job["steps"]:
        rate = "" if step["rate"] is None else f", {step['rate']:.2f}/s"
        live = job["state"] == "running" and step["eta_s"]
        remaining = f", about {step['eta_s']:.0f} s left" if live else ""
        counts = f" ({terminal.format_counts(step['counts'])})" if step["counts"] else ""
        words = f"{step['done']}/{step['total']} {step['things']}{rate}{remaining}{counts}"
        terminal.console.print(f"  {escape(printable(step['step']))}: {escape(printable(words))}")
    for event in events:
        words = " ".join((event["at"][:19], event["kind"], "by", event["who"], event["detail"]))
        terminal.console.print(f"  {escape(printable(words, 600))}")


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
    """Show the log of a job."""
    with _client(server) as client:
        for line in client.log(job_id, tail=tail, follow=follow):
            typer.echo(printable(line, 10_000))


def cancel(
    job_id: JobId,
    reason: Annotated[str, typer.Option(help="The reason, which is recorded.")] = "",
    server: Server = _DEFAULT_SERVER,
) -> None:
    """Cancel a job; its committed results are kept."""
    with _client(server) as client:
        typer.echo(client.cancel(job_id, reason)["state"])


def retry(job_id: JobId, server: Server = _DEFAULT_SERVER) -> None:
    """Queue an ended job again; it resumes where it stopped."""
    with _client(server) as client:
        typer.echo(client.retry(job_id)["state"])


@contextlib.contextmanager
def _client(server: str) -> Iterator[Client]:
    """A client whose errors are reported as those of the command line."""
    try:
        from pipelines.service.client import Client, ServiceError
    except ImportError as error:
        raise PrerequisiteError(f"{error}; install reelmill[service]") from error
    try:
        with Client(server) as client:
            yield client
    except ServiceError as error:
        raise PrerequisiteError(printable(str(error), 1000)) from error


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command(epilog="Example: reelmill serve outputs --source videos=~/videos")(serve)
    app.command(
        epilog="Example: reelmill submit curate drive videos/drive --set motion.min=0.01 --wait"
    )(submit)
    app.command(epilog="Example: reelmill jobs --state running")(jobs)
    app.command(epilog="Example: reelmill status 0123456789abcdef")(status)
    app.command(epilog="Example: reelmill logs 0123456789abcdef --follow")(logs)
    app.command(epilog="Example: reelmill cancel 0123456789abcdef --reason 'wrong folder'")(cancel)
    app.command(epilog="Example: reelmill retry 0123456789abcdef")(retry)
    app.add_typer(keys_app, name="key")
