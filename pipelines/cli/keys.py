"""`reelmill token`: who may ask a server for what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from curation.media.sandbox import plain
from curation.storage import Storage
from pipelines.cli import terminal
from pipelines.run.pipeline import NothingToDoError

if TYPE_CHECKING:
    from pipelines.service.database import Database

app = typer.Typer(no_args_is_help=True, help="Who may ask a server for what.")

Root = Annotated[str, typer.Argument(help="Folder or s3:// address whose folders are outputs.")]
State = Annotated[
    Path | None, typer.Option(help="Folder for the server's own state; ROOT/.reelmill")
]


def state_folder(root: str, given: Path | None) -> Path:
    """Where a server's own state lies."""
    from pipelines.service.settings import default_state

    found = given.expanduser().absolute() if given else default_state(Storage.at(root).root)
    if found is None:
        raise typer.BadParameter("with ROOT on S3, say with --state where the server's own lies")
    return found


def _database(root: str, state: Path | None) -> Database:
    from pipelines.service.database import Database
    from pipelines.service.service import database_file

    return Database(database_file(state_folder(root, state)))


@app.command(epilog="Example: reelmill token create outputs --scope search --name web --days 30")
def create(
    root: Root,
    scope: Annotated[
        Literal["read", "search", "submit", "admin"], typer.Option(help="Each has those before it.")
    ],
    name: Annotated[str, typer.Option(help="Whose it is, for you to remember.")] = "",
    days: Annotated[float | None, typer.Option(min=0, help="Days that it holds.")] = None,
    state: State = None,
) -> None:
    """Make a token and show it, this once. From then on every caller needs one."""
    from pipelines.service.api_keys import Tokens

    typer.echo(Tokens(_database(root, state)).create(scope, name, days))


@app.command("list", epilog="Example: reelmill token list outputs")
def list_tokens(root: Root, state: State = None) -> None:
    """List tokens, without their secrets."""
    from pipelines.service.api_keys import Tokens

    table = Table("id", "name", "scope", "made", "until", "revoked", box=None, pad_edge=False)
    for each in Tokens(_database(root, state)).all():
        cells = (each.token_id, each.name, each.scope, each.created, each.expires, each.revoked)
        table.add_row(*(escape(plain(cell or "–")) for cell in cells))
    terminal.console.print(table)


@app.command(epilog="Example: reelmill token revoke outputs 1f0a33c0ffee")
def revoke(
    root: Root, token_id: Annotated[str, typer.Argument(help="Its id.")], state: State = None
) -> None:
    """End a token."""
    from pipelines.service.api_keys import Tokens

    if not Tokens(_database(root, state)).revoke(token_id):
        raise NothingToDoError(f"there is no token {token_id} that lives")
