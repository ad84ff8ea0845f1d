"""`reelmill key`: the API keys of a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from curation.media.sandbox import printable
from curation.storage import Storage
from pipelines.cli.exit import UsageError, requires_extra
from pipelines.cli.rows import Column, print_rows, print_text

if TYPE_CHECKING:
    from pipelines.service.api_keys import ApiKeys

_FIELDS = ("key_id", "name", "scope", "created", "expires", "revoked")
Root = Annotated[str, typer.Argument(help="The folder or address whose folders are the outputs.")]
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
    """Prints the new key."""
    secret = _api_keys(root, state).create(scope, name, days)
    print_text({"key": secret}, secret)


def list_keys(root: Root, state: State = None) -> None:
    """Prints the keys."""
    keys = [{name: getattr(key, name) for name in _FIELDS} for key in _api_keys(root, state).all()]
    columns = [
        Column(name, name.removeprefix("key_"), lambda cell: printable(cell or "–"))
        for name in _FIELDS
    ]
    print_rows(keys, columns, empty="no keys")


def revoke(
    root: Root,
    key_id: Annotated[str, typer.Argument(help="The id of the key, as `list` shows it.")],
    state: State = None,
) -> None:
    """Revokes the key."""
    if not _api_keys(root, state).revoke(key_id):
        raise UsageError(f"there is no valid key {key_id}")
