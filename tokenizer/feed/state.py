"""The position of a feed as under a kilobyte of JSON, to resume from with any consumers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict

from tokenizer.feed.errors import FeedError, StateMismatchError
from tokenizer.feed.steps import FeedCursor

FORMAT = 1
MAX_BYTES = 1024
"""Bytes of a state as JSON."""

Fingerprint = Mapping[str, str | int]
"""What determines an order, by name."""


class State(TypedDict):
    """A point between two global steps of one order."""

    format: int
    """Version of this format."""
    epoch: int
    """Completed epochs."""
    consumed: int
    """Samples, or batches where shapes or tables are interleaved by batch, of this epoch that all
    consumers together have taken."""
    feed: dict[str, str | int]
    """Fingerprint of the feed; another feed is refused."""
    versions: dict[str, int]
    """Version of each table read, to open the feed with again."""


def make_state(cursor: FeedCursor, feed: Fingerprint, versions: Mapping[str, int]) -> State:
    """The state at a cursor; `FeedError` if it would be too large, which no usual feed's is."""
    state = State(
        format=FORMAT, epoch=cursor.epoch, consumed=cursor.consumed, feed=dict(feed),
        versions=dict(versions),
    )  # fmt: skip
    size = len(json.dumps(state))
    if size > MAX_BYTES:
        raise FeedError(f"a state of {size} bytes: long names, or many tables")
    return state


def restore_cursor(state: Mapping[str, Any], feed: Fingerprint) -> FeedCursor:
    """The cursor of a state; `StateMismatchError` says how it differs from this feed."""
    if state.get("format") != FORMAT:
        raise StateMismatchError(
            f"a state of format {state.get('format')}, where {FORMAT} is known"
        )
    saved: Mapping[str, Any] = state["feed"]
    differences = [
        f"{name}: {saved.get(name, 'nothing')} in the state, {feed.get(name, 'nothing')} here"
        for name in sorted(saved.keys() | feed.keys())
        if saved.get(name) != feed.get(name)
    ]
    if differences:
        message = f"the state is of another feed ({'; '.join(differences)})"
        if saved.get("selection") != feed.get("selection"):
            message += f"; to resume, open it with ClipQuery(selection={saved.get('selection')!r})"
        raise StateMismatchError(
            f"{message}; if a table has grown since, open it with versions=state['versions']"
        )
    epoch, consumed = state["epoch"], state["consumed"]
    if not (isinstance(epoch, int) and isinstance(consumed, int) and min(epoch, consumed) >= 0):
        raise StateMismatchError(f"a state at epoch {epoch!r}, {consumed!r} consumed")
    return FeedCursor(epoch, consumed)
