"""`reelmill key`: the API keys of a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from curation.media.sandbox import printable
from curation.storage import Storage
from pipelines.cli import terminal
from pipelines.cli.exit import UsageError, requires_extra
from pipelines.cli.terminal import escape

if TYPE_CHECKING:
    from pipelines.service.api_keys import ApiKeys

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke the API keys of a server.")

Root = Annotated[
    str, typer.Argument(help="The folder or s3:// address whose folders are the outputs.")
]
State = Annotated[
    Path | None,
    typer.Option(help="The folder of the server's own state; ROOT/.reelmill if left out."),
]


def state_folder(root: str, state: Path | None) -> Path:
    """The folder of a server's own state, which is local even where ROOT is not."""
    from pipelines.service.settings import default_state

    folder = state.expanduser().absolute() if state else default_state(Storage.at(root).root)
    if folder is None:
        raise typer.BadParameter("with ROOT on S3, name a local folder for the state with --state")
    return folder


def _api_keys(root: str, state: Path | None) -> ApiKeys:
    with requires_extra("service"):
        from pipelines.service.api_keys import ApiKeys
        from pipelines.service.database import Database
        from pipelines.service.service import database_file

    return ApiKeys(Database(database_file(state_folder(root, state))))


@app.command(epilog="Example: reelmill key create outputs --scope search --name web --days 30")
def create(
    root: Root,
    scope: Annotated[
        Literal["read", "search", "submit", "admin"],
        typer.Option(help="What it permits; each scope includes those before it."),
    ],
    name: Annotated[str, typer.Option(help="A name for your reference.")] = "",
    days: Annotated[
        float | None, typer.Option(min=0, help="Days until it expires; never if left out.")
    ] = None,
    state: State = None,
) -> None:
    """Create an API key and show it once; from then on every caller needs one."""
    typer.echo(_api_keys(root, state).create(scope, name, days))


@app.command("list", epilog="Example: reelmill key list outputs")
def list_keys(root: Root, state: State = None) -> None:
    """List the API keys, without their secrets."""
    table = Table("id", "name", "scope", "created", "expires", "revoked", box=None, pad_edge=False)
    for key in _api_keys(root, state).all():
        cells = (key.key_id, key.name, key.scope, key.created, key.expires, key.revoked)
        table.add_row(*(escape(printable(cell or "–")) for cell in cells))
    terminal.console.print(table)


@app.command(epilog="Example: reelmill key revoke outputs 1f0a33c0ffee")
def revoke(
    root: Root,
    key_id: Annotated[str, typer.Argument(help="The id of the key, as `list` shows it.")],
    state: State = None,
) -> None:
    """Revoke an API key."""
    if not _api_keys(root, state).revoke(key_id):
        raise UsageError(f"there is no valid key {key_id}")
