"""A thumbnail in the terminal, where that shows pictures."""

from __future__ import annotations

import base64
import os

import pyarrow.compute as pc

from curation.dataset import Dataset
from curation.records import Thumbnail
from pipelines.cli import terminal

_PROGRAMS = ("iTerm.app", "WezTerm", "vscode", "mintty", "rio")
"""What `TERM_PROGRAM` says where the terminal takes iTerm's inline images."""


def print_thumbnail(dataset: Dataset, clip_id: str) -> None:
    """Prints a clip's thumbnail as an inline image of iTerm; nothing where that is not shown."""
    if not terminal.results.is_terminal or os.environ.get("TERM_PROGRAM") not in _PROGRAMS:
        return
    where = pc.field("clip_id") == clip_id
    for row in dataset.catalog.read("thumbnails", Thumbnail, where=where).to_pylist():
        data = base64.b64encode(row["jpeg"]).decode()
        print(f"\x1b]1337;File=inline=1;height=8;size={len(row['jpeg'])}:{data}\a")
