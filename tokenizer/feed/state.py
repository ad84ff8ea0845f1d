"""Where a feed stands, in under a kilobyte of JSON, for any number of consumers to go on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict

from curation.errors import ReelmillError
from tokenizer.feed.steps import Cursor

FORMAT = 1
LARGEST = 1024
"""Bytes of a state as JSON."""

Aspects = Mapping[str, str | int]
"""What decides an order, by name."""


class State(TypedDict):
    """A place between two global steps of one order."""

    format: int
    """Version of this form."""
    epoch: int
    """Epochs that are over."""
    consumed: int
    """Samples, or batches where shapes or tables take turns, of this epoch that all consumers
    together have taken."""
    feed: dict[str, str | int]
    """What the order follows from; another feed is refused."""
    versions: dict[str, int]
    """Version of each table read, to open the feed with again."""


class OtherFeedError(ReelmillError, ValueError):
    """The state is of another dataset or configuration."""


def state_of(cursor: Cursor, feed: Aspects, versions: Mapping[str, int]) -> State:
    """The state at a cursor; `ValueError` if it would be too large, which no usual feed's is."""
    made = State(
        format=FORMAT, epoch=cursor.epoch, consumed=cursor.consumed, feed=dict(feed),
        versions=dict(versions),
    )  # fmt: skip
    if len(json.dumps(made)) > LARGEST:
        raise ValueError(f"a state of {len(json.dumps(made))} bytes: long names, or many tables")
    return made


def cursor_of(state: Mapping[str, Any], feed: Aspects) -> Cursor:
    """Where a state stands; `OtherFeedError` says in what it differs from this feed."""
    if state.get("format") != FORMAT:
        raise OtherFeedError(f"a state of format {state.get('format')}, where {FORMAT} is known")
    theirs: Mapping[str, Any] = state["feed"]
    names = sorted(theirs.keys() | feed.keys())
    differing = [
        f"{name}: {theirs.get(name, 'nothing')} in the state, {feed.get(name, 'nothing')} here"
        for name in names
        if theirs.get(name) != feed.get(name)
    ]
    if differing:
        words = f"the state is of another feed ({'; '.join(differing)})"
        if theirs.get("selection") != feed.get("selection"):
            words += f"; to go on, open it with Choice(selection={theirs.get('selection')!r})"
        raise OtherFeedError(
            f"{words}; if a table has grown since, open it with versions=state['versions']"
        )
    epoch, consumed = state["epoch"], state["consumed"]
    if not (isinstance(epoch, int) and isinstance(consumed, int) and min(epoch, consumed) >= 0):
        raise OtherFeedError(f"a state at epoch {epoch!r}, {consumed!r} consumed")
    return Cursor(epoch, consumed)
