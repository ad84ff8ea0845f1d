"""A checked query and its examples, the cursor of its next page, and the errors of both."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter

from curation.errors import ReelmillError

By = Literal["auto", "words", "vectors", "both"]
"""What words are looked up in: captions, vectors, or both; `auto` takes what there is."""
MAX_HITS = 10_000
"""Hits of one page."""
_MAX_CURSOR_BYTES = 1 << 20


class SearchError(ReelmillError, ValueError):
    """A query that cannot be answered; the message says what to change."""


class CursorError(SearchError):
    """A cursor that belongs to another query, or to an index that no longer exists."""


@dataclass(frozen=True, eq=False)
class Vector:
    """A vector that was computed elsewhere."""

    values: npt.NDArray[Any]
    """Numbers [dim]."""
    model: str
    """Digest of the model that made it, as a `QueryEncoder` says; another's is refused."""


class ClipId(str):
    """A clip's id or the first digits of it, which is never taken for a file."""


Picture = npt.NDArray[np.uint8]
Example = str | Path | Picture | Vector
"""A clip's id or the first digits of it; a picture or video file, `video.mp4#3.5-7` for a span of
it in seconds; a picture as RGB [height, width, 3]; or a vector."""


@dataclass(frozen=True)
class Query:
    """One query; see `Search.query`. Raises `SearchError` for what makes no sense."""

    text: str | None = None
    like: tuple[Example, ...] = ()
    minus: tuple[Example, ...] = ()
    where: str | None = None
    k: int = 20
    min_score: float | None = None
    by: By = "auto"
    embeddings: str | None = None
    collapse: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_HITS:
            raise SearchError(
                f"k is {self.k}; a page has 1 to {MAX_HITS:,} hits: page on with `after`"
            )
        if self.by not in get_args(By):
            raise SearchError(f"by {self.by!r} is none of {', '.join(get_args(By))}")
        if self.text is not None and not self.text.strip():
            raise SearchError("there are no words to look for")
        if self.minus and self.text is None and not self.like:
            raise SearchError("unwanted examples need something wanted beside them")
        if self.minus and self.by == "words" and not self.like:
            raise SearchError("unwanted examples are compared by vectors, not by words alone")
        if self.by in ("words", "both") and self.text is None:
            raise SearchError(f"by {self.by!r} needs words to look for")
        if self.min_score is not None and math.isnan(self.min_score):
            raise SearchError("the least score is not a number")

    @property
    def is_ranked(self) -> bool:
        """Whether there are words or examples to rank clips by."""
        return self.text is not None or bool(self.like)

    @cached_property
    def digest(self) -> str:
        """Names the query; the same from run to run."""
        text = json.dumps(self.as_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, object]:
        """The query as JSON can hold it."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        names = {name: [_example_name(e) for e in fields[name]] for name in ("like", "minus")}
        return {**fields, **names}


def _example_name(example: Example) -> str:
    if isinstance(example, np.ndarray):
        return f"picture {hashlib.sha256(example.tobytes()).hexdigest()[:16]}"
    if not isinstance(example, Vector):
        return str(example)
    digest = hashlib.sha256(example.values.tobytes()).hexdigest()[:16]
    return f"vector {digest} of {example.model}"


def as_tuple(examples: Example | Sequence[Example]) -> tuple[Example, ...]:
    """One example or several."""
    is_single = isinstance(examples, (str, Path, np.ndarray, Vector))
    return (examples,) if is_single else tuple(examples)  # type: ignore[arg-type, return-value]


_Count = Annotated[int, Field(ge=0, lt=2**62)]
_Score = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Cursor:
    """Where the next page of hits starts, as text for `after`."""

    generation: str
    """Of the index; after a rebuild rows have other numbers."""
    num_rows: _Count
    """How many rows there were at the first page: later ones take no part."""
    query: str
    """Digest of the query."""
    text_index: str | None
    """The version of the text index that was searched."""
    score: _Score | None
    """Of the last hit."""
    row: _Count
    """Of the last hit."""
    shown: tuple[_Count, ...] = ()
    """Rows shown so far: all where lists are fused, as their scores are ranks, which may change;
    else those with the last score."""
    is_fused: bool = False
    count: _Count = 0
    """How many were shown."""

    def encode(self) -> str:
        """The cursor as text."""
        packed = zlib.compress(json.dumps(vars(self)).encode())
        return base64.urlsafe_b64encode(packed).decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """A cursor from its text; `CursorError` if it is none."""
        try:
            packed = base64.urlsafe_b64decode(text)
            content = zlib.decompressobj().decompress(packed, _MAX_CURSOR_BYTES)
            return TypeAdapter(cls).validate_json(content)
        except (ValueError, zlib.error) as error:
            raise CursorError("this is no cursor: hand back the text of the page before") from error
