"""`reelmill config show`: every setting and where its value comes from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pipelines import config
from pipelines.cli.exit import UsageError
from pipelines.cli.rows import Column, print_rows
from pipelines.cli.steps import Config, Set
from pipelines.config.merge import flatten, merge, profile_path, profiles_folder, read_profile


def show(
    key: Annotated[
        str | None, typer.Argument(help="A setting, or the beginning of several: policy.limits.")
    ] = None,
    *,
    config_: Config = None,
    set_: Set = None,
) -> None:
    """Prints the resolved profile."""
    default = read_profile(profiles_folder() / "default.yaml")
    layered = merge(default, read_profile(profile_path(config_))) if config_ else default
    resolved = config.load(config_, set_ or (), opens_files=False).resolved
    before, with_file, values = flatten(default), flatten(layered), flatten(resolved)
    rows: list[dict[str, Any]] = []
    for name, value in values.items():
        origin = "default" if before.get(name) == value else "--set"
        if origin == "--set" and with_file.get(name) == value:
            origin = str(config_)
        if key is None or name == key or name.startswith(f"{key}."):
            rows.append({"key": name, "value": value, "default": before.get(name), "from": origin})
    if key is not None and not rows:
        raise UsageError(f"there is no setting {key!r}; `reelmill config show` lists them")
    print_rows(rows, _COLUMNS)


def _colour(row: Any) -> str | None:
    return None if row["from"] == "default" else "yellow"


_COLUMNS = (
    Column("key"),
    Column("value", show=str, style=_colour),
    Column("from", style=_colour),
)
