"""`reelmill serve`: outputs and jobs over HTTP."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from curation.media.sandbox import confinement
from curation.output_location import check_address
from curation.storage import Storage
from pipelines.cli import terminal
from pipelines.cli.exit import UsageError, requires_extra
from pipelines.cli.keys import Root, State, state_folder
from pipelines.cli.terminal import escape

if TYPE_CHECKING:
    from pipelines.service.settings import ServerSettings

_WEBHOOK_SECRET, _MIN_SECRET = "REELMILL_WEBHOOK_SECRET", 16


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
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            help="The IP address of a proxy, whose X-Forwarded-For and X-Forwarded-Proto are"
            " believed. May be given again."
        ),
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
    connections: Annotated[
        int, typer.Option(min=1, help="The open connections of one address, at most.")
    ] = 100,
    keep_days: Annotated[
        float,
        typer.Option(
            min=0,
            help="The days after which ended jobs, their logs and files, and previews are deleted;"
            " 0 keeps them.",
        ),
    ] = 90.0,
    webhook: Annotated[
        str | None,
        typer.Option(
            help="Send the end of each job to this address, signed with REELMILL_WEBHOOK_SECRET."
        ),
    ] = None,
    state: State = None,
) -> None:
    """Serves until it is stopped."""
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
            proxies=tuple(_address(text) for text in proxy or ()),
            keep_days=keep_days or None,
            max_running=running,
            webhook=webhook and _webhook(webhook),
            webhook_secret=os.environ.get(_WEBHOOK_SECRET, ""),
            ray_address=ray_jobs,
            ray_environment=_runtime_environment(ray_env),
            limits=ServerLimits(
                rate=rate, burst=max(1, round(4 * rate)), connections_per_address=connections
            ),
        ),
        port,
    )


def _serve(settings: ServerSettings, port: int) -> None:
    with requires_extra("service"):
        from pipelines.service.server import run_server
    from pipelines.service.service import Service, lock_state

    lock_state(settings.state)
    service = Service.at(settings)
    if not settings.is_loopback and not service.api_keys.exist():
        raise UsageError(
            f"{settings.host} is reachable from other machines, so callers need API keys: create "
            "one with `reelmill key create`"
        )
    service.commands.preload()
    terminal.console.print(f"confinement of decoders: {confinement()}")
    terminal.console.print(f"reelmill at http://{settings.host}:{port}: {escape(settings.root)}")
    run_server(service, port)


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


def _webhook(address: str) -> str:
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).netloc:
        raise typer.BadParameter(f"--webhook {address}: write it as https://HOST/PATH")
    if len(os.environ.get(_WEBHOOK_SECRET, "")) < _MIN_SECRET:
        raise typer.BadParameter(
            f"--webhook needs a secret of {_MIN_SECRET} characters or more in {_WEBHOOK_SECRET}"
        )
    return address


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise typer.BadParameter(
            f"--proxy {text}: write an IP address, such as 10.0.0.2"
        ) from error


def _source(text: str) -> tuple[str, str]:
    import re

    from pipelines.service.schemas import NAME

    name, equals, place = text.partition("=")
    if not equals or not re.match(NAME, name) or not place:
        raise typer.BadParameter(f"--source {text}: write it as NAME=FOLDER or NAME=s3://PREFIX")
    return name, Storage.at(place).root.rstrip("/") or "/"
