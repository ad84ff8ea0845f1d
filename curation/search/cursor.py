"""Where a list of hits goes on, as text that a caller hands back."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass

from curation.search.errors import CursorError


@dataclass(frozen=True)
class Cursor:
    """What was shown of a query, and of which index."""

    generation: str
    """Of the index; after it was made anew, rows have other numbers."""
    rows: int
    """How many rows there were when the query was first asked: later ones take no part."""
    query: str
    """Digest of the query."""
    words: str | None
    """The version of the words that were looked up."""
    score: float | None
    """Of the last hit."""
    row: int
    """Of the last hit."""
    shown: tuple[int, ...] = ()
    """Rows shown so far: all where lists are fused, as their scores are ranks, which may change;
    else those with the last score."""
    is_fused: bool = False
    count: int = 0
    """How many were shown."""

    def written(self) -> str:
        """As text."""
        packed = zlib.compress(json.dumps(vars(self)).encode())
        return base64.urlsafe_b64encode(packed).decode()


_MOST_BYTES = 1 << 20


def read(text: str) -> Cursor:
    """A cursor from its text; `CursorError` if it is none."""
    try:
        unpacking = zlib.decompressobj()
        raw = unpacking.decompress(base64.urlsafe_b64decode(text), _MOST_BYTES)
        said = json.loads(raw)
        return Cursor(**{**said, "shown": tuple(map(int, said["shown"]))})
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise CursorError("this is no cursor: hand back the text of the page before") from error
