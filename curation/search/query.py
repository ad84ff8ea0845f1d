"""What is asked of an index, checked, and as a digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from curation.search.errors import SearchError
from curation.search.examples import Example, Vector

By = Literal["auto", "words", "vectors", "both"]
"""What words are looked up in: captions, vectors, or both; `auto` takes what there is."""
MOST = 10_000
"""Hits of one page."""


@dataclass(frozen=True)
class Question:
    """One question; see `Search.query`."""

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
        """Raises `SearchError` for what makes no sense."""
        if not 1 <= self.k <= MOST:
            raise SearchError(f"k is {self.k}; a page has 1 to {MOST:,} hits: page on with `after`")
        if self.by not in get_args(By):
            raise SearchError(f"by {self.by!r} is none of {', '.join(get_args(By))}")
        if self.text is not None and not self.text.strip():
            raise SearchError("there are no words to look for")
        if self.minus and self.text is None and not self.like:
            raise SearchError("unwanted examples need something wanted beside them")
        if self.by in ("words", "both") and self.text is None:
            raise SearchError(f"by {self.by!r} needs words to look for")
        if self.min_score is not None and math.isnan(self.min_score):
            raise SearchError("the least score is not a number")

    @cached_property
    def digest(self) -> str:
        """Names the question; the same from run to run."""
        text = json.dumps(self.said(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def said(self) -> dict[str, object]:
        """The question as JSON can hold it."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**found, "like": _said(self.like), "minus": _said(self.minus)}


def _said(examples: Sequence[Example]) -> list[str]:
    return [
        f"vector {hashlib.sha256(e.values.tobytes()).hexdigest()[:16]} of {e.model}"
        if isinstance(e, Vector)
        else str(e)
        for e in examples
    ]


def listed(examples: Example | Sequence[Example]) -> tuple[Example, ...]:
    """One example or several."""
    one = isinstance(examples, (str, Path, Vector))
    return (examples,) if one else tuple(examples)  # type: ignore[arg-type, return-value]
