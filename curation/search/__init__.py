"""Scenario search: an index over clips, and queries to it. See `curation.search.search`."""

from curation.search.query import MAX_HITS, CursorError, Example, SearchError, Vector
from curation.search.search import Search, cursor, searched

__all__ = [
    "MAX_HITS",
    "CursorError",
    "Example",
    "Search",
    "SearchError",
    "Vector",
    "cursor",
    "searched",
]
