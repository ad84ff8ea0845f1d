"""`reelmill serve`, and what asks a server: `submit`, `jobs`, `status`, `logs` …"""

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

from curation.media.sandbox import plain
from curation.output_location import check_tables
from curation.storage import Storage
from pipelines.cli import terminal
from pipelines.cli.keys import Root, State, state_folder
from pipelines.cli.keys import app as tokens_app
from pipelines.run.pipeline import NothingToDoError

if TYPE_CHECKING:
    from pipelines.service.client import Client
    from pipelines.service.settings import Settings

_ENDS = {"done": 0, "stopped": 4}
Server = Annotated[
    str, typer.Option(envvar="REELMILL_SERVER", help="The server; REELMILL_TOKEN is shown to it.")
]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
_SERVER = "http://127.0.0.1:8470"


def serve(
    root: Root,
    *,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Where inputs may lie: NAME=FOLDER or NAME=s3://PREFIX. Again for more."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8470,
    name: Annotated[
        list[str] | None, typer.Option(help="A further name that the server goes by in addresses.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="Profile that jobs build on.")
    ] = None,
    running: Annotated[int, typer.Option(min=1, help="Jobs that run at a time.")] = 1,
    ray_jobs: Annotated[
        str | None, typer.Option(help="Run jobs through this Ray Jobs API: http://HEAD:8265")
    ] = None,
    ray_env: Annotated[
        Path | None,
        typer.Option(help="YAML file: the jobs' runtime environment there, such as image_uri."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second of one caller.")] = 50.0,
    state: State = None,
) -> None:
    """Serve outputs and run jobs over HTTP: on this machine alone until a token exists."""
    from pipelines.service.settings import Limits, Settings

    if config is not None and Path(config).is_file():
        config = str(Path(config).absolute())
    check_tables(Storage.at(root))
    _serve(
        Settings(
            root=Storage.at(root).root,
            state=state_folder(root, state),
            sources=dict(_source(text) for text in source or ()),
            profile=config,
            host=host,
            names=tuple(name or ()),
            running=running,
            ray_address=ray_jobs,
            ray_environment=_runtime_environment(ray_env),
            limits=Limits(rate=rate, burst=max(1, round(4 * rate))),
        ),
        port,
    )


def _serve(settings: Settings, port: int) -> None:
    try:
        import uvicorn

        from pipelines.service.app import create_app
    except ImportError as error:
        raise NothingToDoError(f"{error}; install reelmill[service]") from error
    from pipelines.service.service import Service, StateInUseError, taken

    try:
        taken(settings.state)
    except StateInUseError as error:
        raise NothingToDoError(str(error)) from error
    service = Service.at(settings)
    if not settings.is_loopback and not service.tokens.exist():
        raise NothingToDoError(
            f"{settings.host} can be reached from elsewhere, so that callers need tokens; make one "
            "with `reelmill token create`"
        )
    service.orders.warm()
    terminal.console.print(f"reelmill at http://{settings.host}:{port}: {escape(settings.root)}")
    with _settled():
        uvicorn.run(
            create_app(service), host=settings.host, port=port, log_level="warning",
            access_log=False, server_header=False, timeout_keep_alive=15,
            timeout_graceful_shutdown=3, ws="none", proxy_headers=False,
        )  # fmt: skip


@contextlib.contextmanager
def _settled() -> Iterator[None]:
    """Python's garbage collector passes over what the libraries have made by now.

    Each time that it looks through those 300,000 objects, no request is answered for 0.1 to 0.3 s.
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
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise typer.BadParameter(f"--ray-env {path}: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("env_vars", {}), dict):
        raise typer.BadParameter(f"--ray-env {path}: it has to hold Ray's runtime_env")
    return found


def _source(text: str) -> tuple[str, str]:
    import re

    from pipelines.service.schemas import NAME

    name, equals, place = text.partition("=")
    if not equals or not re.match(NAME, name) or not place:
        raise typer.BadParameter(f"--source {text}: write it as NAME=FOLDER or NAME=s3://PREFIX")
    return name, Storage.at(place).root


def submit(
    kind: Annotated[str, typer.Argument(help="curate, scan, select, render, tokenize, report …")],
    collection: Annotated[str, typer.Argument(help="Name of the output.")],
    inputs: Annotated[
        list[str] | None, typer.Argument(help="SOURCE or SOURCE/path, as the server names them.")
    ] = None,
    *,
    set_: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Change one value, as KEY=VALUE.")
    ] = None,
    retry: Annotated[list[str] | None, typer.Option(help="As in `reelmill curate`.")] = None,
    priority: Annotated[int, typer.Option(help="Higher ones start first.")] = 0,
    key: Annotated[str | None, typer.Option(help="The same key never makes a second job.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what it would do and cost.")] = False,
    wait: Annotated[bool, typer.Option(help="Follow it to its end.")] = False,
    server: Server = _SERVER,
) -> None:
    """Ask a server for a job."""
    wish: dict[str, Any] = {
        "kind": kind, "collection": collection, "inputs": inputs or [], "retry": retry or [],
        "priority": priority, "settings": dict(_setting(text) for text in set_ or ()),
    }  # fmt: skip
    with _client(server) as client:
        if dry_run:
            typer.echo(json.dumps(client.plan(**wish), indent=2))
            return
        job = client.submit(key=key, **wish)
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
        typer.echo(plain(line, 10_000))
    job = client.wait(job_id)
    terminal.errors.print(f"{job['state']}{_because(job)}")
    if job["state"] != "done" or job["exit_code"]:
        raise typer.Exit(job["exit_code"] or _ENDS.get(job["state"], 1))


def _because(job: dict[str, Any]) -> str:
    words = job["error"] or job["cancel_reason"] or ""
    return f": {escape(plain(words))}" if words else ""


def jobs(
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    collection: Annotated[str | None, typer.Option(help="Only those of this output.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, newest first.")] = 20,
    server: Server = _SERVER,
) -> None:
    """List a server's jobs."""
    filters: dict[str, Any] = {"state": state, "collection": collection, "limit": limit}
    with _client(server) as client:
        found = client.jobs(**{name: value for name, value in filters.items() if value is not None})
    table = Table("job", "kind", "collection", "state", "at", "created", box=None, pad_edge=False)
    for job in found:
        cells = (job["job_id"], job["kind"], job["collection"], job["state"], _at(job),
                 job["created"][:19])  # fmt: skip
        table.add_row(*(escape(plain(cell)) for cell in cells))
    terminal.console.print(table)


def _at(job: dict[str, Any]) -> str:
    if not job["steps"]:
        return ""
    step = job["steps"][-1]
    return f"{step['step']} {step['done']}/{step['total']}"


def status(
    job_id: JobId,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, as JSON.")] = False,
    server: Server = _SERVER,
) -> None:
    """Show how far a job is, and what happened to it."""
    with _client(server) as client:
        job, events = client.job(job_id), client.events(job_id)
    if as_json:
        typer.echo(json.dumps({**job, "events": events}, indent=2))
        return
    terminal.console.print(
        f"{job['kind']} {job['collection']}: [bold]{job['state']}[/]{_because(job)}"
    )
    for step in job["steps"]:
        rate = "" if step["rate"] is None else f", {step['rate']:.2f}/s"
        live = job["state"] == "running" and step["eta_s"]
        left = f", about {step['eta_s']:.0f} s left" if live else ""
        counts = f" ({terminal.said(step['counts'])})" if step["counts"] else ""
        words = f"{step['done']}/{step['total']} {step['things']}{rate}{left}{counts}"
        terminal.console.print(f"  {escape(plain(step['step']))}: {escape(plain(words))}")
    for event in events:
        words = " ".join((event["at"][:19], event["kind"], "by", event["who"], event["detail"]))
        terminal.console.print(f"  {escape(plain(words, 600))}")


def logs(
    job_id: JobId,
    tail: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Only the last lines.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    server: Server = _SERVER,
) -> None:
    """Show what a job says."""
    with _client(server) as client:
        for line in client.log(job_id, tail=tail, follow=follow):
            typer.echo(plain(line, 10_000))


def cancel(
    job_id: JobId,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")] = "",
    server: Server = _SERVER,
) -> None:
    """Cancel a job; what it has done is kept."""
    with _client(server) as client:
        typer.echo(client.cancel(job_id, reason)["state"])


def retry(job_id: JobId, server: Server = _SERVER) -> None:
    """Queue a job again that has ended; it goes on where it stopped."""
    with _client(server) as client:
        typer.echo(client.retry(job_id)["state"])


@contextlib.contextmanager
def _client(server: str) -> Iterator[Client]:
    """A client, whose errors become the command line's."""
    try:
        from pipelines.service.client import Client, ServiceError
    except ImportError as error:
        raise NothingToDoError(f"{error}; install reelmill[service]") from error
    try:
        with Client(server) as client:
            yield client
    except ServiceError as error:
        raise NothingToDoError(plain(str(error), 1000)) from error


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
    app.add_typer(tokens_app, name="token")
