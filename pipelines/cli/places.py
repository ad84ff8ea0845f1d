"""Addresses that a command is given, opened."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from curation import pending_inputs
from curation.dataset import Dataset
from curation.errors import PrerequisiteError
from curation.storage import AddressError, Storage


def open_output(out: str) -> Dataset:
    """The output at an address; `PrerequisiteError` if there is none, so a typo creates none."""
    dataset = Dataset(out)
    if all(dataset.catalog.open(name) is None for name in ("sources", pending_inputs.LISTED)):
        raise PrerequisiteError(
            f"no output at {out}; `reelmill curate` or `reelmill scan` makes one"
        )
    return dataset


def local_path(value: str | Path) -> Path:
    """Parses a local path; `typer.BadParameter` for another address."""
    text = os.fspath(value)
    try:
        storage = Storage.at(text)
    except AddressError as error:
        raise typer.BadParameter(str(error)) from error
    if storage.is_remote:
        raise typer.BadParameter(f"{text}: has to be a local path")
    return Path(storage.root if "://" in text else text).expanduser()
